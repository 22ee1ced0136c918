"""RFC 6750, bearer tokens, at the patient token's endpoint."""

from typing import Any

import pytest
from django.test import Client

from tests.people import People
from tests.tokens import calls
from tests.tokens.calls import PATIENT, post

pytestmark = pytest.mark.django_db


@pytest.fixture
def body(cast: People) -> dict[str, str]:
    return {"patient": str(cast.rosa.pk), "purpose_of_use": "TREAT", "scope": calls.OBSERVATIONS}


def test_section_2_1_the_authorization_header(issued: dict[str, Any], body: dict[str, str]) -> None:
    assert post(PATIENT, body, bearer=issued["access"]).status_code == 200


def test_section_2_2_no_form_parameter(issued: dict[str, Any], body: dict[str, str]) -> None:
    response = Client().post(PATIENT, {**body, "access_token": issued["access"]})
    assert response.status_code in (401, 415)


def test_section_2_3_no_query_parameter(issued: dict[str, Any], body: dict[str, str]) -> None:
    response = post(f"{PATIENT}?access_token={issued['access']}", body)
    assert response.status_code == 400
    assert issued["access"] not in response.content.decode()


def test_section_3_no_error_code_without_credentials(body: dict[str, str]) -> None:
    response = post(PATIENT, body)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")


def test_section_3_1_invalid_token(body: dict[str, str], patient_token: str) -> None:
    for token in ("a.b.c", patient_token):
        response = post(PATIENT, body, bearer=token)
        assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')


def test_section_4_the_token_response(issued: dict[str, Any], body: dict[str, str]) -> None:
    response = post(PATIENT, body, bearer=issued["access"])
    assert response.json()["token_type"] == "Bearer"
    assert isinstance(response.json()["expires_in"], int)
    assert (response["Cache-Control"], response["Pragma"]) == ("no-store", "no-cache")


def test_section_5_3_tokens_live_for_an_hour_at_most(issued: dict[str, Any], body: dict[str, str]) -> None:
    assert issued["expires_in"] <= 3600
    assert post(PATIENT, body, bearer=issued["access"]).json()["expires_in"] <= 300
