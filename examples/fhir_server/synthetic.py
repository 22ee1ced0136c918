"""Synthetic records: FHIR R4 Patient, Practitioner, Encounter, Condition and Observation resources of nobody.

Deterministic by id: the same patient id gives the same record wherever and whenever it is made, so that two servers
with the same list of people agree without talking. Every resource is marked as test data (`meta.security` HTEST of
v3-ActReason, and a tag); telephone numbers are 555-01xx and mail addresses are at example.org. Conditions are coded in
ICD-10-CM, which needs no licence. Must not be given a real person's name.
"""

import datetime
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .elements import (
    TERMINOLOGY,
    coding,
    concept,
    instant,
    measured_code,
    meta,
    patient_reference,
    practitioner_reference,
    quantity,
    resource_id,
)
from .matching import Resource
from .measurements import (
    BLOOD_PRESSURE,
    LABORATORY,
    LOINC,
    VITAL_SIGNS,
    Draw,
    Measurement,
    Physiology,
    physiology,
)
from .people import DemoPatient, PatientSeed, PractitionerSeed, demo_patients

__all__ = ["DemoPatient", "PatientSeed", "PractitionerSeed", "demo_patients", "generate"]

LAST_DAY = datetime.date(2026, 10, 30)
RECORDS_MADE_AT = datetime.datetime(2026, 10, 30, 20, tzinfo=datetime.UTC)
VISITS = 8
DAYS_BETWEEN_VISITS = 91
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
CLINICAL_STATUS = f"{TERMINOLOGY}/condition-clinical"
CONDITION_CATEGORY = f"{TERMINOLOGY}/condition-category"
PASSING_ILLNESSES = (
    ("J06.9", "Acute upper respiratory infection, unspecified"),
    ("M54.50", "Low back pain, unspecified"),
    ("N39.0", "Urinary tract infection, site not specified"),
)
RECORD_NUMBERS = "urn:oid:2.16.840.1.113883.19.5"  # HL7's example root: nobody's numbers


@dataclass(frozen=True)
class _Visit:
    number: int
    encounter_id: str
    starts_at: datetime.datetime
    ends_at: datetime.datetime
    emergency: bool

    @property
    def progress(self) -> float:
        return self.number / (VISITS - 1)


def generate(*, patients: Sequence[PatientSeed], practitioners: Sequence[PractitionerSeed]) -> list[Resource]:
    """Return every resource of these people, each patient's in order of time."""
    resources = [_practitioner(seed) for seed in practitioners]
    for patient in patients:
        resources.extend(_record(patient, practitioners))
    return resources


def _record(patient: PatientSeed, practitioners: Sequence[PractitionerSeed]) -> Iterator[Resource]:
    born = datetime.date.fromisoformat(patient.birth_date)
    body = physiology(patient.id, (LAST_DAY - born).days // 365)
    clinician = _clinician_of(patient.id, practitioners)
    visits = [visit for visit in _visits(patient.id) if visit.starts_at.date() > born]
    yield _patient(patient, clinician)
    yield from (_encounter(patient, visit, clinician) for visit in visits)
    yield from _conditions(patient, body, visits, clinician)
    for visit in visits:
        yield from _observations(patient, body, visit, clinician)


def _clinician_of(patient_id: str, practitioners: Sequence[PractitionerSeed]) -> PractitionerSeed | None:
    """Choose by hash, so that neither the order of the list nor other patients change the choice."""
    if not practitioners:
        return None
    return min(practitioners, key=lambda seed: hashlib.sha256(f"{patient_id}/{seed.id}".encode()).digest())


def _visits(patient_id: str) -> Iterator[_Visit]:
    for number in range(VISITS):
        draw = Draw(patient_id, "visit", str(number))
        day = LAST_DAY - datetime.timedelta(
            days=(VISITS - 1 - number) * DAYS_BETWEEN_VISITS + draw.whole(0, 20)
        )
        time_of_day = datetime.time(draw.whole(8, 16), draw.whole(0, 11) * 5, tzinfo=datetime.UTC)
        starts_at = datetime.datetime.combine(day, time_of_day)
        ends_at = starts_at + datetime.timedelta(minutes=draw.whole(4, 9) * 5)
        yield _Visit(
            number, resource_id(patient_id, "visit", str(number)), starts_at, ends_at, draw.chance(0.06)
        )


def _telecom(id_: str) -> list[dict[str, str]]:
    draw = Draw(id_, "telecom")
    return [
        {"system": "phone", "value": f"(555) 555-01{draw.whole(0, 99):02d}", "use": "home"},
        {"system": "email", "value": f"person-{draw.whole(0, 999_999):06d}@example.org"},
    ]


def _practitioner(seed: PractitionerSeed) -> Resource:
    practitioner: Resource = {
        "resourceType": "Practitioner",
        "id": seed.id,
        "meta": meta(RECORDS_MADE_AT),
        "active": True,
        "name": [{"use": "official", "family": seed.family, "given": [seed.given]}],
        "telecom": _telecom(seed.id),
    }
    if seed.qualification:
        practitioner["qualification"] = [{"code": {"text": seed.qualification}}]
    return practitioner


def _patient(seed: PatientSeed, clinician: PractitionerSeed | None) -> Resource:
    patient: Resource = {
        "resourceType": "Patient",
        "id": seed.id,
        "meta": meta(RECORDS_MADE_AT),
        "active": True,
        "name": [{"use": "official", "family": seed.family, "given": [seed.given]}],
        "telecom": _telecom(seed.id),
        "gender": seed.gender,
        "birthDate": seed.birth_date,
    }
    if seed.record_number:
        kind = concept(f"{TERMINOLOGY}/v2-0203", "MR", "Medical record number")
        patient["identifier"] = [
            {"use": "usual", "type": kind, "system": RECORD_NUMBERS, "value": seed.record_number}
        ]
    if clinician:
        patient["generalPractitioner"] = [practitioner_reference(clinician.id)]
    return patient


def _encounter(patient: PatientSeed, visit: _Visit, clinician: PractitionerSeed | None) -> Resource:
    kind = ("EMER", "emergency") if visit.emergency else ("AMB", "ambulatory")
    encounter: Resource = {
        "resourceType": "Encounter",
        "id": visit.encounter_id,
        "meta": meta(visit.ends_at),
        "status": "finished",
        "class": coding(f"{TERMINOLOGY}/v3-ActCode", *kind),
        "subject": patient_reference(patient.id),
        "period": {"start": instant(visit.starts_at), "end": instant(visit.ends_at)},
    }
    if clinician:
        role = concept(f"{TERMINOLOGY}/v3-ParticipationType", "PPRF", "primary performer")
        encounter["participant"] = [{"type": [role], "individual": practitioner_reference(clinician.id)}]
    return encounter


def _conditions(
    patient: PatientSeed, body: Physiology, visits: Sequence[_Visit], clinician: PractitionerSeed | None
) -> Iterator[Resource]:
    """Yield a problem list that fits the measurements, and an illness that came and went at one visit."""
    if not visits:
        return
    draw = Draw(patient.id, "conditions")
    problems = []
    if body.diabetic:
        problems.append(("E11.9", "Type 2 diabetes mellitus without complications"))
    if body.hypertensive:
        problems.append(("I10", "Essential (primary) hypertension"))
    if draw.chance(0.3) or not problems:
        problems.append(("E78.5", "Hyperlipidemia, unspecified"))
    for problem in problems:
        listed = _condition(patient, problem, visits[0], clinician)
        yield listed | {
            "clinicalStatus": concept(CLINICAL_STATUS, "active", "Active"),
            "category": [concept(CONDITION_CATEGORY, "problem-list-item", "Problem List Item")],
        }
    visit = draw.pick(visits)
    ended_on = visit.starts_at.date() + datetime.timedelta(days=14)
    passing = _condition(patient, draw.pick(PASSING_ILLNESSES), visit, clinician)
    yield passing | {
        "clinicalStatus": concept(CLINICAL_STATUS, "resolved", "Resolved"),
        "category": [concept(CONDITION_CATEGORY, "encounter-diagnosis", "Encounter Diagnosis")],
        "abatementDateTime": ended_on.isoformat(),
    }


def _condition(
    patient: PatientSeed, code: tuple[str, str], visit: _Visit, clinician: PractitionerSeed | None
) -> Resource:
    condition: Resource = {
        "resourceType": "Condition",
        "id": resource_id(patient.id, "condition", code[0]),
        "meta": meta(visit.ends_at),
        "verificationStatus": concept(f"{TERMINOLOGY}/condition-ver-status", "confirmed", "Confirmed"),
        "code": concept(ICD_10_CM, *code),
        "subject": patient_reference(patient.id),
        "encounter": {"reference": f"Encounter/{visit.encounter_id}"},
        "onsetDateTime": visit.starts_at.date().isoformat(),
        "recordedDate": instant(visit.ends_at),
    }
    if clinician:
        condition["recorder"] = practitioner_reference(clinician.id)
    return condition


def _observations(
    patient: PatientSeed, body: Physiology, visit: _Visit, clinician: PractitionerSeed | None
) -> Iterator[Resource]:
    """Yield the vital signs of every visit, and laboratory values of the last and each second one before it."""

    def observation(name: str, category: tuple[str, str], code: dict[str, Any]) -> Resource:
        made: Resource = {
            "resourceType": "Observation",
            "id": resource_id(patient.id, name, str(visit.number)),
            "meta": meta(visit.ends_at),
            "status": "final",
            "category": [concept(f"{TERMINOLOGY}/observation-category", *category)],
            "code": code,
            "subject": patient_reference(patient.id),
            "encounter": {"reference": f"Encounter/{visit.encounter_id}"},
            "effectiveDateTime": instant(visit.starts_at),
            "issued": instant(visit.ends_at),
        }
        if clinician:
            made["performer"] = [practitioner_reference(clinician.id)]
        return made

    def value(measurement: Measurement) -> float:
        return body.value(measurement, visit.progress, Draw(patient.id, measurement.name, str(visit.number)))

    vital_signs, laboratory = ("vital-signs", "Vital Signs"), ("laboratory", "Laboratory")
    for measurement in VITAL_SIGNS:
        made = observation(measurement.name, vital_signs, measured_code(measurement))
        yield made | {"valueQuantity": quantity(measurement, value(measurement))}
    panel = concept(LOINC, "85354-9", "Blood pressure panel with all children optional")
    yield observation("blood-pressure", vital_signs, panel) | {
        "component": [
            {"code": measured_code(part), "valueQuantity": quantity(part, value(part))}
            for part in BLOOD_PRESSURE
        ]
    }
    if visit.number % 2 == 0:
        return
    for measurement in LABORATORY:
        made = observation(measurement.name, laboratory, measured_code(measurement))
        yield made | _judged(measurement, value(measurement))


def _judged(measurement: Measurement, value: float) -> dict[str, Any]:
    """Return the value with its reference range and whether it is low, normal or high."""
    low, high = measurement.low, measurement.high
    if low is None or high is None:
        return {"valueQuantity": quantity(measurement, value)}
    verdict = ("L", "Low") if value < low else ("H", "High") if value > high else ("N", "Normal")
    return {
        "valueQuantity": quantity(measurement, value),
        "interpretation": [concept(f"{TERMINOLOGY}/v3-ObservationInterpretation", *verdict)],
        "referenceRange": [{"low": quantity(measurement, low), "high": quantity(measurement, high)}],
    }
