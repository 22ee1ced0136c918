"""RFC 7515, JSON Web Signature, by joserfc's and Authlib's verifiers and the RFC's own examples."""

import base64
import json
import re
from typing import Any

import pytest
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

from tests.spec.authlib_jose import JsonWebKey, JsonWebSignature
from tests.tokens import forging
from tokens import jose

pytestmark = pytest.mark.django_db


def test_section_2_base64url_has_no_padding_and_no_line_breaks(patient_token: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", patient_token)


def test_section_3_1_the_compact_serialization_is_verified_by_joserfc(
    patient_token: str, jwks: dict[str, Any]
) -> None:
    verified = jws.deserialize_compact(patient_token, KeySet.import_key_set(jwks), algorithms=["ES256"])
    assert json.loads(verified.payload)["patient"]
    head, payload, signature = patient_token.split(".")
    with pytest.raises(BadSignatureError):
        jws.deserialize_compact(
            f"{head}.{payload[:-2]}AA.{signature}", KeySet.import_key_set(jwks), algorithms=["ES256"]
        )


def test_section_3_1_the_compact_serialization_is_verified_by_authlib(
    patient_token: str, jwks: dict[str, Any]
) -> None:
    key_set = JsonWebKey.import_key_set(jwks)
    found = JsonWebSignature(["ES256"]).deserialize_compact(
        patient_token, lambda header, payload: key_set.find_by_kid(header["kid"])
    )
    assert json.loads(found["payload"])["patient"]


def test_section_4_1_1_and_4_1_4_the_header_says_algorithm_key_and_type_and_nothing_else(
    patient_token: str,
) -> None:
    header = json.loads(forging.decode(patient_token.split(".")[0]))
    assert header.keys() == {"alg", "kid", "typ"}
    assert header["alg"] == "ES256"


def test_section_4_1_11_a_critical_extension_that_is_not_understood_is_refused(cast: object) -> None:
    with pytest.raises(jose.TokenError):
        verify(forging.signed(forging.header(crit=["http://example.com/UNDEFINED"]), forging.claims()))


def test_section_5_2_step_8_the_signature_is_over_the_input_as_it_came(issued: dict[str, Any]) -> None:
    head, payload, signature = issued["access"].split(".")
    rewritten = forging.encode(json.dumps(json.loads(forging.decode(payload)), indent=1).encode())
    with pytest.raises(jose.TokenError):
        verify(f"{head}.{rewritten}.{signature}")


def test_section_7_2_the_json_serializations_are_no_tokens(issued: dict[str, Any]) -> None:
    head, payload, signature = issued["access"].split(".")
    with pytest.raises(jose.TokenError):
        verify(json.dumps({"protected": head, "payload": payload, "signature": signature}))


EXAMPLES = {  # genuine, and none of ours
    "A.1": """eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt
        cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk""",
    "A.3": """eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290
        Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q""",
    "A.5": """eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290
        Ijp0cnVlfQ.""",
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_appendix_a_the_examples_are_refused(cast: object, example: str) -> None:
    with pytest.raises(jose.TokenError):
        verify("".join(EXAMPLES[example].split()))


def test_appendix_c_base64url_of_the_examples_bytes() -> None:
    assert forging.encode(bytes([3, 236, 255, 224, 193])) == "A-z_4ME"
    assert base64.urlsafe_b64decode("A-z_4ME=") == bytes([3, 236, 255, 224, 193])


def verify(token: str) -> dict[str, Any]:
    from django.utils import timezone

    return jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=("http://testserver",), now=timezone.now())
