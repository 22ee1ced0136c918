"""No hostile token is believed: each kind gets the same 401, whatever is wrong with it."""

import base64
import hashlib
import hmac
import json
import uuid
from typing import Any

import jwt
import pytest

from examples.fhir_server.app import create_application
from tests.examples.client import Get
from tests.examples.conftest import BASE_URL
from tests.examples.issuer import OTHER_PATIENT, ROSA, Clock, Issuer, Key, ec_key

pytestmark = pytest.mark.embedded

TARGET = f"/Patient/{ROSA}"
REFUSAL = {
    "resourceType": "OperationOutcome",
    "issue": [{"severity": "error", "code": "login", "diagnostics": "A valid access token is required."}],
}


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(issuer: Issuer, header: bytes, payload: bytes) -> str:
    """Return a token whose signature holds over whatever bytes stand in it."""
    message = f"{encode(header)}.{encode(payload)}"
    signature = jwt.get_algorithm_by_name("ES256").sign(message.encode(), issuer.key.private)
    return f"{message}.{encode(signature)}"


def assert_refused(get: Get, token: str) -> None:
    answer = get(TARGET, token=token)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert answer.resource == REFUSAL


def test_a_good_token_opens_the_record(get: Get, issuer: Issuer) -> None:
    answer = get(TARGET, token=issuer.mint())
    assert answer.status == 200
    assert answer.resource["id"] == ROSA


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic b2thZm9yOnNlY3JldA==", "Bearer a b", "Bearer a,b", "Bearer\ta.b.c",
     "Bearer \xff\xfe.b.c", "a.b.c", "Bearer a.b.c, Bearer a.b.c"],
)  # fmt: skip
def test_without_a_bearer_token_nothing_opens(get: Get, authorization: str | None) -> None:
    answer = get(TARGET, authorization=authorization) if authorization is not None else get(TARGET)
    assert answer.status == 401
    assert answer.resource == REFUSAL


@pytest.mark.parametrize("word", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_is_spelled_in_any_letter_case(get: Get, issuer: Issuer, word: str) -> None:
    assert get(TARGET, authorization=f"{word} {issuer.mint()}").status == 200


WRONG_CLAIMS: list[dict[str, Any]] = [
    {"iss": "https://evil.example"}, {"iss": None}, {"iss": ["x"]},
    {"aud": "https://other.example"}, {"aud": None}, {"aud": [BASE_URL]}, {"aud": f"{BASE_URL}/"},
    {"exp": None}, {"exp": "2099-01-01"}, {"exp": 1.8e9}, {"exp": True}, {"exp": -1}, {"exp": 2**60}, {"exp": 10**400},
    {"iat": None}, {"iat": "now"}, {"iat": 2**40}, {"nbf": 2**40}, {"nbf": "soon"},
    {"jti": None}, {"jti": ""}, {"jti": "x" * 256}, {"jti": 7}, {"jti": "a\nb"},
    {"sub": None}, {"sub": "\ud800"}, {"client_id": None}, {"client_id": "Ärztin"},
    {"patient": None}, {"patient": ""}, {"patient": [ROSA]}, {"patient": f"{ROSA}/../x"}, {"patient": f"{ROSA}\n"},
    {"patient": "x" * 65}, {"purpose_of_use": None}, {"purpose_of_use": ["TREAT"]},
    {"scope": None}, {"scope": ["patient/*.rs"]}, {"scope": "patient/*.rs  patient/*.rs"}, {"scope": "a\"b"},
    {"cnf": {"jkt": "0" * 43}},
]  # fmt: skip


@pytest.mark.parametrize("claims", WRONG_CLAIMS, ids=lambda claims: json.dumps(claims)[:40])
def test_a_signed_token_with_a_wrong_claim_is_refused(
    get: Get, issuer: Issuer, claims: dict[str, Any]
) -> None:
    payload = {name: value for name, value in (issuer.claims() | claims).items() if value is not None}
    header = {"typ": "at+jwt", "alg": "ES256", "kid": issuer.key.kid}
    assert_refused(get, signed(issuer, json.dumps(header).encode(), json.dumps(payload).encode()))


WRONG_HEADERS: list[dict[str, Any]] = [
    {"typ": None}, {"typ": "JWT"}, {"typ": "logout+jwt"}, {"typ": ["at+jwt"]},
    {"kid": None}, {"kid": ""}, {"kid": 1}, {"kid": "../../etc/passwd"}, {"kid": "https://evil.example/key"},
    {"kid": "' OR 1=1"}, {"kid": "x" * 129}, {"kid": "nobody-knows-it"},
    {"crit": ["exp"]}, {"crit": []}, {"b64": False},
    {"alg": "RS256"}, {"alg": "ES384"}, {"alg": "HS256"}, {"alg": "none"}, {"alg": None}, {"alg": ["ES256"]},
]  # fmt: skip


@pytest.mark.parametrize("members", WRONG_HEADERS, ids=lambda members: json.dumps(members)[:40])
def test_a_signed_token_with_a_wrong_header_is_refused(
    get: Get, issuer: Issuer, members: dict[str, Any]
) -> None:
    header = {"typ": "at+jwt", "alg": "ES256", "kid": issuer.key.kid} | members
    header = {name: value for name, value in header.items() if value is not None}
    assert_refused(get, signed(issuer, json.dumps(header).encode(), json.dumps(issuer.claims()).encode()))


@pytest.mark.parametrize("member", ["jku", "x5u", "jwk"])
def test_a_key_that_the_token_brings_along_is_never_looked_at(get: Get, issuer: Issuer, member: str) -> None:
    own = ec_key()
    brought = own.jwk() if member == "jwk" else f"{issuer.url}/evil.json"
    token = issuer.mint(key=own, header={member: brought, "kid": issuer.key.kid})
    assert_refused(get, token)
    assert_refused(get, issuer.mint(key=own, header={member: brought}))
    assert issuer.elsewhere_asked == []


def test_the_public_key_is_no_hmac_secret(get: Get, issuer: Issuer) -> None:
    header = {"typ": "at+jwt", "alg": "HS256", "kid": issuer.key.kid}
    message = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(issuer.claims()).encode())}"
    mac = hmac.digest(issuer.key.public_pem(), message.encode(), hashlib.sha256)
    assert_refused(get, f"{message}.{encode(mac)}")


def test_a_key_of_one_algorithm_does_not_verify_another(get: Get, issuer: Issuer, rsa_2048: Key) -> None:
    issuer.published.append(rsa_2048.jwk())
    assert get(TARGET, token=issuer.mint(key=rsa_2048)).status == 200
    assert_refused(get, issuer.mint(key=rsa_2048, header={"kid": issuer.key.kid}))
    assert_refused(get, issuer.mint(header={"kid": rsa_2048.kid}))


def test_a_changed_claim_breaks_the_signature(get: Get, issuer: Issuer) -> None:
    header, _, signature = issuer.mint().split(".")
    claims = encode(json.dumps(issuer.claims(patient=OTHER_PATIENT)).encode())
    answer = get(f"/Patient/{OTHER_PATIENT}", token=f"{header}.{claims}.{signature}")
    assert answer.status == 401


def test_a_signature_of_zeros_or_none_is_refused(get: Get, issuer: Issuer) -> None:
    message = issuer.mint().rpartition(".")[0]
    for signature in (b"\x00" * 64, b"\x00" * 63, b"\xff" * 64):
        assert_refused(get, f"{message}.{encode(signature)}")
    assert_refused(get, f"{message}.")


def test_a_second_spelling_of_the_same_bytes_is_refused(get: Get, issuer: Issuer) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = issuer.mint()
    twin = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]  # unused bits of 64 bytes' last character
    assert base64.urlsafe_b64decode(token.split(".")[2] + "==") == base64.urlsafe_b64decode(
        twin.split(".")[2] + "=="
    )
    assert_refused(get, twin)
    assert_refused(get, f"{token}=")


MALFORMED = [
    b'{"typ":"at+jwt"', b"[]", b"null", b'"at+jwt"', b"\xff\xfe", b'{"typ":"at+jwt","typ":"at+jwt"}',
    b'{"kid":NaN}', b"[" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("part", MALFORMED, ids=lambda part: repr(part)[:30])
def test_malformed_json_in_header_or_claims_is_refused(get: Get, issuer: Issuer, part: bytes) -> None:
    good_header = json.dumps({"typ": "at+jwt", "alg": "ES256", "kid": issuer.key.kid}).encode()
    assert_refused(get, signed(issuer, part, json.dumps(issuer.claims()).encode()))
    assert_refused(get, signed(issuer, good_header, part))


def test_a_claim_that_appears_twice_is_refused(get: Get, issuer: Issuer) -> None:
    header = json.dumps({"typ": "at+jwt", "alg": "ES256", "kid": issuer.key.kid}).encode()
    claims = json.dumps(issuer.claims())
    twice = f'{{"patient": "{OTHER_PATIENT}", {claims[1:]}'.encode()
    assert_refused(get, signed(issuer, header, twice))


@pytest.mark.parametrize(
    "shape", ["a.b", "a.b.c.d", "a.b.c.d.e", "...", "a..c", "{}", "%61.b.c", "a.b.c" * 3000]
)
def test_what_is_not_a_signed_token_is_refused_without_asking_anybody(
    get: Get, issuer: Issuer, shape: str
) -> None:
    assert_refused(get, shape)
    assert (issuer.jwks_asked_at, issuer.verify_asked) == ([], [])


def test_a_token_over_eight_kilobytes_is_refused_without_asking_anybody(get: Get, issuer: Issuer) -> None:
    assert_refused(get, issuer.mint(filler="x" * 8192))
    assert issuer.jwks_asked_at == []


def test_a_token_ends_when_it_says_with_five_seconds_for_two_clocks(
    get: Get, issuer: Issuer, clock: Clock
) -> None:
    token = issuer.mint(exp=int(clock.now()) + 60)
    clock.advance(64.9)
    assert get(TARGET, token=token).status == 200
    clock.advance(0.1)
    assert_refused(get, token)


def test_a_token_from_the_future_is_refused_beyond_five_seconds(
    get: Get, issuer: Issuer, clock: Clock
) -> None:
    now = int(clock.now())
    assert get(TARGET, token=issuer.mint(iat=now + 5, nbf=now + 5)).status == 200
    assert_refused(get, issuer.mint(iat=now + 6))
    assert_refused(get, issuer.mint(nbf=now + 6))
    assert_refused(get, issuer.mint(iat=now, exp=now))


def test_a_hundred_random_bit_flips_of_a_good_token_are_all_refused(get: Get, issuer: Issuer) -> None:
    token = issuer.mint()
    for seed in range(100):
        at = uuid.uuid5(uuid.NAMESPACE_OID, str(seed)).int % len(token)
        flipped = token[:at] + chr(ord(token[at]) ^ 1) + token[at + 1 :]
        assert get(TARGET, token=flipped).status == 401, at


def test_every_refusal_looks_the_same(get: Get, issuer: Issuer) -> None:
    revoked = issuer.mint()
    issuer.revoked.add(revoked)
    tokens = [issuer.mint(aud="x"), issuer.mint(key=ec_key()), revoked, "garbage", issuer.mint(exp=1, iat=0)]
    answers = [get(TARGET, token=token) for token in tokens]
    assert all(answer.same_as(answers[0]) for answer in answers)


def test_a_client_cannot_choose_a_leeway_beyond_five_seconds(issuer: Issuer) -> None:
    with pytest.raises(ValueError, match="leeway"):
        create_application(
            base_url=BASE_URL, issuer=issuer.url, jwks_url=issuer.jwks_url, verify_url=issuer.verify_url,
            resources=lambda _: {}, leeway_seconds=6,
        )  # fmt: skip
