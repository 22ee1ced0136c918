"""docker-compose.yml, Dockerfile and deploy/ held to the settings and the code, because no test run has an engine.

Each rule that docs/deployment.md states about the containers is read from the files here; the processes themselves
are started by test_processes.py.
"""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError
from django.urls import resolve

from idp import embedded
from idp.management.commands.make_secrets import deployment_secrets

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("wardkey:")}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETTINGS = (ROOT / "idp" / "settings.py").read_text()
# Read by what is not the application: the proxy's own two and the bootstrap of manage.py.
VARIABLES = set(re.findall(r'env\.\w+\(\s*"(\w+)"', SETTINGS)) | set(
    re.findall(r'secret\("(\w+)"\)', SETTINGS)
)
VARIABLES |= set(settings.REQUIRED_SECRETS)
OPTIONAL_SECRETS = {"WARDKEY_SMTP_URL"}


def secret_variables() -> set[str]:
    return set(re.findall(r'secret\("(\w+)"\)', SETTINGS)) | set(settings.REQUIRED_SECRETS)


def command_line(name: str) -> list[str]:
    return [str(word) for word in SERVICES[name]["command"]]


def healthcheck(name: str) -> str:
    return " ".join(SERVICES[name]["healthcheck"]["test"])


# --- The environment and the secrets ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_of_a_service_is_one_that_the_settings_read(name: str) -> None:
    for variable in OURS[name]["environment"]:
        assert variable.removesuffix("_FILE") in VARIABLES, variable


@pytest.mark.parametrize("name", sorted(OURS))
def test_secrets_come_from_files_and_from_nowhere_else(name: str) -> None:
    service = OURS[name]
    for variable, value in service["environment"].items():
        assert variable not in secret_variables(), f"{variable} is a secret: use {variable}_FILE"
        if variable.endswith("_FILE"):
            folder, _, secret = str(value).rpartition("/")
            assert folder == "/run/secrets"
            assert secret in service["secrets"]
    used = {str(value).rpartition("/")[2] for value in service["environment"].values()}
    assert set(service["secrets"]) <= used, "a secret that the service does not use"


@pytest.mark.parametrize("name", ["web", "worker", "migrate"])
def test_every_secret_of_the_settings_is_given_to_who_works_with_it(name: str) -> None:
    given = {variable.removesuffix("_FILE") for variable in OURS[name]["environment"]}
    assert secret_variables() - OPTIONAL_SECRETS <= given


def test_only_the_one_shot_migrate_has_the_owners_address() -> None:
    assert [
        name for name, service in SERVICES.items() if "database_owner_url" in service.get("secrets", [])
    ] == ["migrate"]


def test_make_secrets_makes_exactly_the_files_that_are_declared(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    call_command("make_secrets", to=folder)
    declared = {name: Path(secret["file"]) for name, secret in COMPOSE["secrets"].items()}
    assert {path.name for path in folder.iterdir()} == set(declared)
    assert all(str(path) == f"deploy/secrets/{name}" for name, path in declared.items())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    assert set(declared) == {each for service in SERVICES.values() for each in service.get("secrets", [])}


def test_make_secrets_never_writes_to_a_folder_that_is_there(tmp_path: Path) -> None:
    call_command("make_secrets", to=tmp_path / "secrets")
    before = {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()}
    with pytest.raises(CommandError, match="is there already"):
        call_command("make_secrets", to=tmp_path / "secrets")
    assert {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()} == before
    with pytest.raises(CommandError, match="cannot be made"):
        call_command("make_secrets", to=tmp_path / "no" / "such" / "folder")


def test_the_passwords_of_the_secrets_fit_the_addresses_and_the_roles() -> None:
    made = deployment_secrets()
    roles = (ROOT / "deploy" / "postgres" / "roles.sql").read_text()
    for url, password, role in (
        ("database_url", "database_password", "wardkey"),
        ("database_owner_url", "database_owner_password", "wardkey_owner"),
    ):
        parts = urlsplit(made[url])
        assert (parts.username, parts.password, parts.hostname) == (role, made[password], "database")
        assert f"CREATE ROLE {role} LOGIN" in roles
        assert f"/run/secrets/{password}`" in roles
        assert f"CREATE DATABASE {parts.path[1:]} OWNER wardkey_owner" in roles
    for url, auth in (("redis_url", "redis_cache_auth"), ("celery_broker_url", "redis_queue_auth")):
        parts = urlsplit(made[url])
        assert made[auth] == f"requirepass {parts.password}"
        assert parts.hostname in SERVICES
        assert auth in SERVICES[str(parts.hostname)]["secrets"]
    assert set(made) > {name.lower() for name in embedded.fresh_secrets()}


def test_the_secrets_are_kept_out_of_the_repository_and_the_images() -> None:
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert not is_sent_to_the_builder("deploy/secrets/wardkey_hash_key")
    assert not is_sent_to_the_builder(".local/secrets/wardkey_hash_key")
    assert not is_sent_to_the_builder(".git/config")


# --- What each container may do -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_is_not_root_cannot_write_and_has_its_limits(name: str) -> None:
    service = SERVICES[name]
    uid, _, gid = str(service["user"]).partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert int(service["logging"]["options"]["max-file"]) > 1
    assert service["logging"]["options"]["max-size"]
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert ("healthcheck" in service) is (name != "migrate")


def test_only_the_proxy_is_reachable_and_it_does_not_reach_the_database() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    proxy = set(SERVICES["proxy"]["networks"])
    for name in ("database", "queue", "cache", "worker", "beat"):
        assert not proxy & set(SERVICES[name]["networks"])
    assert proxy & set(SERVICES["web"]["networks"])
    inside = {name for name, network in COMPOSE["networks"].items() if network.get("internal")}
    assert all(set(service["networks"]) <= inside for name, service in SERVICES.items() if name != "proxy")


def test_every_image_is_pinned_to_a_release() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    assert len(images) > len(SERVICES)
    for image in images:
        assert re.search(r":v?\d+\.\d+\.\d+|:\d+\.\d+-", image), f"{image} is not pinned"


def test_the_queue_forgets_nothing_and_the_cache_is_another_server() -> None:
    queue = (ROOT / "deploy" / "redis" / "queue.conf").read_text().splitlines()
    assert {"appendonly yes", "maxmemory-policy noeviction"} <= set(queue)
    assert "queue:/data" in SERVICES["queue"]["volumes"]
    for name in ("queue", "cache"):
        assert f"./deploy/redis/{name}.conf:/etc/redis/{name}.conf:ro" in SERVICES[name]["volumes"]
        assert command_line(name)[-1] == f"/etc/redis/{name}.conf"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_a_container_mounts_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.partition(":")[0]
        assert source in COMPOSE["volumes"] or (ROOT / source).is_file(), source


# --- What the containers run --------------------------------------------------------------------------------------
def test_the_web_server_serves_our_application_and_keeps_its_threads() -> None:
    words = command_line("web")
    assert words[0] == "granian"
    assert words[-1] == settings.WSGI_APPLICATION.replace(".application", ":application")
    assert "--interface=wsgi" in words
    assert "--blocking-threads-idle-timeout=600" in words
    threads = int(next(word for word in words if word.startswith("--blocking-threads=")).partition("=")[2])
    workers = int(next(word for word in words if word.startswith("--workers=")).partition("=")[2])
    pool = settings.DATABASES["default"]["OPTIONS"].get("pool", {"max_size": 16})["max_size"]
    assert threads <= pool
    connections = next(word for word in command_line("database") if "max_connections" in word)
    assert workers * pool + 2 * pool < int(connections.partition("=")[2])


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_a_command_and_its_options_are_known_to_the_program(name: str) -> None:
    words = command_line(name)
    program, subcommand = words[0], next((word for word in words[1:] if word in ("worker", "beat")), None)
    asked = [sys.executable, "-m", program, *(["--app", "idp", subcommand] if subcommand else []), "--help"]
    known = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
    for word in words[1:]:
        if word.startswith("--") and not word.startswith("--app"):
            assert re.search(rf"{word.partition('=')[0]}\b", known), word


def test_the_worker_can_end_a_task_that_takes_too_long() -> None:
    assert "--pool=prefork" in command_line("worker")


def test_migrate_runs_commands_that_exist_in_their_order() -> None:
    assert command_line("migrate") == ["sh", "deploy/migrate.sh"]
    script = (ROOT / "deploy" / "migrate.sh").read_text()
    commands = re.findall(r"^python manage\.py (\w+)", script, re.M)
    assert commands == ["check", "migrate", "restrict_database_role", "rotate_signing_keys"]
    assert set(commands) <= set(get_commands())
    assert "set -eu" in script
    for name in ("web", "worker", "beat"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_health_checks_ask_addresses_that_exist() -> None:
    assert resolve("/readyz").url_name == "readyz"
    assert "http://127.0.0.1:8000/readyz" in healthcheck("web")
    assert "--port=8000" in command_line("web")
    caddyfile = (ROOT / "deploy" / "Caddyfile").read_text()
    assert "http://127.0.0.1:8081/livez" in healthcheck("proxy")
    assert re.search(r"http://127\.0\.0\.1:8081 \{\s+respond /livez 200", caddyfile)


def test_the_proxy_hands_everything_to_the_web_server_on_published_ports() -> None:
    caddyfile = (ROOT / "deploy" / "Caddyfile").read_text()
    assert "reverse_proxy web:8000" in caddyfile
    inside = {port.partition(":")[2] for port in SERVICES["proxy"]["ports"]}
    assert inside == {re.search(rf"{kind}_port (\d+)", caddyfile)[1] for kind in ("http", "https")}  # type: ignore[index]
    for variable in re.findall(r"\{\$(\w+)", caddyfile):
        assert variable in SERVICES["proxy"]["environment"]
    assert re.search(r"max_size (\S+)", caddyfile)[1] == re.search(r"request_buffers (\S+)", caddyfile)[1]  # type: ignore[index]
    if shutil.which("caddy"):
        version = subprocess.run(["caddy", "version"], capture_output=True, text=True, timeout=60).stdout
        if version.lstrip("v").startswith("2.6.2"):  # Debian's, which knows the directive by its older name
            caddyfile = re.sub(r"request_buffers \S+", "buffer_requests", caddyfile)
        asked = ["caddy", "validate", "--adapter", "caddyfile", "--config", "-"]
        environment = {**os.environ, "WARDKEY_HOST": "id.hospital.example", "WARDKEY_TLS": "tls internal"}
        checked = subprocess.run(
            asked, env=environment, input=caddyfile, capture_output=True, text=True, timeout=60
        )
        assert checked.returncode == 0, checked.stderr


# --- The image ----------------------------------------------------------------------------------------------------
def copied_into_the_image() -> list[str]:
    return re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.M)


def is_sent_to_the_builder(path: str) -> bool:
    """Judge a path by .dockerignore, whose last matching line decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            parents = [path, *map(str, Path(path).parents)]
            if any(fnmatch.fnmatch(each, pattern) for each in parents if each != "."):
                sent = line.startswith("!")
    return sent


def test_what_the_image_copies_is_there_and_sent() -> None:
    assert copied_into_the_image()
    for source in copied_into_the_image():
        assert (ROOT / source).exists(), source
        assert is_sent_to_the_builder(source), source


def test_the_image_installs_only_packages_of_known_hash() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert "--only-binary :all:" in DOCKERFILE
    assert "-r /requirements.lock" in DOCKERFILE
    assert "requirements-test.lock" not in DOCKERFILE


def test_what_the_image_holds_is_enough_to_collect_static_files_and_to_serve(tmp_path: Path) -> None:
    image = tmp_path / "image"
    for source in set(copied_into_the_image()) - {"requirements.lock", "deploy/Caddyfile"}:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, image / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (image / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, image / source)
    ours = ("WARDKEY_", "DATABASE_", "REDIS_", "CELERY_", "DJANGO_")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    bare |= dict(re.findall(r"(WARDKEY_\w+)=(\S+)", DOCKERFILE)) | {
        "WARDKEY_DATA_DIR": str(tmp_path / "data")
    }
    for secrets, words in (
        ({}, ["manage.py", "collectstatic", "--no-input", "--verbosity", "0"]),
        (embedded.fresh_secrets(), ["-c", "import idp.wsgi, idp.urls"]),
    ):
        ended = subprocess.run(
            [sys.executable, *words],
            cwd=image,
            env={**bare, **secrets},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "data" / "static" / "staticfiles.json").is_file()
