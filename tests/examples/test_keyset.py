"""The published keys: kept as long as the issuer says, asked for again when a key is new, never guessed."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from examples.fhir_server.keyset import PublishedKeys, freshness_seconds, parse_key, parse_key_set
from examples.fhir_server.outbound import Unreachable
from tests.examples.client import Get
from tests.examples.issuer import ROSA, Clock, Issuer, Key, ec_key

pytestmark = pytest.mark.embedded

TARGET = f"/Patient/{ROSA}"


@pytest.fixture
def keys(issuer: Issuer, clock: Clock) -> PublishedKeys:
    return PublishedKeys(issuer.jwks_url, timeout_seconds=0.5, clock=clock.monotonic)


def test_one_fetch_serves_many_requests(get: Get, issuer: Issuer) -> None:
    assert [get(TARGET, token=issuer.mint()).status for _ in range(5)] == [200] * 5
    assert len(issuer.jwks_asked_at) == 1


def test_the_set_is_fetched_again_when_max_age_is_over(
    keys: PublishedKeys, issuer: Issuer, clock: Clock
) -> None:
    keys.find(issuer.key.kid)
    clock.advance(299.9)
    keys.find(issuer.key.kid)
    assert len(issuer.jwks_asked_at) == 1
    clock.advance(0.1)
    keys.find(issuer.key.kid)
    assert len(issuer.jwks_asked_at) == 2


def test_a_rotation_is_noticed_at_the_first_token_of_the_new_key(
    get: Get, issuer: Issuer, clock: Clock
) -> None:
    before = issuer.mint()
    assert get(TARGET, token=before).status == 200
    new = ec_key()
    issuer.published.append(new.jwk())
    clock.advance(2)
    assert get(TARGET, token=issuer.mint(key=new)).status == 200
    assert get(TARGET, token=before).status == 200
    assert len(issuer.jwks_asked_at) == 2


def test_made_up_kids_cause_one_fetch_a_second(get: Get, issuer: Issuer, clock: Clock) -> None:
    get(TARGET, token=issuer.mint())
    for _ in range(3):
        clock.advance(1)
        for _ in range(10):
            assert get(TARGET, token=issuer.mint(key=ec_key())).status == 401
    assert len(issuer.jwks_asked_at) == 4


def test_many_threads_at_the_start_cause_one_fetch(keys: PublishedKeys, issuer: Issuer) -> None:
    barrier = threading.Barrier(8)

    def find() -> bool:
        barrier.wait()
        return keys.find(issuer.key.kid) is not None

    with ThreadPoolExecutor(8) as pool:
        assert all(future.result() for future in [pool.submit(find) for _ in range(8)])
    assert len(issuer.jwks_asked_at) == 1


def test_a_key_that_is_no_longer_published_is_unknown_when_max_age_is_over(
    get: Get, issuer: Issuer, clock: Clock
) -> None:
    token = issuer.mint(exp=int(clock.now()) + 3600)
    assert get(TARGET, token=token).status == 200
    issuer.published = [ec_key().jwk()]
    clock.advance(300)
    assert get(TARGET, token=token).status == 401


@pytest.mark.parametrize(
    ("status", "body"), [(500, b"{}"), (302, b""), (200, b"<html>"), (200, b"[]"), (404, b"{}")]
)
def test_no_key_set_is_a_503_with_retry_after(get: Get, issuer: Issuer, status: int, body: bytes) -> None:
    issuer.jwks_status, issuer.jwks_body = status, body
    answer = get(TARGET, token=issuer.mint())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert answer.resource["issue"][0]["code"] == "transient"


def test_a_redirect_is_not_followed(get: Get, issuer: Issuer) -> None:
    issuer.jwks_status, issuer.jwks_headers = 302, {"Location": f"{issuer.url}/elsewhere"}
    assert get(TARGET, token=issuer.mint()).status == 503
    assert issuer.elsewhere_asked == []


def test_a_short_outage_is_not_noticed_and_a_long_one_fails_closed(
    get: Get, issuer: Issuer, clock: Clock
) -> None:
    token = issuer.mint(exp=int(clock.now()) + 3600)
    assert get(TARGET, token=token).status == 200
    issuer.jwks_status = 500
    clock.advance(299)
    assert get(TARGET, token=token).status == 200
    clock.advance(1)
    assert get(TARGET, token=token).status == 503
    issuer.jwks_status = 200
    clock.advance(1)
    assert get(TARGET, token=token).status == 200


def test_an_issuer_that_is_away_is_asked_once_a_second(
    keys: PublishedKeys, issuer: Issuer, clock: Clock
) -> None:
    issuer.jwks_status = 500
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(Unreachable):
                keys.find("any")
        clock.advance(1)
    assert len(issuer.jwks_asked_at) == 3


def test_nobody_listening_is_a_503(issuer: Issuer) -> None:
    keys = PublishedKeys("http://127.0.0.1:9/jwks.json", timeout_seconds=0.5)
    with pytest.raises(Unreachable):
        keys.find(issuer.key.kid)


def test_an_endless_answer_is_cut_off(get: Get, issuer: Issuer) -> None:
    issuer.jwks_body = b'{"keys": [], "filler": "' + b"x" * 100_000 + b'"}'
    assert get(TARGET, token=issuer.mint()).status == 503


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 300), ({"Cache-Control": "max-age=60"}, 60), ({"Cache-Control": "public, MAX-AGE=60"}, 60),
        ({"Cache-Control": 'max-age="60"'}, 60), ({"Cache-Control": "max-age=60, max-age=30"}, 30),
        ({"Cache-Control": "max-age=60", "Age": "20"}, 40), ({"Cache-Control": "max-age=60", "Age": "90"}, 0),
        ({"Cache-Control": "no-store"}, 0), ({"Cache-Control": "no-cache, max-age=60"}, 0),
        ({"Cache-Control": "max-age=999999999"}, 86_400), ({"Cache-Control": "max-age=-1"}, 300),
        ({"Cache-Control": "max-age=60", "Age": "x"}, 60),
    ],
)  # fmt: skip
def test_freshness_follows_rfc_9111(headers: dict[str, str], seconds: int) -> None:
    assert freshness_seconds(headers) == seconds


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"}, {"d": "c2VjcmV0"}, {"kty": "oct", "k": "c2VjcmV0"},
        {"key_ops": ["sign"]}, {"key_ops": "verify"},
        {"crv": "P-384"}, {"alg": "ES384"}, {"alg": "HS256"}, {"x": None}, {"x": "AAAA"}, {"x": 1}, {"kty": None},
        {"kty": "RSA"},
    ],
    ids=str,
)  # fmt: skip
def test_a_key_that_may_not_verify_here_is_passed_over(p256: Key, members: dict[str, object]) -> None:
    assert parse_key(p256.jwk()) is not None
    assert parse_key(p256.jwk(**members)) is None


@pytest.mark.parametrize("modulus", [1024, 8192])
def test_an_rsa_key_of_unsound_size_is_passed_over(rsa_2048: Key, modulus: int) -> None:
    assert parse_key(rsa_2048.jwk()) is not None
    n = base64.urlsafe_b64encode(b"\xff" * (modulus // 8)).rstrip(b"=").decode()
    assert parse_key(rsa_2048.jwk(n=n)) is None


def test_a_kid_that_appears_twice_names_no_key(p256: Key) -> None:
    twins = {"keys": [p256.jwk(), ec_key().jwk(kid=p256.kid)]}
    assert parse_key_set(json.dumps(twins).encode()) == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys":{}}', b"\xff", b"[" * 100_000])
def test_what_is_no_key_set_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (any of several)
        parse_key_set(body)


@pytest.mark.parametrize(
    "url", ["jwks.json", "ftp://a/", "http:///x", "https://u:p@host/", "https://host/?q", "https://h/#f"]
)
def test_an_address_that_is_not_plain_http_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValueError, match=r"must have no user info|is not an absolute"):
        PublishedKeys(url)
