"""Programs never get a page: what Django itself refuses below /api/ has the shape of the API's own refusals."""

import pytest
from django.contrib.auth.decorators import login_not_required
from django.test import Client, override_settings
from django.urls import path

from idp import urls

pytestmark = pytest.mark.django_db


@login_not_required
def bug(request: object) -> None:
    raise ZeroDivisionError("secret value 4711")


urlpatterns = [*urls.urlpatterns, path("api/bug", bug), path(".well-known/bug", bug)]


@pytest.mark.parametrize(
    ("method", "address", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("POST", "/api/token/nothing", 404, "not_found"),
        ("POST", "/api/token", 404, "not_found"),
        ("POST", "/api/token/%00", 404, "not_found"),
        ("GET", "/.well-known/nothing", 404, "not_found"),
        ("POST", "/.well-known/jwks.json", 405, "method_not_allowed"),
        ("GET", "/api/bug", 500, "server_error"),
        ("GET", "/.well-known/bug", 500, "server_error"),
    ],
)
@override_settings(ROOT_URLCONF=__name__)
def test_a_program_is_refused_in_json(method: str, address: str, status: int, code: str) -> None:
    response = Client(raise_request_exception=False).generic(method, address)
    assert (response.status_code, response["Content-Type"]) == (status, "application/json")
    assert response.json()["code"] == code
    assert set(response.json()) == {"code", "detail"}
    assert response["Cache-Control"] == "no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Request-Id"]
    assert b"4711" not in response.content
    assert "nothing" not in response.content.decode().replace("There is nothing at this address", "")


@pytest.mark.parametrize("host", ["evil.example", "testserver@evil.example", "a b", "testserver:x"])
@pytest.mark.parametrize("address", ["/api/token/", "/api/schema/", "/.well-known/jwks.json"])
def test_another_host_is_refused(host: str, address: str) -> None:
    response = Client(raise_request_exception=False).get(address, headers={"host": host})
    assert (response.status_code, response["Content-Type"]) == (400, "application/json")
    assert response.json()["code"] == "invalid_request"


def test_probes_may_ask_by_any_name() -> None:
    assert Client().get("/livez", headers={"host": "10.0.0.7:8000"}).status_code == 200


def test_people_still_get_pages() -> None:
    response = Client(raise_request_exception=False).get("/nothing")
    assert response.status_code in (302, 404)
    assert "json" not in response["Content-Type"]
