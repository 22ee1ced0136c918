"""The log: a line for each request, with route, status and token id, and nothing about a person."""

import logging
import re

import pytest

from tests.examples.client import Get
from tests.examples.issuer import OTHER_PATIENT, ROSA, Issuer

pytestmark = pytest.mark.embedded

TARGETS = [
    f"/Patient/{ROSA}", f"/Patient/{OTHER_PATIENT}", "/Observation?code=2345-7&category=laboratory", "/Alvarez",
    "/Patient/Rosa", f"/Observation?patient={OTHER_PATIENT}", "/Observation?name=Alvarez", "/Observation?x=%ff",
    "/metadata",
]  # fmt: skip


@pytest.fixture(autouse=True)
def everything_is_captured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def test_each_request_is_one_line(get: Get, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    answer = get(f"/Patient/{ROSA}", token=issuer.mint(jti="jti-1"))
    [line] = caplog.messages
    assert re.fullmatch(
        rf"GET /Patient/\{{id\}} 200 \d+ ms {answer.headers['X-Request-Id']}: jti jti-1 for TREAT", line
    )


@pytest.mark.parametrize("target", TARGETS)
def test_no_line_has_a_person_a_token_or_what_was_asked(
    get: Get, issuer: Issuer, caplog: pytest.LogCaptureFixture, target: str
) -> None:
    good, bad = issuer.mint(), issuer.mint(aud="https://other.example")
    for token in (good, bad, "garbage", None):
        get(target, token=token)
    assert len(caplog.messages) == 4
    people = (ROSA, OTHER_PATIENT, "Alvarez", "Rosa")
    for secret in (*people, "laboratory", "2345-7", "%ff", "garbage", good, bad, good[-40:]):
        assert secret not in caplog.text


def test_the_log_says_why_a_token_was_refused_and_the_answer_does_not(
    get: Get, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    answer = get("/Observation", token=issuer.mint(aud="https://other.example"))
    assert "wrong audience" in caplog.text
    assert b"audience" not in answer.body


def test_a_line_cannot_be_broken_by_what_is_asked(
    get: Get, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    get("/Patient/x\r\nGET /forged 200", token=issuer.mint())
    get("/Patient", authorization="Bearer x\r\nforged")
    assert all("\n" not in line and "forged" not in line for line in caplog.messages)
