"""RFC 7009, token revocation, in the API's own JSON (docs/divergences.md)."""

from typing import Any

import pytest

from tests.people import People
from tests.tokens import calls
from tests.tokens.calls import REFRESH, REVOKE, VERIFY, post

pytestmark = pytest.mark.django_db


def test_section_2_1_everything_of_a_refresh_token_ends(issued: dict[str, Any], patient_token: str) -> None:
    assert post(REVOKE, {"token": issued["refresh"]}).status_code == 200
    assert post(REFRESH, {"refresh": issued["refresh"]}).status_code == 401
    for token in (issued["access"], patient_token):
        assert post(VERIFY, {"token": token}).status_code == 401


def test_section_2_1_an_access_token_ends_its_refresh_token_too(issued: dict[str, Any]) -> None:
    assert post(REVOKE, {"token": issued["access"]}).status_code == 200
    assert post(REFRESH, {"refresh": issued["refresh"]}).status_code == 401


def test_section_2_1_a_used_refresh_token_still_ends_its_family(issued: dict[str, Any]) -> None:
    newer = post(REFRESH, {"refresh": issued["refresh"]}).json()
    assert post(REVOKE, {"token": issued["refresh"]}).status_code == 200
    assert post(REFRESH, {"refresh": newer["refresh"]}).status_code == 401


def test_section_2_2_an_invalid_token_is_a_200_that_tells_nothing(issued: dict[str, Any]) -> None:
    answers = [
        post(REVOKE, {"token": token})
        for token in ("x", "a.b.c", "A" * 91, issued["refresh"], issued["refresh"])
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, b"{}")}


def test_section_2_2_1_other_families_go_on(cast: People, issued: dict[str, Any]) -> None:
    other = calls.obtain()
    post(REVOKE, {"token": issued["refresh"]})
    assert post(VERIFY, {"token": other["access"]}).status_code == 200
    assert post(REFRESH, {"refresh": other["refresh"]}).status_code == 200


def test_section_5_a_malformed_request_ends_nothing(issued: dict[str, Any]) -> None:
    for body in (
        {},
        {"token": issued["refresh"], "token_type_hint": "refresh_token"},
        {"token": [issued["refresh"]]},
    ):
        assert post(REVOKE, body).status_code == 400
    assert post(REFRESH, {"refresh": issued["refresh"]}).status_code == 200
