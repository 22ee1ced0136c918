"""A token opens the one patient it names; of any other, even of whether there is one, nothing can be learned."""

import pytest

from tests.examples.client import Get
from tests.examples.issuer import NOBODY, OTHER_PATIENT, ROSA, Issuer

pytestmark = pytest.mark.embedded

TYPES = ("Observation", "Condition", "Encounter")


def some_id(get: Get, issuer: Issuer, resource_type: str, patient: str) -> str:
    found = get(f"/{resource_type}?_count=1", token=issuer.mint(patient=patient)).resource
    id_: str = found["entry"][0]["resource"]["id"]
    return id_


@pytest.mark.parametrize("patient", [ROSA, OTHER_PATIENT])
def test_everything_found_is_of_the_tokens_patient(get: Get, issuer: Issuer, patient: str) -> None:
    token = issuer.mint(patient=patient)
    for resource_type in TYPES:
        bundle = get(f"/{resource_type}?_count=200", token=token).resource
        assert bundle["total"] > 0
        subjects = {entry["resource"]["subject"]["reference"] for entry in bundle["entry"]}
        assert subjects == {f"Patient/{patient}"}
    [entry] = get("/Patient", token=token).resource["entry"]
    assert entry["resource"]["id"] == patient


@pytest.mark.parametrize(
    "target",
    ["/Patient/{id}", "/Patient?_id={id}", "/Observation?patient={id}", "/Observation?patient=Patient/{id}",
     "/Condition?patient={id}", "/Encounter?patient={id}"],
)  # fmt: skip
def test_another_patient_and_one_who_does_not_exist_get_the_same_answer(
    get: Get, issuer: Issuer, target: str
) -> None:
    token = issuer.mint()
    real, invented = (get(target.format(id=id_), token=token) for id_ in (OTHER_PATIENT, NOBODY))
    assert real.status == 403
    assert real.same_as(invented)


@pytest.mark.parametrize("resource_type", TYPES)
def test_a_resource_of_another_patient_is_as_absent_as_one_that_does_not_exist(
    get: Get, issuer: Issuer, resource_type: str
) -> None:
    theirs = some_id(get, issuer, resource_type, OTHER_PATIENT)
    token = issuer.mint()
    refused = get(f"/{resource_type}/{theirs}", token=token)
    assert refused.status == 404
    assert refused.same_as(get(f"/{resource_type}/{NOBODY}", token=token))
    own = some_id(get, issuer, resource_type, ROSA)
    assert get(f"/{resource_type}/{own}", token=token).status == 200


def test_a_practitioner_is_there_for_the_patients_they_look_after(get: Get, issuer: Issuer) -> None:
    token = issuer.mint()
    reference = get(f"/Patient/{ROSA}", token=token).resource["generalPractitioner"][0]["reference"]
    assert get(f"/{reference}", token=token).status == 200
    elsewhere = {"Practitioner/practitioner-okafor", "Practitioner/practitioner-lind"} - {reference}
    for other in elsewhere:
        assert get(f"/{other}", token=token).status == 404


def test_a_token_for_a_patient_whom_this_server_does_not_have_finds_nothing(get: Get, issuer: Issuer) -> None:
    token = issuer.mint(patient=NOBODY)
    assert get(f"/Patient/{NOBODY}", token=token).status == 404
    bundle = get("/Observation", token=token).resource
    assert bundle["total"] == 0
    assert "entry" not in bundle


def test_the_search_may_repeat_the_tokens_patient_in_both_spellings(get: Get, issuer: Issuer) -> None:
    token = issuer.mint()
    totals = {
        get(f"/Observation{query}", token=token).resource["total"]
        for query in ("", f"?patient={ROSA}", f"?patient=Patient/{ROSA}", f"?patient=Patient%2F{ROSA}")
    }
    assert len(totals) == 1
