"""RFC 7519, JSON Web Token claims, by joserfc's and Authlib's validation of our tokens, and ours of hostile ones."""

import time
from typing import Any

import pytest
from django.utils import timezone
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.people import People
from tests.tokens import calls, forging
from tokens import jose

pytestmark = pytest.mark.django_db
ISSUER, FHIR = "http://testserver", "http://testserver/fhir"


def verify(**changed: Any) -> dict[str, Any]:
    token = forging.signed(forging.header(), forging.claims(**changed))
    return jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=(ISSUER,), now=timezone.now())


def test_section_4_1_every_registered_claim_satisfies_joserfc(
    patient_token: str, jwks: dict[str, Any]
) -> None:
    token = jwt.decode(patient_token, KeySet.import_key_set(jwks), algorithms=["ES256"])
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": FHIR}, exp={"essential": True},
        sub={"essential": True}, iat={"essential": True}, jti={"essential": True},
    )  # fmt: skip
    registry.validate(token.claims)


@pytest.mark.parametrize("issuer", ["http://testserve", "http://testserver/", "testserver"])
def test_section_4_1_1_another_issuer_is_refused(cast: People, issuer: str) -> None:
    with pytest.raises(jose.TokenError, match="wrong_issuer"):
        verify(iss=issuer)


def test_section_4_1_2_the_subject_is_unique_and_says_nothing(cast: People, issued: dict[str, Any]) -> None:
    other = calls.obtain("lind")["access"]
    subjects = {jwt_claims(token)["sub"] for token in (issued["access"], other)}
    assert subjects == {str(cast.okafor.pk), str(cast.lind.pk)}


def test_section_4_1_3_a_token_for_somebody_else_is_refused(cast: People) -> None:
    with pytest.raises(jose.TokenError, match="wrong_audience"):
        verify(aud=FHIR)


def test_section_4_1_4_an_expired_token_is_refused(cast: People) -> None:
    with pytest.raises(jose.TokenExpired):
        verify(exp=int(time.time()) - jose.LEEWAY_SECONDS - 1)


def test_section_4_1_5_a_token_of_the_future_is_refused(cast: People) -> None:
    with pytest.raises(jose.TokenError, match="not_yet_valid"):
        verify(nbf=int(time.time()) + jose.LEEWAY_SECONDS + 2)


def test_section_4_1_6_times_are_integers(issued: dict[str, Any], patient_token: str) -> None:
    for token in (issued["access"], patient_token):
        claims = jwt_claims(token)
        assert {type(claims[name]) for name in ("exp", "iat", "auth_time")} == {int}


def test_section_4_1_7_no_two_tokens_share_a_jti(cast: People, issued: dict[str, Any]) -> None:
    tokens = [calls.patient_token(issued["access"], cast.rosa.pk).json()["access"] for _ in range(5)]
    assert len({jwt_claims(token)["jti"] for token in [*tokens, issued["access"]]}) == 6


def test_section_6_an_unsecured_token_is_refused(cast: People) -> None:
    body = forging.signed(forging.header(alg="none"), forging.claims()).rpartition(".")[0]
    for token in (f"{body}.", f"{body}.AA", body):
        with pytest.raises(jose.TokenError):
            jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=(ISSUER,), now=timezone.now())


def jwt_claims(token: str) -> dict[str, Any]:
    import json

    claims: dict[str, Any] = json.loads(forging.decode(token.split(".")[1]))
    return claims
