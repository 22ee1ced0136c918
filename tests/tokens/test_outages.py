"""The database locked or gone for a moment: 503 with Retry-After, nothing half done, and the next request works."""

import io
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import override_settings

from audit.models import Event
from tests.ledger_failure import failing_ledger
from tests.people import People
from tests.tokens import calls
from tokens import key_ring
from tokens.models import RefreshFamily, SigningKey

pytestmark = pytest.mark.django_db(transaction=True)
application = get_wsgi_application()


def request(
    path: str, body: dict[str, Any], *, bearer: str = ""
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """POST as a server does: in a thread of its own, with Django's own signals before and after; return what came."""
    raw = json.dumps(body).encode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST", "PATH_INFO": path, "SERVER_NAME": "testserver", "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(raw)),
        "wsgi.input": io.BytesIO(raw), "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http",
    }  # fmt: skip
    if bearer:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {bearer}"
    seen: list[Any] = []

    def serve() -> None:
        response = application(environ, lambda status, headers: seen.extend((int(status[:3]), dict(headers))))
        seen.append(json.loads(b"".join(response)))
        response.close()
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    return seen[0], seen[1], seen[2]


def is_unavailable(answer: tuple[int, dict[str, str], dict[str, Any]]) -> bool:
    status, headers, body = answer
    if status != 503:
        return False
    assert body["code"] == "temporarily_unavailable"
    assert int(headers["Retry-After"]) > 0
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"
    return True


@pytest.fixture
def issued(cast: People) -> dict[str, Any]:
    return calls.obtain()


@contextmanager
def locked() -> Iterator[None]:
    """Let somebody else hold SQLite's one write lock for longer than anybody waits."""
    options = connection.settings_dict["OPTIONS"]
    before, options["timeout"] = options["timeout"], 0.2
    connection.close()
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    options["timeout"] = before


def terminate_all_other_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def on_sqlite() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's lock")


def test_a_locked_database_is_a_503_and_uses_nothing_up(cast: People, issued: dict[str, Any]) -> None:
    on_sqlite()
    rosa = {"patient": str(cast.rosa.pk), "purpose_of_use": "TREAT", "scope": calls.OBSERVATIONS}
    before = (RefreshFamily.objects.values().get(), Event.objects.count())
    with locked():
        assert is_unavailable(request(calls.REFRESH, {"refresh": issued["refresh"]}))
        assert is_unavailable(request(calls.PATIENT, rosa, bearer=issued["access"]))
        assert is_unavailable(request(calls.REVOKE, {"token": issued["refresh"]}))
        assert is_unavailable(request(calls.REFRESH, {"refresh": "x"})), "a refusal that cannot be recorded"
        assert request(calls.VERIFY, {"token": issued["access"]})[0] == 200, "reading needs no lock"
    assert (RefreshFamily.objects.values().get(), Event.objects.count()) == before
    assert request(calls.REFRESH, {"refresh": issued["refresh"]})[0] == 200
    assert request(calls.PATIENT, rosa, bearer=issued["access"])[0] == 200


@pytest.mark.postgresql
def test_a_restarted_database_costs_one_request_at_most(issued: dict[str, Any]) -> None:
    token = issued["refresh"]
    barrier = threading.Barrier(6)

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        barrier.wait()
        connection.close()  # back into the pool

    threads = [threading.Thread(target=hold) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connection.pool.get_stats()["pool_available"] >= 5
    terminate_all_other_connections()
    answers = [request(calls.VERIFY, {"token": issued["access"]}) for _ in range(8)]
    assert [answer[0] for answer in answers].count(503) <= 1
    assert [answer[0] for answer in answers[1:]] == [200] * 7
    assert all(is_unavailable(answer) for answer in answers if answer[0] != 200)
    assert request(calls.REFRESH, {"refresh": token})[0] == 200


def test_no_signing_key_is_a_503_and_uses_nothing_up(issued: dict[str, Any]) -> None:
    SigningKey.objects.all().delete()
    key_ring.forget()
    assert is_unavailable(request(calls.REFRESH, {"refresh": issued["refresh"]}))
    assert RefreshFamily.objects.get().generation == 0


def test_a_cache_that_is_away_is_a_503_for_signing_in(cast: People) -> None:
    away = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    with override_settings(CACHES={"default": away}):
        assert is_unavailable(request(calls.OBTAIN, {"username": "okafor", "password": "x"}))


def test_a_ledger_that_refuses_is_no_token_and_no_page(issued: dict[str, Any]) -> None:
    with failing_ledger():
        status, headers, body = request(calls.REFRESH, {"refresh": issued["refresh"]})
    assert (status in (500, 503), headers["Content-Type"]) == (True, "application/json")
    assert body.keys() == {"code", "detail"}
    assert RefreshFamily.objects.get().generation == 0
    assert request(calls.REFRESH, {"refresh": issued["refresh"]})[0] == 200
