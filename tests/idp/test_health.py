"""The probes: one touches nothing, the other says whether the work could be done, and neither is ever a 500."""

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from tokens import key_ring
from tokens.models import SigningKey

pytestmark = pytest.mark.django_db


def probe(path: str) -> tuple[int, dict[str, str]]:
    response = Client(raise_request_exception=False).get(path)
    assert "no-store" in response["Cache-Control"]
    assert response["Content-Type"] == "application/json"
    assert ("Retry-After" in response) == (response.status_code == 503)
    return response.status_code, response.json()


OK, AWAY = (200, {"status": "ok"}), (503, {"status": "unavailable"})


def test_livez_touches_nothing() -> None:
    with CaptureQueriesContext(connection) as captured:
        assert probe("/livez") == OK
    assert len(captured) == 0


def test_readyz_is_ready_when_all_three_are_there(signing_keys: None) -> None:
    assert probe("/readyz") == OK


def test_readyz_asks_the_database_each_time(signing_keys: None) -> None:
    probe("/readyz")
    with CaptureQueriesContext(connection) as captured:
        probe("/readyz")
    assert "SELECT 1" in [query["sql"] for query in captured.captured_queries]


def test_readyz_is_not_ready_without_a_key_of_each_algorithm(signing_keys: None) -> None:
    SigningKey.objects.filter(algorithm="RS256").delete()
    key_ring.forget()
    assert probe("/readyz") == AWAY


def test_readyz_is_not_ready_when_the_keys_do_not_open(signing_keys: None) -> None:
    one, other = SigningKey.objects.all()
    SigningKey.objects.filter(pk=one.pk).update(private_key=other.private_key)
    key_ring.forget()
    assert probe("/readyz") == AWAY


def test_readyz_is_not_ready_when_the_cache_is_away(signing_keys: None) -> None:
    away = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1/0",  # nobody listens on port 1
    }
    with override_settings(CACHES={"default": away}):
        assert probe("/readyz") == AWAY
        assert probe("/livez") == OK
    cache.close()
