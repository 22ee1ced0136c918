"""The synthetic records: the same for an id wherever they are made, FHIR R4 in shape, and marked as nobody's."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.fhir_server.people import PatientSeed, PractitionerSeed, demo_patients
from examples.fhir_server.synthetic import generate

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).resolve().parents[2]
PATIENTS = [
    PatientSeed(
        f"patient-{number}", each.family, each.given, each.birth_date, each.gender, each.record_number
    )
    for number, each in enumerate(demo_patients(24))
]
PRACTITIONERS = [
    PractitionerSeed("okafor", "Okafor", "Ada", "Doctor"),
    PractitionerSeed("lind", "Lind", "Jon"),
]
RESOURCES = generate(patients=PATIENTS, practitioners=PRACTITIONERS)

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
# FHIR R4: what each resource must have, what it may have here, and the codes of its required bindings.
REQUIRED = {
    "Patient": set(), "Practitioner": set(), "Encounter": {"status", "class"}, "Condition": {"subject"},
    "Observation": {"status", "code"},
}  # fmt: skip
ALLOWED = {
    "Patient": {"active", "name", "telecom", "gender", "birthDate", "identifier", "generalPractitioner"},
    "Practitioner": {"active", "name", "telecom", "qualification"},
    "Encounter": {"status", "class", "subject", "period", "participant"},
    "Condition": {
        "clinicalStatus", "verificationStatus", "category", "code", "subject", "encounter", "onsetDateTime",
        "abatementDateTime", "recordedDate", "recorder",
    },
    "Observation": {
        "status", "category", "code", "subject", "encounter", "effectiveDateTime", "issued", "performer",
        "valueQuantity", "component", "interpretation", "referenceRange",
    },
}  # fmt: skip
BINDINGS = {
    ("Patient", "gender"): {"male", "female", "other", "unknown"},
    ("Encounter", "status"): {"finished"},
    ("Observation", "status"): {"final"},
}
FORMS = {
    "birthDate": DATE, "onsetDateTime": DATE, "abatementDateTime": DATE, "recordedDate": INSTANT,
    "effectiveDateTime": INSTANT, "issued": INSTANT,
}  # fmt: skip


def values(element: Any) -> Iterator[Any]:
    if isinstance(element, (dict, list)):
        for child in element.values() if isinstance(element, dict) else element:
            yield child
            yield from values(child)


def test_there_is_something_of_each_kind_for_everybody() -> None:
    for patient in PATIENTS:
        kinds = {
            each["resourceType"]
            for each in RESOURCES
            if each.get("subject", {}).get("reference") == f"Patient/{patient.id}"
        }
        assert kinds == {"Encounter", "Condition", "Observation"}


def test_each_resource_has_the_shape_of_fhir_r4() -> None:
    for resource in RESOURCES:
        kind = resource["resourceType"]
        assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", resource["id"])
        members = resource.keys() - {"resourceType", "id", "meta"}
        assert REQUIRED[kind] <= members <= ALLOWED[kind]
        for name, form in FORMS.items():
            assert name not in resource or form.fullmatch(resource[name]), resource[name]
        for (bound_kind, name), codes in BINDINGS.items():
            assert kind != bound_kind or resource[name] in codes
        for value in values(resource):  # FHIR knows no null and nothing empty
            assert value not in ("", None, [], {})


def test_each_observation_has_one_value_or_components() -> None:
    observations = [each for each in RESOURCES if each["resourceType"] == "Observation"]
    assert all(("valueQuantity" in each) != ("component" in each) for each in observations)
    for each in observations:
        for part in each.get("component", [each]):
            value = part["valueQuantity"]
            assert value["system"] == "http://unitsofmeasure.org"
            assert type(value["value"]) in (int, float)
            assert part["code"]["coding"][0]["system"] == "http://loinc.org"


def test_ids_are_unique_and_references_lead_somewhere() -> None:
    names = [f"{each['resourceType']}/{each['id']}" for each in RESOURCES]
    assert len(set(names)) == len(names)
    references = {
        value["reference"] for value in values(RESOURCES) if isinstance(value, dict) and "reference" in value
    }
    assert references <= set(names)


def test_everything_is_marked_synthetic_twice() -> None:
    for resource in RESOURCES:
        assert resource["meta"]["security"][0]["code"] == "HTEST"
        assert resource["meta"]["tag"][0]["code"] == "synthetic"


def test_nobody_can_be_called_or_written_to() -> None:
    contacts = [contact for each in RESOURCES for contact in each.get("telecom", [])]
    assert contacts
    for contact in contacts:
        assert re.fullmatch(r"\(555\) 555-01\d\d|person-\d{6}@example\.org", contact["value"])


def test_nothing_happens_before_birth_or_after_the_last_day() -> None:
    born = {f"Patient/{each.id}": each.birth_date for each in PATIENTS}
    for resource in RESOURCES:
        date = resource.get("effectiveDateTime") or resource.get("recordedDate")
        if date:
            assert born[resource["subject"]["reference"]] < date < "2026-10-31"


def test_another_process_makes_the_same_records() -> None:
    program = """
import json, sys
from examples.fhir_server.people import PatientSeed, PractitionerSeed, demo_patients
from examples.fhir_server.synthetic import generate
p = [PatientSeed(f"patient-{n}", e.family, e.given, e.birth_date, e.gender, e.record_number)
     for n, e in enumerate(demo_patients(24))]
q = [PractitionerSeed("okafor", "Okafor", "Ada", "Doctor"), PractitionerSeed("lind", "Lind", "Jon")]
json.dump(generate(patients=p, practitioners=q), sys.stdout)
"""
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT).stdout
    assert json.loads(made) == json.loads(json.dumps(RESOURCES))


def test_a_record_depends_on_its_own_patient_alone() -> None:
    def record_of(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [each for each in resources if "patient-7" in json.dumps(each)]

    alone = generate(patients=[PATIENTS[7]], practitioners=PRACTITIONERS[::-1])
    assert record_of(alone) == record_of(RESOURCES)


def test_the_first_values_have_not_changed_since_they_were_written_down() -> None:
    """Screenshots and documentation show them; a new Python must not move them either."""
    rosa = generate(patients=[PATIENTS[0]], practitioners=PRACTITIONERS)
    weights = [
        each["valueQuantity"]["value"]
        for each in rosa
        if each["resourceType"] == "Observation" and each["code"]["text"] == "Body weight"
    ]
    assert weights == [86.8, 86.9, 86.1, 84.7, 84.8, 84.4, 83.2, 82.2]


def test_rosa_comes_first_and_names_are_not_of_one_person() -> None:
    first, *rest = demo_patients(24)
    assert (first.family, first.given, first.record_number) == ("Alvarez", "Rosa", "MRN-000001")
    assert len({each.record_number for each in rest}) == 23
    assert demo_patients(3) == demo_patients(24)[:3]


@pytest.mark.parametrize(
    "changed",
    [{"id": ""}, {"id": "a/b"}, {"id": "x" * 65}, {"family": ""}, {"given": ""}, {"gender": "f"},
     {"birth_date": "1958-3-14"}, {"birth_date": "1958-02-30"}, {"birth_date": "1958-W10-1"}],
    ids=str,
)  # fmt: skip
def test_a_seed_that_could_not_be_a_valid_resource_is_refused(changed: dict[str, str]) -> None:
    good = {"id": "p", "family": "Alvarez", "given": "Rosa", "birth_date": "1958-03-14", "gender": "female"}
    PatientSeed(**good)
    with pytest.raises(ValueError):  # noqa: PT011 (datetime's own as well)
        PatientSeed(**(good | changed))
