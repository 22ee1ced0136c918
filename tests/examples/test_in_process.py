"""The mounted server asks Wardkey itself, in its own thread: the whole application answers, only the socket is gone."""

import functools
from typing import TYPE_CHECKING
from wsgiref.validate import validator

import pytest
from django.core.wsgi import get_wsgi_application

from examples.fhir_server.app import create_application
from examples.fhir_server.in_process import asker
from examples.fhir_server.outbound import Ask, Unreachable
from examples.fhir_server.patients_file import People
from tests.examples.client import Get, call
from tests.people import PASSWORD

if TYPE_CHECKING:
    from django.test import Client

    from tests.people import People as Cast

ISSUER = "http://testserver"
JWKS = f"{ISSUER}/.well-known/jwks.json"
VERIFY = f"{ISSUER}/api/token/verify/"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ask(signing_keys: None) -> Ask:
    return asker(validator(get_wsgi_application()))


@pytest.fixture
def get(ask: Ask) -> Get:
    return functools.partial(
        call,
        create_application(
            base_url=f"{ISSUER}/fhir", issuer=ISSUER, jwks_url=JWKS, verify_url=VERIFY,
            resources=People([], []).compartment, ask=ask,
        ),
    )  # fmt: skip


def patient_token(client: "Client", people: "Cast") -> str:
    given = {"username": "okafor", "password": PASSWORD}
    base = client.post("/api/token/", given, content_type="application/json").json()["access"]
    wanted = {"patient": str(people.rosa.pk), "purpose_of_use": "TREAT", "scope": "patient/Observation.rs"}
    answer = client.post(
        "/api/token/patient/",
        wanted,
        content_type="application/json",
        headers={"Authorization": f"Bearer {base}"},
    )
    token: str = answer.json()["access"]
    return token


def test_the_answer_is_the_applications_with_its_headers(ask: Ask) -> None:
    answer = ask(JWKS, timeout_seconds=1, size_limit=65_536)
    assert answer.status == 200
    assert answer.headers.get("cache-control") == answer.headers.get("Cache-Control") == "public, max-age=300"
    assert b'"kid"' in answer.body


def test_a_refusal_is_the_applications(ask: Ask) -> None:
    answer = ask(VERIFY, body=b'{"token": "garbage"}', timeout_seconds=1, size_limit=65_536)
    assert answer.status == 401
    assert ask(VERIFY, body=b"no json", timeout_seconds=1, size_limit=65_536).status == 400


def test_an_answer_over_the_limit_is_none(ask: Ask) -> None:
    with pytest.raises(Unreachable):
        ask(JWKS, timeout_seconds=1, size_limit=10)


def test_wardkeys_own_token_is_believed_until_it_is_revoked(
    get: Get, client: "Client", people: "Cast"
) -> None:
    token = patient_token(client, people)
    assert get("/Observation", token=token).status == 200
    client.post("/api/token/revoke/", {"token": token}, content_type="application/json")
    assert get("/Observation", token=token).status == 401
