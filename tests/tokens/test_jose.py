"""Every hostile token there is, and that it is refused; the RFCs' own rules are in tests/spec/."""

import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.utils import timezone

from tests.tokens import forging
from tests.tokens.forging import claims, header, signed
from tokens import jose, key_ring

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_keys")]


def verify(token: Any) -> dict[str, Any]:
    audiences = (settings.WARDKEY_ISSUER,)
    return jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=audiences, now=timezone.now())


def refusal(token: Any) -> str:
    with pytest.raises(jose.TokenError) as refused:
        verify(token)
    return str(refused.value)


def test_what_is_minted_holds() -> None:
    minted = jose.mint(claims(), typ=jose.ACCESS_TOKEN)
    assert verify(minted)["client_id"] == "direct"
    assert verify(signed(header(), claims()))["client_id"] == "direct"


@pytest.mark.parametrize(
    "token",
    [
        None, 7, b"a.b.c", "", ".", "..", "...", "a.b", "a.b.c.d", "a.b.c.d.e", " a.b.c", "ä.b.c", "a.b.c\n", "a.b.",
        ".b.c", "a..c", "e30.e30.e30", "bnVsbA.e30.e30", "W10.e30.e30", "\ud800.b.c", "a.b.c" * 2000, "%00.b.c",
    ],
)  # fmt: skip
def test_what_is_no_jws_is_refused(token: Any) -> None:
    assert refusal(token) in ("not_a_jws", "bad_header", "wrong_typ")


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "PS256", "ES384", 7, None]
)
def test_another_algorithm_is_refused_whatever_the_signature(algorithm: Any) -> None:
    assert refusal(signed(header(alg=algorithm), claims())) == "wrong_algorithm"


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
def test_the_public_key_is_no_hmac_secret(form: PublicFormat) -> None:
    signer = key_ring.current().signer("RS256")
    for encoding in (Encoding.PEM, Encoding.DER):
        secret = signer.key.public_key().public_bytes(encoding, form)
        body = signed(header(alg="HS256", kid=signer.kid), claims(), algorithm="RS256").rpartition(".")[0]
        token = f"{body}.{forging.encode(hmac.digest(secret, body.encode(), hashlib.sha256))}"
        assert refusal(token) == "wrong_algorithm"


def test_an_unsigned_token_is_refused() -> None:
    body = signed(header(), claims()).rpartition(".")[0]
    assert refusal(f"{body}.") == "not_a_jws"
    assert refusal(f"{body}.AAAA") == "jose_InvalidSignatureError"


def test_an_rsa_key_does_not_verify_under_es256_nor_the_other_way_round() -> None:
    kids = {algorithm: key_ring.current().signer(algorithm).kid for algorithm in ("ES256", "RS256")}
    assert refusal(signed(header(kid=kids["RS256"]), claims(), algorithm="RS256")) == "wrong_algorithm"
    assert refusal(signed(header(alg="RS256"), claims())) == "wrong_algorithm"
    assert refusal(signed(header(alg="RS256", kid=kids["RS256"]), claims())) == "jose_InvalidSignatureError"
    assert verify(signed(header(alg="RS256", kid=kids["RS256"]), claims(), algorithm="RS256"))


def test_a_key_of_somebody_elses_is_refused_even_under_our_kid() -> None:
    theirs = ec.generate_private_key(ec.SECP256R1())
    assert refusal(signed(header(), claims(), key=theirs)) == "jose_InvalidSignatureError"


@pytest.mark.parametrize(
    "kid",
    [
        None, "", "../../../../dev/null", "/etc/passwd", "https://evil.example/jwks.json", "' OR 1=1 --", "\x00",
        "x" * 60_000, ["a"], {"a": 1}, 7, True, "\ud800",
    ],
)  # fmt: skip
def test_a_kid_is_looked_up_in_our_own_ring_and_nowhere_else(kid: Any) -> None:
    token = signed(header(kid=kid), claims())
    assert refusal(token) in ("unknown_key", "bad_header", "not_a_jws")


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c", "x5t"])
def test_a_key_that_the_header_brings_along_is_never_used(name: str) -> None:
    theirs = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = theirs.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": forging.encode(numbers.n.to_bytes(256)), "e": "AQAB", "kid": "theirs"}
    brought = {"jwk": jwk, "x5c": ["MII="]}.get(name, "https://evil.example/keys")
    token = signed(header(**{name: brought, "kid": "theirs", "alg": "RS256"}), claims(), key=theirs)
    assert refusal(token) == "unknown_key"
    assert verify(signed(header(**{name: brought}), claims())), "beside our own kid it is merely ignored"


@pytest.mark.parametrize("crit", [["exp"], ["b64"], [], "exp", None, ["kid", "kid"]])
def test_a_critical_header_is_refused(crit: Any) -> None:
    head = header()
    head["crit"] = crit
    assert refusal(signed(head, claims())) in ("critical_header", "bad_header")


@pytest.mark.parametrize("b64", [True, False])
def test_an_unencoded_payload_is_refused(b64: bool) -> None:
    assert refusal(signed(header(b64=b64), claims())) in ("critical_header", "bad_header")


@pytest.mark.parametrize(
    "typ", [None, "JWT", "jwt", "AT+JWT", "application/at+jwt", "logout+jwt", "at+jwt ", 7, ["at+jwt"]]
)
def test_another_kind_of_token_is_refused(typ: Any) -> None:
    assert refusal(signed(header(typ=typ), claims())) == "wrong_typ"


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope"])
def test_a_required_claim_that_is_missing_or_null_is_refused(name: str) -> None:
    assert refusal(signed(header(), claims(**{name: None}))) == f"claim_{name}"
    assert refusal(signed(header(), {**claims(), name: None})) == f"claim_{name}"


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "auth_time"])
@pytest.mark.parametrize("value", ["1", "9" * 30, 1e10, True, False, [], {}, float("inf"), float("nan")])
def test_a_time_that_is_no_integer_is_refused(name: str, value: Any) -> None:
    assert refusal(signed(header(), {**claims(), name: value})).startswith(("claim_", "jose_"))


def test_times_are_compared_whatever_their_size() -> None:
    assert refusal(signed(header(), claims(exp=-(10**30)))) == "expired"
    assert refusal(signed(header(), claims(iat=10**30))) == "not_yet_valid"
    assert refusal(signed(header(), claims(nbf=int(time.time()) + 60))) == "not_yet_valid"
    longer_than_python_reads = json.dumps(claims())[:-1] + f', "auth_time": {"9" * 5000}}}'
    assert refusal(signed(header(), longer_than_python_reads.encode())) == "jose_DecodeError"
    assert verify(signed(header(), claims(exp=10**30)))


def test_the_clock_is_the_callers_and_gives_five_seconds() -> None:
    token = signed(header(), claims(exp=int(time.time()) + 100))
    audiences = (settings.WARDKEY_ISSUER,)
    now = timezone.now()
    jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=audiences, now=now + timedelta(seconds=104))
    with pytest.raises(jose.TokenExpired):
        jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=audiences, now=now + timedelta(seconds=106))
    with pytest.raises(jose.TokenError):
        jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=audiences, now=now - timedelta(seconds=10))


@pytest.mark.parametrize(
    "issuer", ["http://testserver/", "http://testserver.evil.example", "http://", "", "HTTP://TESTSERVER", ["a"], 7]
)  # fmt: skip
def test_an_issuer_that_is_not_ours_to_the_letter_is_refused(issuer: Any) -> None:
    assert refusal(signed(header(), claims(iss=issuer))) in ("wrong_issuer", "claim_iss")


@pytest.mark.parametrize(
    "audience",
    [
        ["http://testserver"],
        "http://testserver/fhir",
        "http://testserver/",
        "",
        {},
        7,
        ["http://testserver", "x"],
    ],
)
def test_an_audience_that_is_not_exactly_this_one_is_refused(audience: Any) -> None:
    assert refusal(signed(header(), claims(aud=audience))) in ("wrong_audience", "claim_aud")


@pytest.mark.parametrize(
    "name", ["sub", "client_id", "sid", "jti", "scope", "patient", "purpose_of_use", "basis", "acr"]
)
@pytest.mark.parametrize("value", [7, ["a"], {"a": 1}, "\ud800", "a\nb", "\x00", "a\u202eb"])
def test_a_text_claim_is_printable_text(name: str, value: Any) -> None:
    assert refusal(signed(header(), {**claims(), name: value})).startswith(("claim_", "jose_"))


def test_a_second_spelling_of_a_token_is_refused() -> None:
    token = signed(header(), claims())
    head, payload, signature = token.split(".")
    assert verify(token)
    last = signature[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    respelled = alphabet[alphabet.index(last) ^ 1]  # the lowest of four unused bits
    assert forging.decode(signature) == forging.decode(signature[:-1] + respelled)
    spellings = [
        f"{head}.{payload}.{signature[:-1]}{respelled}", f"{head}.{payload}.{signature}==",
        f"{head}.{payload}.{signature}=",
        f"{token}\n", f"{token} ", f" {token}", f"{token}.", f"{head}=.{payload}.{signature}", f"{token}\x00",
        f"{head}.{payload}.{signature[:40]}\n{signature[40:]}", token.replace("-", "+").replace("_", "/") + "=",
    ]  # fmt: skip
    for spelling in spellings:
        assert refusal(spelling) in ("not_a_jws", "bad_header", "jose_DecodeError"), spelling


@pytest.mark.parametrize("part", ["header", "payload"])
def test_deep_nesting_is_refused(part: str) -> None:
    deep = b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    head, payload = (deep, claims()) if part == "header" else (header(), deep)
    assert refusal(signed(head, payload)) == "not_a_jws", "longer than 8 kB"
    shallower = b'{"a":' + b"[" * 2800 + b"]" * 2800 + b"}"
    head, payload = (shallower, claims()) if part == "header" else (header(), shallower)
    token = signed(head, payload)
    assert len(token) <= jose.MAX_LENGTH
    refusal(token)


def test_more_than_eight_kilobytes_are_refused_unread() -> None:
    assert verify(signed(header(), claims(note="x" * 5000)))
    assert refusal(signed(header(), claims(note="x" * 8000))) == "not_a_jws"


def test_a_repeated_claim_cannot_hide_another() -> None:
    """RFC 7519 section 4 allows the last one to count; what is refused must not depend on which is looked at."""
    doubled = json.dumps(claims())[:-1] + ', "exp": 1}'
    assert refusal(signed(header(), doubled.encode())) == "expired"
    head = json.dumps(header())[:-1] + ', "alg": "none"}'
    assert refusal(signed(head.encode(), claims())) == "wrong_algorithm"


@pytest.mark.parametrize(
    "payload", [b"null", b"[]", b"7", b'"text"', b"{", b"\xff\xfe", b"", b'{"exp": NaN}']
)
def test_a_payload_that_is_no_json_object_is_refused(payload: bytes) -> None:
    assert refusal(signed(header(), payload))


def test_every_flipped_bit_is_noticed() -> None:
    token = signed(header(), claims())
    for position in range(0, len(token), 7):
        if token[position] != ".":
            other = "A" if token[position] != "A" else "B"
            refusal(token[:position] + other + token[position + 1 :])
