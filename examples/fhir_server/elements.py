"""FHIR R4 data types as JSON, and the marks every synthetic resource carries.

Test data is marked twice, so that a server can filter on it and a person can see it: `meta.security` HTEST of
v3-ActReason, and a tag.
"""

import datetime
import uuid
from typing import Any

from .measurements import LOINC, UCUM, Measurement

NAMESPACE = uuid.UUID("6f0c6a0e-2a57-5b0c-9d1e-0c7d6d1f7c11")
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"


def resource_id(*label: str) -> str:
    """Return an id that depends on the label alone."""
    return str(uuid.uuid5(NAMESPACE, "/".join(label)))


def instant(moment: datetime.datetime) -> str:
    """Return a UTC moment as FHIR instant, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def coding(system: str, code: str, display: str) -> dict[str, str]:
    """Return a Coding."""
    return {"system": system, "code": code, "display": display}


def concept(system: str, code: str, display: str) -> dict[str, Any]:
    """Return a CodeableConcept with one coding."""
    return {"coding": [coding(system, code, display)], "text": display}


def meta(changed_at: datetime.datetime) -> dict[str, Any]:
    """Return the meta of a synthetic resource that last changed at `changed_at`."""
    return {
        "versionId": "1",
        "lastUpdated": instant(changed_at),
        "security": [coding(f"{TERMINOLOGY}/v3-ActReason", "HTEST", "test health data")],
        "tag": [
            coding(
                "https://example.org/fhir/CodeSystem/data-origin", "synthetic", "Synthetic: no real person"
            )
        ],
    }


def measured_code(measurement: Measurement) -> dict[str, Any]:
    """Return the LOINC code of a measurement."""
    return concept(LOINC, measurement.loinc, measurement.display)


def quantity(measurement: Measurement, value: float) -> dict[str, Any]:
    """Return a Quantity in the measurement's UCUM unit."""
    return {"value": value, "unit": measurement.unit, "system": UCUM, "code": measurement.ucum}


def patient_reference(id_: str) -> dict[str, str]:
    """Return a reference to the patient."""
    return {"reference": f"Patient/{id_}"}


def practitioner_reference(id_: str) -> dict[str, str]:
    """Return a reference to the practitioner."""
    return {"reference": f"Practitioner/{id_}"}
