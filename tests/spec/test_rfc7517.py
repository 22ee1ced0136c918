"""RFC 7517, JSON Web Key sets, as served; RFC 9110 for how they are cached."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from joserfc.jwk import ECKey, KeySet, RSAKey

from tests.spec.authlib_jose import JsonWebKey
from tokens import keys
from tokens.models import SigningKey

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_keys")]
ADDRESS = "/.well-known/jwks.json"
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def get(**headers: str) -> Any:
    return Client().get(ADDRESS, headers=headers)


def served() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(get().content)["keys"]
    return found


def test_section_4_each_key_says_type_use_algorithm_and_id() -> None:
    for key in served():
        assert key["use"] == "sig"
        assert (key["kty"], key["alg"]) in (("EC", "ES256"), ("RSA", "RS256"))
        assert key["kid"]


def test_section_5_the_set_is_read_by_joserfc_and_authlib() -> None:
    kinds = {type(key) for key in KeySet.import_key_set(json.loads(get().content)).keys}
    assert kinds == {ECKey, RSAKey}
    assert len(JsonWebKey.import_key_set(json.loads(get().content)).keys) == 2


def test_section_8_5_1_the_media_type() -> None:
    assert get()["Content-Type"] == "application/jwk-set+json"


def test_section_9_2_no_private_member_is_ever_published() -> None:
    keys.rotate(now=timezone.now(), hurry=True)
    assert len(served()) == 4
    assert not [key for key in served() if key.keys() & PRIVATE]


def test_every_key_that_may_verify_is_published_and_no_other() -> None:
    keys.rotate(now=timezone.now(), hurry=True, skip_wait=True)
    keys.revoke(
        kid=SigningKey.objects.get(algorithm="RS256", state="retiring").kid,
        reason="x",
        by=None,
        now=timezone.now(),
    )
    expected = SigningKey.objects.filter(state__in=["pending", "active", "retiring"]).values_list(
        "kid", flat=True
    )
    assert {key["kid"] for key in served()} == set(expected)
    assert len(served()) == 3


def test_it_is_served_from_memory() -> None:
    get()
    with CaptureQueriesContext(connection) as captured:
        get()
    assert len(captured) == 0


def test_rfc_9110_section_13_1_2_if_none_match() -> None:
    etag = get()["ETag"]
    for header in (etag, f"W/{etag}", f'"other", {etag}', f'"a",W/{etag} , "b"', "*"):
        response = get(**{"if-none-match": header})
        assert (response.status_code, response.content) == (304, b"")
        assert response["ETag"] == etag
        assert response["Cache-Control"] == f"public, max-age={settings.JWKS_MAX_AGE_SECONDS}"
        assert response["Access-Control-Allow-Origin"] == "*"
    for header in ('"other"', etag.strip('"'), "", "W/", '"'):
        assert get(**{"if-none-match": header}).status_code == 200


def test_the_etag_changes_with_the_keys() -> None:
    before = get()["ETag"]
    assert get()["ETag"] == before
    keys.rotate(now=timezone.now(), hurry=True)
    assert get()["ETag"] != before


def test_head_is_get_without_a_body_and_nothing_else_is_allowed() -> None:
    response = Client().head(ADDRESS)
    assert (response.status_code, response.content) == (200, b"")
    assert response["ETag"] == get()["ETag"]
    assert Client().post(ADDRESS).status_code == 405


def test_any_origin_may_read_it_and_no_cookie_comes_with_it() -> None:
    response = get(origin="https://app.example")
    assert response["Access-Control-Allow-Origin"] == "*"
    assert not response.cookies
    assert "Cookie" not in response.get("Vary", "")
