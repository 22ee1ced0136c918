"""RFC 8725, JSON Web Token best current practices: one test for each recommendation that binds us."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.utils import timezone

from tests.people import People
from tests.tokens import forging
from tests.tokens.forging import claims, header, signed
from tokens import jose, key_ring
from tokens.models import SigningKey

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("cast")]


def refused(token: str) -> str:
    with pytest.raises(jose.TokenError) as error:
        jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=("http://testserver",), now=timezone.now())
    return str(error.value)


def test_section_3_1_the_algorithm_is_the_keys_and_not_the_headers() -> None:
    signer = key_ring.current().signer("RS256")
    pem = signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = ".".join(
        forging.encode(json.dumps(part).encode()) for part in (header(alg="HS256", kid=signer.kid), claims())
    )
    token = f"{body}.{forging.encode(hmac.digest(pem, body.encode(), hashlib.sha256))}"
    assert refused(token) == "wrong_algorithm"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS384", "PS256", "ES256K", "EdDSA"])
def test_section_3_2_only_algorithms_in_use_are_accepted(algorithm: str) -> None:
    assert refused(signed(header(alg=algorithm), claims())) == "wrong_algorithm"
    assert set(SigningKey.objects.values_list("algorithm", flat=True)) == {"ES256", "RS256"}


def test_section_3_3_a_token_inside_a_token_is_not_opened() -> None:
    inner = signed(header(), claims())
    assert refused(signed(header(cty="JWT"), inner.encode())).startswith("jose_")


def test_section_3_5_keys_are_strong() -> None:
    key = key_ring.current().signer("RS256").key
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size >= 2048


def test_section_3_7_what_is_not_utf_8_is_refused() -> None:
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"):
        assert refused(signed(header(), json.dumps(claims()).encode(encoding))) == "not_utf_8"
        assert refused(signed(json.dumps(header()).encode(encoding), claims())) == "not_utf_8"


def test_section_3_8_issuer_and_subject_are_checked() -> None:
    assert refused(signed(header(), claims(iss="http://evil.example"))) == "wrong_issuer"
    assert refused(signed(header(), claims(sub=None))) == "claim_sub"


def test_section_3_9_the_audience_is_checked() -> None:
    assert refused(signed(header(), claims(aud="http://other.example"))) == "wrong_audience"
    assert refused(signed(header(), claims(aud=["http://testserver"]))) == "claim_aud"


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR '1'='1", "http://169.254.169.254/", "a" * 64])
def test_section_3_10_what_the_header_claims_is_not_trusted(kid: str) -> None:
    assert (
        refused(signed(header(kid=kid, jku="https://evil.example/jwks", x5u="file:///etc/passwd"), claims()))
        == "unknown_key"
    )


def test_section_3_11_types_are_explicit() -> None:
    assert refused(signed(header(typ=None), claims())) == "wrong_typ"
    assert refused(signed(header(typ="JWT"), claims())) == "wrong_typ"


def test_section_3_12_a_token_of_one_kind_is_never_taken_for_another(
    cast: People, issued: dict[str, Any], patient_token: str
) -> None:
    fhir = ("http://testserver/fhir",)
    assert refused(patient_token) == "wrong_audience"
    with pytest.raises(jose.TokenError):
        jose.verify(issued["access"], typ=jose.ACCESS_TOKEN, audiences=fhir, now=timezone.now())
