"""Methods, paths and headers: read-only, closed by default, and never a 500, whatever is asked."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.fhir_server.app import create_application
from tests.examples.client import Get, call
from tests.examples.conftest import BASE_URL
from tests.examples.issuer import ROSA, Issuer

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("target", [f"/Patient/{ROSA}", "/Patient", "/metadata", "/nowhere"])
def test_this_server_is_read_only(get: Get, issuer: Issuer, method: str, target: str) -> None:
    answer = get(target, token=issuer.mint(), method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "target", [f"/Patient/{ROSA}", "/Observation", "/metadata", "/nowhere", "/Observation?x=1"]
)
def test_head_is_get_without_the_body(get: Get, issuer: Issuer, target: str) -> None:
    token = issuer.mint()
    whole, head = get(target, token=token), get(target, token=token, method="HEAD")
    assert head.body == b""
    assert head.status == whole.status
    assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(whole.body))


PATHS = [
    "", "/", "//", "/nowhere", "/patient", "/Patient/", f"/Patient/{ROSA}/", f"/Patient/{ROSA}/_history",
    "/Practitioner",
    f"//Patient/{ROSA}", f"/Patient//{ROSA}", "/Patient/..", "/Patient/../metadata", "/Patient/a b", "/Patient/\x00",
    f"/Patient/{ROSA}\n", f"/Patient/{ROSA}\r\nX: y", "/Patient/" + "x" * 65, "/Patient/\xc3\xa9", "/" + "A" * 10_000,
    "/Medication", "/Patient/$everything", "/.well-known/smart-configuration", "/Observation;a=b", "/__class__",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: repr(path)[:30])
def test_a_path_that_is_not_served_is_a_404_for_a_token_and_a_401_without(
    get: Get, issuer: Issuer, path: str
) -> None:
    if path.startswith("/Patient/") and path.endswith(".."):
        assert get(path, token=issuer.mint()).status == 403  # ".." is a FHIR id, of nobody here
    else:
        assert get(path, token=issuer.mint()).status == 404
    assert get(path).status == 401


def test_every_answer_forbids_keeping_and_sniffing(get: Get, issuer: Issuer) -> None:
    for target in (f"/Patient/{ROSA}", "/nowhere", "/metadata"):
        for token in (issuer.mint(), None):
            headers = get(target, token=token).headers
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Content-Type"] == "application/fhir+json"
            assert len(headers["X-Request-Id"]) == 16


def test_metadata_is_public_and_says_what_is_served(get: Get, issuer: Issuer) -> None:
    statement = get("/metadata").resource
    assert (statement["resourceType"], statement["fhirVersion"]) == ("CapabilityStatement", "4.0.1")
    assert statement["implementation"]["url"] == BASE_URL
    assert issuer.url in statement["rest"][0]["security"]["description"]
    for resource in statement["rest"][0]["resource"]:
        searchable = {"code": "search-type"} in resource["interaction"]
        status = get(f"/{resource['type']}", token=issuer.mint()).status
        assert status == (200 if searchable else 404)
        for parameter in resource.get("searchParam", []):
            value = ROSA if parameter["name"] in {"_id", "patient"} else "x"
            target = f"/{resource['type']}?{parameter['name']}={value}"
            assert get(target, token=issuer.mint()).status == 200


@given(path=st.text(st.sampled_from(string.printable + "\xe9\xff"), max_size=40))
@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_path_is_a_500(get: Get, issuer: Issuer, path: str) -> None:
    assert get("/" + path.replace("?", ""), token=issuer.mint()).status in {200, 403, 404}


def test_a_fault_of_ours_is_a_500_that_shows_an_id_and_nothing_else(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(patient: str) -> dict[str, dict[str, dict[str, object]]]:
        raise RuntimeError(f"Rosa Alvarez, {patient}")

    application = create_application(
        base_url=BASE_URL, issuer=issuer.url, jwks_url=issuer.jwks_url, verify_url=issuer.verify_url,
        resources=broken, now=issuer.clock.now, clock=issuer.clock.monotonic,
    )  # fmt: skip
    answer = call(application, f"/Patient/{ROSA}", token=issuer.mint())
    assert answer.status == 500
    assert answer.headers["X-Request-Id"] in answer.resource["issue"][0]["diagnostics"]
    for text in (answer.body.decode(), caplog.text):
        assert "Alvarez" not in text
        assert ROSA not in text
    assert "RuntimeError in test_http.py" in caplog.text
