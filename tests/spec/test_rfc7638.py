"""RFC 7638, JWK thumbprints."""

from typing import Any

import pytest
from joserfc.jwk import KeySet

from tokens.jwk import thumbprint

EXAMPLE = {  # section 3.1
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK"
        "RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMic"
        "AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3"
        "XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    ),
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def test_section_3_1_the_example() -> None:
    assert thumbprint(EXAMPLE) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_section_3_2_optional_members_do_not_count() -> None:
    assert thumbprint({"kty": "RSA", "n": EXAMPLE["n"], "e": "AQAB", "use": "sig"}) == thumbprint(EXAMPLE)


@pytest.mark.django_db
def test_section_3_every_served_kid_is_the_thumbprint_that_joserfc_computes(jwks: dict[str, Any]) -> None:
    for key in KeySet.import_key_set(jwks).keys:
        assert key.kid == key.thumbprint()
