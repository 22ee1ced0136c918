"""Database or cache away: a 503 with Retry-After on pages and in the API, and never a 500."""

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory, override_settings

from idp import views
from tests.people import PASSWORD, People

pytestmark = pytest.mark.django_db
# Port 1 of this machine, where nothing listens.
NO_CACHE = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1/0",
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
    }
}


@pytest.fixture
def no_cache() -> Any:
    with override_settings(CACHES=NO_CACHE):
        yield


@pytest.mark.usefixtures("no_cache", "signing_keys")
def test_without_its_counters_signing_in_is_refused_for_a_moment_and_not_unthrottled(people: People) -> None:
    browser = Client(raise_request_exception=False)
    page = browser.post("/account/login/", {"login": "okafor", "password": PASSWORD})
    assert (page.status_code, page["Retry-After"]) == (503, "5")
    answer = browser.post(
        "/api/token/", {"username": "okafor", "password": PASSWORD}, content_type="application/json"
    )
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json()["code"] == "temporarily_unavailable"


@pytest.mark.usefixtures("no_cache", "signing_keys")
def test_without_the_cache_who_is_signed_in_goes_on_working(people: People) -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(people.okafor, "accounts.backends.RoleBackend")
    assert browser.get("/").status_code == 200
    assert browser.get("/readyz").status_code == 503
    assert browser.get("/livez").status_code == 200


def raised_in_a_middleware(error: Exception) -> int:
    try:
        raise error
    except type(error):
        return views.server_error(RequestFactory().get("/")).status_code


def test_what_a_middleware_raises_is_a_503_only_when_something_is_away() -> None:
    assert raised_in_a_middleware(OperationalError("the connection is lost")) == 503
    assert raised_in_a_middleware(ZeroDivisionError()) == 500
