"""Database or cache away: a 503 with Retry-After on pages and in the API, and never a 500."""

from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone

from idp import views
from tests.people import PASSWORD, People
from tokens import issuing

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


@pytest.mark.postgresql
def test_no_statement_and_no_lock_is_waited_for_without_end() -> None:
    with connection.cursor() as cursor:
        for name, value in (("statement_timeout", "15s"), ("lock_timeout", "5s")):
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == (value,)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("signing_keys")
def test_a_locked_row_is_a_503_and_the_refresh_token_is_not_used_up(people: People) -> None:
    issued = issuing.sign_in(user=people.okafor, amr="pwd", acr="aal1", now=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
    with psycopg.connect(**address_of_the_test_database()) as other:
        other.execute("SELECT 1 FROM tokens_refreshfamily FOR UPDATE")
        refused = refresh(issued.refresh)
    assert (refused.status_code, refused["Retry-After"]) == (503, "5")
    assert refused.json()["code"] == "temporarily_unavailable"
    assert refresh(issued.refresh).status_code == 200
    connection.close()
    connection.close_pool()  # the next test gets connections without our short time-out


def refresh(token: str) -> Any:
    return Client(raise_request_exception=False).post(
        "/api/token/refresh/", {"refresh": token}, content_type="application/json"
    )


def address_of_the_test_database() -> dict[str, Any]:
    given = connection.settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    return {key: given[name] for key, name in names.items() if given[name]}
