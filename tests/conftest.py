"""Fixtures that every test may use. Servers and environment: tests/services.py."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, sync_playwright

if TYPE_CHECKING:
    from tests.people import People

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_OPTIONS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_configure() -> None:
    """Serve static files from where they lie: nobody runs collectstatic before the tests."""
    from django.conf import settings

    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Keep SQLite in a file, as in use: in memory all threads would share one connection and no lock."""
    from django.db import connection

    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(Path(os.environ["WARDKEY_DATA_DIR"]) / "test.sqlite3")
        options = connection.settings_dict["OPTIONS"]
        options["init_command"] = options["init_command"].replace("synchronous=FULL", "synchronous=OFF")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless browser; each test opens a context of its own in it, and points it at `live_server.url`."""
    program = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on this machine (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=CHROMIUM_OPTIONS, chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _nothing_left_over(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start each test without what a process remembers: the key ring's snapshot, the cache's rate limits."""
    from tokens import key_ring

    key_ring.forget()
    yield
    key_ring.forget()
    if request.node.get_closest_marker("django_db") and "REDIS_URL" in os.environ:
        from django.core.cache import cache

        cache.clear()


@pytest.fixture
def people(db: None) -> "People":
    """The cast, in this test's database."""
    from tests.people import make_people

    return make_people()


@pytest.fixture
def signing_keys(db: None) -> None:
    """An active key of each algorithm."""
    from django.utils import timezone

    from tokens import keys

    keys.rotate(now=timezone.now())


@pytest.fixture(scope="session", autouse=True)
def _flush_past_the_ledgers_triggers(django_db_setup: None) -> Iterator[None]:
    """Let the tests' own flush empty the append-only ledger; nothing but a test's teardown goes through here."""
    from django.db import connection

    from audit import append_only

    # The class and not the object: where a browser's event loop runs, this thread has another connection.
    operations = type(connection.ops)
    sql_flush = operations.sql_flush

    def without_triggers(self: Any, *args: Any, **options: Any) -> list[str]:
        vendor = self.connection.vendor
        return [*append_only.DROP[vendor], *sql_flush(self, *args, **options), *append_only.CREATE[vendor]]

    operations.sql_flush = without_triggers  # type: ignore[method-assign]
    yield
    operations.sql_flush = sql_flush  # type: ignore[method-assign]


@pytest.fixture
def failing_ledger(db: None) -> "Callable[[], AbstractContextManager[None]]":
    """A block in which the ledger takes no entry, because the database itself refuses the INSERT."""
    from tests import ledger_failure

    return ledger_failure.failing_ledger
