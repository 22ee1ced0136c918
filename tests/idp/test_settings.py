"""Settings from an environment: secrets from variables and files, the database's options, and clear refusals."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from idp import embedded

ROOT = Path(__file__).resolve().parents[2]
Read = Callable[..., dict[str, Any]]
SERVERS = {
    "DATABASE_URL": "postgresql://wardkey@db/wardkey",
    "REDIS_URL": "redis://cache/0",
    "CELERY_BROKER_URL": "redis://queue/0",
}
PRODUCTION = {
    **embedded.fresh_secrets(),
    **SERVERS,
    "WARDKEY_ISSUER": "https://id.hospital.example",
    "WARDKEY_TRUSTED_PROXY_COUNT": "1",
    "WARDKEY_SKIP_BOOTSTRAP": "1",
}


def bare_environment() -> dict[str, str]:
    ours = ("WARDKEY_", "DATABASE_", "REDIS_", "CELERY_", "DJANGO_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Read idp/settings.py in an environment of exactly these variables, with an empty data folder."""
    for name in set(os.environ) - set(bare_environment()):
        monkeypatch.delenv(name)
    monkeypatch.setenv("WARDKEY_DATA_DIR", str(tmp_path))

    def run(**variables: str) -> dict[str, Any]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(ROOT / "idp" / "settings.py"))

    return run


def manage(*argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *argv],
        cwd=ROOT,
        env={**bare_environment(), "WARDKEY_DATA_DIR": "/nonexistent", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


# --- Refusals -----------------------------------------------------------------------------------------------------
def test_a_secrets_file_that_is_not_there_is_one_sentence_and_not_another_database(tmp_path: Path) -> None:
    for command in ("check", "migrate"):
        ended = manage(
            command, **{**PRODUCTION, "DATABASE_URL": "", "DATABASE_URL_FILE": str(tmp_path / "gone")}
        )
        assert ended.returncode == 1
        assert ended.stderr == (
            f"DATABASE_URL_FILE names {tmp_path / 'gone'}, which cannot be read: No such file or directory.\n"
        )


def test_an_empty_secrets_file_is_refused(read: Read, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ImproperlyConfigured, match=r"WARDKEY_HASH_KEY_FILE names .* is empty"):
        read(WARDKEY_HASH_KEY_FILE=str(tmp_path / "empty"))


@pytest.mark.parametrize(
    "url", ["db/wardkey", "oracle+x://u:hunter2@db/wardkey", "postgresql://u:hunter2@db:port/w"]
)
def test_a_database_address_that_is_none_is_one_sentence_without_its_password(url: str) -> None:
    ended = manage("check", **{**PRODUCTION, "DATABASE_URL": url})
    assert ended.returncode == 1
    assert ended.stderr == "DATABASE_URL must read postgresql://user:password@host:port/name.\n"


def test_a_number_that_is_none_is_one_sentence() -> None:
    ended = manage("check", **{**PRODUCTION, "WARDKEY_TRUSTED_PROXY_COUNT": "one"})
    assert ended.returncode == 1
    assert "WARDKEY_TRUSTED_PROXY_COUNT" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_production_settings_pass_the_deployment_check() -> None:
    ended = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert ended.returncode == 0, ended.stderr


def test_the_embedded_default_does_not_pass_the_deployment_check() -> None:
    ended = manage("check", "--deploy", WARDKEY_SKIP_BOOTSTRAP="1")
    assert ended.returncode == 1
    for key in ("E005", "E011", "E012", "E013", "E014"):
        assert f"wardkey.{key}" in ended.stderr


# --- Secrets ------------------------------------------------------------------------------------------------------
def test_a_secret_comes_from_its_variable_its_file_or_the_data_folder(read: Read, tmp_path: Path) -> None:
    assert read()["SECRETS_MISSING"] == ["WARDKEY_SECRET_KEY", "WARDKEY_ENCRYPTION_KEYS", "WARDKEY_HASH_KEY"]
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "wardkey_hash_key").write_text("from the folder\n")
    assert read()["WARDKEY_HASH_KEY"] == "from the folder"
    (tmp_path / "named").write_text("from the file\r\n")
    assert read(WARDKEY_HASH_KEY_FILE=str(tmp_path / "named"))["WARDKEY_HASH_KEY"] == "from the file"
    assert read(WARDKEY_HASH_KEY="from the variable")["WARDKEY_HASH_KEY"] == "from the variable"


def test_a_missing_secret_key_is_another_one_in_each_process(read: Read) -> None:
    assert read()["SECRET_KEY"] != read()["SECRET_KEY"]


# --- What follows from the environment ----------------------------------------------------------------------------
def test_a_password_with_percent_signs_and_slashes_survives_the_database_url(read: Read) -> None:
    database = read(DATABASE_URL="postgresql://u%25a:p%40%2F%25w@db:5433/wardkey?sslmode=verify-full")
    default = database["DATABASES"]["default"]
    assert (default["USER"], default["PASSWORD"], default["PORT"]) == ("u%a", "p@/%w", 5433)
    assert default["OPTIONS"]["sslmode"] == "verify-full"


def test_connections_are_pooled_and_not_kept_by_threads(read: Read) -> None:
    default = read(**SERVERS, WARDKEY_DATABASE_POOL_SIZE="4")["DATABASES"]["default"]
    assert default["CONN_MAX_AGE"] == 0
    assert default["OPTIONS"]["pool"]["max_size"] == 4


def test_a_database_that_hangs_ends_each_statement(read: Read) -> None:
    assert "statement_timeout=15s" in read(**SERVERS)["DATABASES"]["default"]["OPTIONS"]["options"]
    unlimited = read(WARDKEY_STATEMENT_TIMEOUT_SECONDS="0")["DATABASES"]["default"]["OPTIONS"]["options"]
    assert "statement_timeout=0s" in unlimited


def test_https_turns_on_host_cookies_hsts_and_the_redirect(read: Read) -> None:
    plain = read()
    assert not plain["SECURE_SSL_REDIRECT"]
    assert plain["SECURE_PROXY_SSL_HEADER"] is None
    secure = read(WARDKEY_ISSUER="https://id.hospital.example/", WARDKEY_TRUSTED_PROXY_COUNT="1")
    assert secure["WARDKEY_ISSUER"] == "https://id.hospital.example"
    assert secure["SESSION_COOKIE_NAME"].startswith("__Host-")
    assert secure["CSRF_COOKIE_NAME"].startswith("__Host-")
    assert secure["SESSION_COOKIE_SECURE"]
    assert secure["CSRF_COOKIE_SECURE"]
    assert secure["SECURE_SSL_REDIRECT"]
    assert secure["SECURE_HSTS_SECONDS"] >= 31536000
    assert secure["ALLOWED_HOSTS"] == ["id.hospital.example"]


@pytest.mark.parametrize(
    ("url", "port", "tls", "ssl"),
    [
        ("smtp://mail.example", 587, True, False),
        ("smtps://u%40v:p%25w@mail.example", 465, False, True),
        ("smtp://mail.example:2525", 2525, True, False),
    ],
)
def test_mail_is_never_sent_in_the_clear(read: Read, url: str, port: int, tls: bool, ssl: bool) -> None:
    mail = read(WARDKEY_SMTP_URL=url)
    assert mail["EMAIL_BACKEND"] == "django.core.mail.backends.smtp.EmailBackend"
    assert (mail["EMAIL_PORT"], mail["EMAIL_USE_TLS"], mail["EMAIL_USE_SSL"]) == (port, tls, ssl)
    if "@" in url:
        assert (mail["EMAIL_HOST_USER"], mail["EMAIL_HOST_PASSWORD"]) == ("u@v", "p%w")


def test_without_a_mail_server_nothing_is_sent_or_logged(read: Read) -> None:
    assert read()["EMAIL_BACKEND"] == "django.core.mail.backends.dummy.EmailBackend"
