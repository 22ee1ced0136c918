"""Whether a token still holds is asked of the issuer; no clear answer is a 503, and only a yes may be remembered."""

from collections.abc import Callable
from wsgiref.types import WSGIApplication

import pytest

from examples.fhir_server.app import create_application
from examples.fhir_server.patients_file import People
from tests.examples.client import Get, call
from tests.examples.conftest import BASE_URL
from tests.examples.issuer import ROSA, Clock, Issuer

pytestmark = pytest.mark.embedded

TARGET = f"/Patient/{ROSA}"


@pytest.fixture
def remembering(issuer: Issuer, synthetic_people: People, clock: Clock) -> Callable[[float], WSGIApplication]:
    def make(seconds: float) -> WSGIApplication:
        return create_application(
            base_url=BASE_URL, issuer=issuer.url, jwks_url=issuer.jwks_url, verify_url=issuer.verify_url,
            resources=synthetic_people.compartment, verify_cache_seconds=seconds, now=clock.now, clock=clock.monotonic,
        )  # fmt: skip

    return make


def test_a_revoked_token_is_refused_at_its_next_use(get: Get, issuer: Issuer) -> None:
    token = issuer.mint()
    assert get(TARGET, token=token).status == 200
    issuer.revoked.add(token)
    assert get(TARGET, token=token).status == 401


def test_the_issuer_is_asked_each_time_by_default_and_gets_the_token_only(get: Get, issuer: Issuer) -> None:
    token = issuer.mint()
    for _ in range(3):
        get(TARGET, token=token)
    assert issuer.verify_asked == [{"token": token}] * 3


def test_a_token_whose_signature_fails_is_not_asked_about(get: Get, issuer: Issuer) -> None:
    get(TARGET, token=issuer.mint(aud="https://other.example"))
    assert issuer.verify_asked == []


@pytest.mark.parametrize("status", [204, 302, 400, 403, 404, 429, 500, 503])
def test_anything_but_yes_or_no_is_a_503(get: Get, issuer: Issuer, status: int) -> None:
    issuer.verify_status = status
    answer = get(TARGET, token=issuer.mint())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"true", b"<html>OK</html>", b"\xff", b"[" * 9000, b"{}" + b" " * 20_000]
)
def test_a_yes_that_is_not_the_issuers_is_a_503(get: Get, issuer: Issuer, body: bytes) -> None:
    issuer.verify_body = body
    assert get(TARGET, token=issuer.mint()).status == 503


def test_the_token_does_not_follow_a_redirect(get: Get, issuer: Issuer) -> None:
    issuer.verify_status, issuer.verify_headers = 307, {"Location": f"{issuer.url}/elsewhere"}
    assert get(TARGET, token=issuer.mint()).status == 503
    assert issuer.elsewhere_asked == []


def test_an_issuer_that_is_too_slow_is_a_503(get: Get, issuer: Issuer) -> None:
    issuer.verify_delay_seconds = 0.8
    assert get(TARGET, token=issuer.mint()).status == 503


def test_a_yes_is_remembered_for_the_configured_time(
    remembering: Callable[[float], WSGIApplication], issuer: Issuer, clock: Clock
) -> None:
    application, token = remembering(10), issuer.mint()
    assert call(application, TARGET, token=token).status == 200
    issuer.revoked.add(token)
    clock.advance(9.9)
    assert call(application, TARGET, token=token).status == 200
    clock.advance(0.1)
    assert call(application, TARGET, token=token).status == 401
    assert len(issuer.verify_asked) == 2


def test_a_yes_is_remembered_for_its_own_token_alone(
    remembering: Callable[[float], WSGIApplication], issuer: Issuer
) -> None:
    application, revoked = remembering(10), issuer.mint()
    assert call(application, TARGET, token=issuer.mint()).status == 200
    issuer.revoked.add(revoked)
    assert call(application, TARGET, token=revoked).status == 401


def test_a_no_is_never_remembered(remembering: Callable[[float], WSGIApplication], issuer: Issuer) -> None:
    application, token = remembering(10), issuer.mint()
    issuer.revoked.add(token)
    assert call(application, TARGET, token=token).status == 401
    issuer.revoked.clear()
    assert call(application, TARGET, token=token).status == 200


def test_a_remembered_yes_does_not_outlive_the_token(
    remembering: Callable[[float], WSGIApplication], issuer: Issuer, clock: Clock
) -> None:
    application, token = remembering(3600), issuer.mint(exp=int(clock.now()) + 60)
    assert call(application, TARGET, token=token).status == 200
    clock.advance(66)
    assert call(application, TARGET, token=token).status == 401
