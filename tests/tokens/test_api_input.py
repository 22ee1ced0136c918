"""Bad input over HTTP: a 4xx of one shape with a stable code, nothing echoed, one entry in the ledger, never a 500."""

import io
import json
from typing import Any

import pytest
from django.test import Client

from audit.events import EventType, Outcome
from audit.models import Event
from tests.people import PASSWORD, People
from tests.tokens import calls
from tests.tokens.calls import ENDPOINTS, OBTAIN, PATIENT, REFRESH, REVOKE, VERIFY, post
from tokens.errors import OAuthError

pytestmark = pytest.mark.django_db
CODES = {each.code: each for each in OAuthError.__subclasses__()}
MARK = "kj3h4g5"  # what must never come back
BODIES = [
    b"", b" ", b"null", b"true", b"7", b'"text"', b"[]", b"{}", b"{", b"{]", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"), b"[" * 15_000, b'{"a":' * 3_000, b"[" + b"1," * 8000 + b"1]", b"NaN", b"Infinity", b"1e999",
    b"9" * 10_000, b"{'a': 1}", b'{"a": 1,}', b"<xml/>", b"refresh=x&token=y", b'{"refresh": "x"} {"refresh": "y"}',
]  # fmt: skip
VALUES = [
    None, 7, 1.5, True, [], {}, ["x"], {"a": "b"}, "", "\x00", f"{MARK}\x00", "a\nb", "\u202e", "\ud800",
    f"{MARK}\udfff", "x" * 8193, "\x7f", "\r\n",
]  # fmt: skip
MEDIA_TYPES = [
    "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx",
    "application/json, text/html", "application/vnd.api+json", "\x00", "a" * 5000,
]  # fmt: skip
AUTHORIZATIONS = [
    "", "Bearer", "Bearer ", "Bearer  x", "Basic b2thZm9yOng=", "Token x", "x", "Bearer a b", "Bearer a,Bearer b",
    "Bearer é", "Bearer \x00", "Bearer x\tx", "Bearer " + "x" * 9000, "Bearer a.b.c", "Bearer e30.e30.e30",
    "DPoP a.b.c",
]  # fmt: skip


def refused(response: Any, status: int, code: str) -> None:
    """Assert everything that is true of every refusal."""
    assert (response.status_code, response["Content-Type"]) == (status, "application/json")
    assert response.json() == {"code": code, "detail": CODES[code].detail}
    assert CODES[code].status == status
    assert response["Cache-Control"] == "no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert ("WWW-Authenticate" in response) == (status == 401)
    assert MARK not in response.content.decode() + str(response.headers)


@pytest.fixture
def base(cast: People) -> str:
    """A base token of Dr Okafor's; asking for it leaves its own entries in the ledger."""
    return str(calls.obtain()["access"])


def bearer(path: str, base: str) -> str:
    return base if path == PATIENT else ""


def valid(path: str) -> dict[str, Any]:
    good = {"scope": calls.OBSERVATIONS, "purpose_of_use": "TREAT"}
    return {name: good.get(name, MARK) for name in ENDPOINTS[path]}


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_body_that_is_no_fitting_object_is_a_400_and_one_entry(base: str, path: str) -> None:
    for body in BODIES:
        before = Event.objects.count()
        refused(post(path, body, bearer=bearer(path, base)), 400, "invalid_request")
        assert Event.objects.count() == before + 1
        entry = Event.objects.latest()
        assert (entry.event, entry.outcome) == (EventType.TOKEN_REFUSED, Outcome.REFUSED)
        assert entry.additional_data["code"] == "invalid_request"


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_value_that_is_no_clean_text_is_a_400(base: str, path: str) -> None:
    for name in set(ENDPOINTS[path]) - {"password"}:
        for value in VALUES:
            response = post(path, {**valid(path), name: value}, bearer=bearer(path, base))
            refused(response, 400, "invalid_request")
            assert Event.objects.latest().reason_code == f"malformed_{name}"


@pytest.mark.parametrize("path", ENDPOINTS)
def test_missing_unknown_and_repeated_names_are_a_400(base: str, path: str) -> None:
    whole = valid(path)
    name = ENDPOINTS[path][0]
    for body in (
        {key: value for key, value in whole.items() if key != name},
        {**whole, MARK: "x"},
        {**whole, name.upper(): "x"},
        json.dumps(whole)[:-1] + f', "{name}": "x"}}',
        json.dumps(whole)[:-1] + f', "{name}": {{"a": 1, "a": 2}}}}',
    ):
        refused(post(path, body, bearer=bearer(path, base)), 400, "invalid_request")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_nothing_is_taken_from_the_address(base: str, path: str) -> None:
    for query in (f"?{ENDPOINTS[path][0]}={MARK}", f"?access_token={base}", "?x", "?format=html"):
        refused(post(path + query, valid(path), bearer=bearer(path, base)), 400, "invalid_request")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_body_that_is_too_large_is_a_413_and_not_read(base: str, path: str) -> None:
    for size in (17 * 1024, 1024 * 1024):
        body = json.dumps({**valid(path), "filler": "x" * size})
        refused(post(path, body, bearer=bearer(path, base)), 413, "request_too_large")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_another_media_type_is_a_415(base: str, path: str) -> None:
    for kind in MEDIA_TYPES:
        response = post(path, valid(path), bearer=bearer(path, base), content_type=kind)
        refused(response, 415, "unsupported_media_type")


def test_parameters_of_the_media_type_do_not_matter(cast: People) -> None:
    """RFC 8259 section 11: adding a charset has no effect; the body is UTF-8."""
    latin = '{"username": "é", "password": "x"}'.encode("latin-1")
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=latin-1"):
        body = {"username": "okafor", "password": PASSWORD}
        assert post(OBTAIN, body, content_type=kind).status_code == 200
        refused(post(OBTAIN, latin, content_type=kind), 400, "invalid_request")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_another_method_is_a_405_that_names_post(base: str, path: str) -> None:
    authorization = {"authorization": f"Bearer {base}"} if path == PATIENT else {}
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        response = Client(raise_request_exception=False).generic(method, path, headers=authorization)
        assert (response.status_code, response["Allow"]) == (405, "POST")
        if method != "HEAD":
            refused(response, 405, "method_not_allowed")


def test_the_answer_is_json_whatever_is_accepted(cast: People) -> None:
    for accept in ("text/html", "*/*", "application/xml", "", "application/json;q=0", "x" * 5000):
        refused(post(REFRESH, {"refresh": MARK}, headers={"accept": accept}), 401, "invalid_grant")


def test_a_strange_content_length_is_no_bug(cast: People) -> None:
    for length in ("abc", "-5", "1e3", ""):
        response = Client(raise_request_exception=False).generic(
            "POST", REFRESH, b'{"refresh": "x"}', content_type="application/json", CONTENT_LENGTH=length
        )
        refused(response, 400, "invalid_request")


class BrokenConnection(io.BytesIO):
    """A client that goes away in the middle of its body."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError("connection reset by peer")


def test_a_client_that_goes_away_is_no_bug(cast: People) -> None:
    broken = {"wsgi.input": BrokenConnection(), "CONTENT_LENGTH": "16", "CONTENT_TYPE": "application/json"}
    response = Client(raise_request_exception=False).post(REFRESH, **broken)
    refused(response, 400, "invalid_request")


# Authorization


def test_a_malformed_authorization_is_a_401(cast: People) -> None:
    for header in AUTHORIZATIONS:
        before = Event.objects.count()
        response = Client(raise_request_exception=False).post(
            PATIENT, valid(PATIENT), content_type="application/json", HTTP_AUTHORIZATION=header
        )
        refused(response, 401, "token_not_valid")
        assert response["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert Event.objects.count() == before + 1


def test_no_authorization_is_a_401_without_an_error_code(cast: People) -> None:
    response = post(PATIENT, valid(PATIENT))
    refused(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"


def test_the_scheme_is_read_in_any_case(base: str, cast: People) -> None:
    body = {"patient": str(cast.rosa.pk), "purpose_of_use": "TREAT", "scope": calls.OBSERVATIONS}
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert post(PATIENT, body, headers={"authorization": f"{scheme} {base}"}).status_code == 200


def test_a_token_in_the_body_or_a_cookie_is_no_authorization(base: str, cast: People) -> None:
    body = {"patient": str(cast.rosa.pk), "purpose_of_use": "TREAT", "scope": calls.OBSERVATIONS}
    refused(post(PATIENT, {**body, "access_token": base}), 401, "not_authenticated")
    client = Client()
    client.cookies["access_token"] = client.cookies["Authorization"] = base
    refused(post(PATIENT, body, client=client), 401, "not_authenticated")


def test_a_patient_token_or_a_refresh_token_is_no_base_token(cast: People) -> None:
    issued = calls.obtain()
    given = calls.patient_token(issued["access"], cast.rosa.pk).json()["access"]
    for token in (given, issued["refresh"]):
        refused(calls.patient_token(token, cast.rosa.pk), 401, "token_not_valid")


# What the ledger says


def test_a_refused_patient_is_the_same_answer_and_an_entry_that_names_her(base: str, cast: People) -> None:
    nobody = "3f2b7f8e-0000-4000-8000-000000000000"
    answers = {calls.patient_token(base, patient).content for patient in (cast.amir.pk, nobody, "no-uuid")}
    assert len(answers) == 1
    refused(calls.patient_token(base, cast.amir.pk), 403, "access_denied")
    entry = Event.objects.latest()
    assert (entry.event, entry.patient_ref) == (EventType.TOKEN_REFUSED, str(cast.amir.pk))
    assert (entry.purpose_of_use, entry.reason_code) == ("TREAT", "no_relationship")
    assert (entry.actor_ref, entry.actor_label) == (str(cast.okafor.pk), "okafor")


def test_each_refusal_says_where_it_happened(base: str) -> None:
    for path, name in {REFRESH: "token_refresh", VERIFY: "token_verify", PATIENT: "token_patient"}.items():
        post(path, valid(path), bearer=bearer(path, base))
        assert Event.objects.latest().additional_data["endpoint"] == name


def test_reuse_is_one_entry(cast: People) -> None:
    issued = calls.obtain()
    newer = post(REFRESH, {"refresh": issued["refresh"]}).json()["refresh"]
    post(REFRESH, {"refresh": newer})
    before = Event.objects.count()
    refused(post(REFRESH, {"refresh": issued["refresh"]}), 401, "invalid_grant")
    assert Event.objects.count() == before + 1
    assert Event.objects.latest().event == EventType.TOKEN_REUSED


def test_every_refused_refresh_token_has_the_same_bytes(cast: People) -> None:
    issued = calls.obtain()
    newer = post(REFRESH, {"refresh": issued["refresh"]}).json()["refresh"]
    post(REVOKE, {"token": newer})
    answers = {
        post(REFRESH, {"refresh": token}).content for token in (newer, issued["refresh"], "x", "A" * 91)
    }
    assert len(answers) == 1


# The table of codes


def test_the_codes_are_stable() -> None:
    assert {code: each.status for code, each in sorted(CODES.items())} == {
        "access_denied": 403, "invalid_credentials": 401, "invalid_grant": 401, "invalid_request": 400,
        "invalid_scope": 400, "method_not_allowed": 405, "not_authenticated": 401, "not_found": 404,
        "request_too_large": 413, "server_error": 500, "temporarily_unavailable": 503, "token_not_valid": 401,
        "too_many_attempts": 429, "unsupported_media_type": 415,
    }  # fmt: skip


def test_no_sentence_needs_quoting() -> None:
    """RFC 6749 section 5.2: error_description is printable ASCII without quotation mark and backslash."""
    for each in CODES.values():
        assert each.detail.isascii()
        assert each.detail.isprintable()
        assert not set(each.detail) & {'"', "\\"}
