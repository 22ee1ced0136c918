"""RFC 9068, JWT profile for OAuth 2.0 access tokens."""

import json
from typing import Any

import pytest
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from django.utils import timezone

from tests.people import People
from tests.tokens import forging
from tokens import jose

pytestmark = pytest.mark.django_db
ISSUER, FHIR = "http://testserver", "http://testserver/fhir"


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, claims, _ = token.split(".")
    return json.loads(forging.decode(head)), json.loads(forging.decode(claims))


def test_section_2_1_type_and_algorithm(issued: dict[str, Any], patient_token: str) -> None:
    for token in (issued["access"], patient_token):
        assert parts(token)[0]["typ"] == "at+jwt"
        assert parts(token)[0]["alg"] == "ES256"


def test_section_2_1_rs256_is_supported(cast: People) -> None:
    token = jose.mint(forging.claims(), typ=jose.ACCESS_TOKEN, algorithm="RS256")
    assert parts(token)[0]["alg"] == "RS256"
    assert jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=(ISSUER,), now=timezone.now())


def test_section_2_2_the_required_claims_are_there_by_authlibs_own_check(
    issued: dict[str, Any], patient_token: str
) -> None:
    for token, audience in ((issued["access"], ISSUER), (patient_token, FHIR)):
        header, payload = parts(token)
        claims = JWTAccessTokenClaims(
            payload,
            header,
            {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": audience}},
        )
        claims.validate()


def test_section_2_2_1_authentication_is_told_and_kept_through_refresh_and_exchange(
    issued: dict[str, Any], patient_token: str
) -> None:
    base, given = parts(issued["access"])[1], parts(patient_token)[1]
    for name in ("auth_time", "acr", "amr", "sid", "sub", "client_id"):
        assert base[name] == given[name]


def test_section_2_2_3_the_scope_is_what_was_granted(patient_token: str) -> None:
    assert parts(patient_token)[1]["scope"] == "patient/Observation.rs"


@pytest.mark.parametrize("typ", ["JWT", "logout+jwt", "secevent+jwt", None])
def test_section_4_another_type_such_as_an_id_tokens_is_refused(cast: People, typ: str | None) -> None:
    token = forging.signed(forging.header(typ=typ), forging.claims())
    with pytest.raises(jose.TokenError, match="wrong_typ"):
        jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=(ISSUER,), now=timezone.now())


def test_section_5_each_kind_has_an_audience_of_its_own(issued: dict[str, Any], patient_token: str) -> None:
    assert parts(issued["access"])[1]["aud"] == ISSUER
    assert parts(patient_token)[1]["aud"] == FHIR


def test_section_6_nothing_in_a_token_tells_who_the_person_is(
    cast: People, issued: dict[str, Any], patient_token: str
) -> None:
    allowed = {
        "iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "sid", "auth_time", "acr", "amr", "patient",
        "purpose_of_use", "basis",
    }  # fmt: skip
    assert parts(issued["access"])[1].keys() <= allowed
    assert parts(patient_token)[1].keys() == allowed
