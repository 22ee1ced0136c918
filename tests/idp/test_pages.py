"""Error pages, the API's description, and what a person gets when the database is away."""

import os
import sqlite3
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import close_old_connections, connection
from django.http import Http404
from django.test import Client, override_settings
from django.urls import path

from idp import urls
from tests.accounts.portal import signed_in
from tests.people import PASSWORD, PHI, People

TYPED = "typed by somebody"
RAISED = {
    "bug": ZeroDivisionError(TYPED),
    "bad": BadRequest(TYPED),
    "suspicious": SuspiciousOperation(TYPED),
    "denied": PermissionDenied(TYPED),
    "gone": Http404(TYPED),
}


@login_not_required
def raising(request: object, what: str) -> None:
    raise RAISED[what]


urlpatterns = [*urls.urlpatterns, path("raise/<what>", raising)]
handler400, handler403, handler404, handler500 = (
    urls.handler400, urls.handler403, urls.handler404, urls.handler500,
)  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("what", "status", "title"),
    [
        ("bug", 500, "Something went wrong here"),
        ("bad", 400, "That request could not be read"),
        ("suspicious", 400, "That request could not be read"),
        ("denied", 403, "This is not open to you"),
        ("gone", 404, "There is no such page"),
    ],
)
@override_settings(ROOT_URLCONF=__name__)
def test_an_error_is_a_page_of_ours_with_its_reference(what: str, status: int, title: str) -> None:
    response = Client(raise_request_exception=False).get(f"/raise/{what}")
    page = response.content.decode()
    assert response.status_code == status
    assert f"<h1>{title}</h1>" in page
    assert response["X-Request-Id"] in page
    assert TYPED not in page
    assert "/raise/" not in page
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "no-store" in response["Cache-Control"]
    assert "css/wardkey.css" in page


@pytest.mark.django_db
def test_a_stale_form_is_a_page_of_ours_with_its_reference() -> None:
    response = Client(enforce_csrf_checks=True).post("/account/login/", {"login": TYPED})
    assert response.status_code == 403
    assert response["X-Request-Id"] in response.content.decode()
    assert TYPED not in response.content.decode()


def assert_unavailable(response: Any) -> None:
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert response["X-Request-Id"] in response.content.decode()
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "not ready at the moment" in response.content.decode()
    assert not any(phi in response.content.decode() for phi in PHI)


def ask_for_everything(client: Client) -> None:
    """Open a page, sign in, and ask for a token: 503 each, in the shape that each client reads."""
    assert_unavailable(client.get("/"))
    assert_unavailable(client.post("/", {"q": "MRN-000001"}))
    assert_unavailable(
        Client(raise_request_exception=False).post("/account/login/", {"login": "a", "password": "b"})
    )
    answer = Client(raise_request_exception=False).post(
        "/api/token/", {"username": "okafor", "password": PASSWORD}, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "temporarily_unavailable")
    assert int(answer["Retry-After"]) > 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="SQLite's lock")
def test_a_locked_database_is_a_503_everywhere(people: People) -> None:
    client = signed_in(people.okafor)
    client.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(settings.DATABASES["default"]["NAME"], isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        ask_for_everything(client)
    finally:
        other.rollback()
        other.close()
        connection.close()
    assert client.get("/").status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="PostgreSQL's connections")
def test_an_ended_connection_is_a_503_and_the_next_request_works(people: People) -> None:
    client = signed_in(people.okafor)
    client.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        end_connection(cursor.fetchone()[0])
    assert_unavailable(client.get("/"))
    close_old_connections()  # as the server does after each request
    assert client.get("/").status_code == 200


def end_connection(pid: int) -> None:
    """End a connection from another one, as an administrator of the database would."""
    import psycopg

    given = connection.settings_dict
    with psycopg.connect(
        host=given["HOST"],
        port=given["PORT"] or None,
        user=given["USER"],
        password=given["PASSWORD"],
        dbname=given["NAME"],
    ) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])


@pytest.mark.django_db
def test_the_description_of_the_api_is_valid_openapi() -> None:
    response = Client().get("/api/schema/", headers={"accept": "application/json"})
    assert response.status_code == 200
    command = [
        sys.executable,
        "-m",
        "django",
        "spectacular",
        "--validate",
        "--fail-on-warn",
        "--file",
        os.devnull,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ}, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()


@pytest.mark.django_db
def test_the_page_about_the_api_brings_no_script_of_its_own() -> None:
    page = Client().get("/api/docs/").content.decode()
    assert "<script>" not in page
    assert "<style" not in page
    assert "style=" not in page
