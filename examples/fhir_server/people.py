"""The people records are made of: seeds given from outside, and a cast for demonstrations, Rosa Alvarez first.

Nobody here exists: a demo patient's first name and family name are drawn apart. A seed refuses what could not be put
into a valid FHIR resource.
"""

import datetime
import re
from dataclasses import dataclass

from .measurements import Draw

FHIR_ID_SHAPE = re.compile(r"[A-Za-z0-9\-.]{1,64}")
GENDERS = frozenset({"male", "female", "other", "unknown"})
GIVEN_NAMES = {
    "female": "Amara Beatriz Carmen Dalia Elena Fatima Grace Hana Imani Josephine Kiran Leila Mercy Noor Priya Ruth",
    "male": "Ahmed Bruno Carlos Daniel Emil Felix Goran Hiro Isaac Jamal Kofi Luis Mateo Nikhil Omar Pavel Tomas",
}
FAMILY_NAMES = (
    "Abebe Bauer Castillo Dubois Eriksen Farouk Garcia Haddad Ivanova Jensen Kowalski Laurent Mbeki Nakamura Ortiz "
    "Petrov Quispe Rossi Sandhu Tanaka Usman Vargas Walsh Ximenes Yilmaz Zhang O'Neill Müller Nuñez Smith-Jones"
)


@dataclass(frozen=True)
class PatientSeed:
    """Who a record is of. `id` is the FHIR id; `birth_date` is YYYY-MM-DD; `gender` is FHIR's administrative gender."""

    id: str
    family: str
    given: str
    birth_date: str
    gender: str
    record_number: str = ""

    def __post_init__(self) -> None:
        """Refuse what could not be put into a valid resource. Raises ValueError."""
        if (
            not FHIR_ID_SHAPE.fullmatch(self.id)
            or self.gender not in GENDERS
            or not self.family
            or not self.given
        ):
            raise ValueError("a patient needs a FHIR id, a family and a given name and a FHIR gender")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", self.birth_date):
            raise ValueError("a birth date is YYYY-MM-DD")
        datetime.date.fromisoformat(self.birth_date)


@dataclass(frozen=True)
class PractitionerSeed:
    """Who looks after the patients."""

    id: str
    family: str
    given: str
    qualification: str = ""

    def __post_init__(self) -> None:
        """Refuse what could not be put into a valid resource. Raises ValueError."""
        if not FHIR_ID_SHAPE.fullmatch(self.id) or not self.family or not self.given:
            raise ValueError("a practitioner needs a FHIR id, a family and a given name")


@dataclass(frozen=True)
class DemoPatient:
    """A person for a demonstration. Whoever seeds the demonstration assigns a random id."""

    record_number: str
    family: str
    given: str
    birth_date: str
    gender: str


def demo_patients(count: int) -> list[DemoPatient]:
    """Return the first `count` demo patients: always the same ones, adults, record numbers from MRN-000001."""
    patients = [DemoPatient("MRN-000001", "Alvarez", "Rosa", "1958-03-14", "female")]
    for number in range(2, count + 1):
        draw = Draw("demo patient", str(number))
        gender = draw.pick(("female", "male"))
        birth_date = f"{draw.whole(1936, 2006)}-{draw.whole(1, 12):02d}-{draw.whole(1, 28):02d}"
        patients.append(
            DemoPatient(
                f"MRN-{number:06d}",
                draw.pick(FAMILY_NAMES.split()),
                draw.pick(GIVEN_NAMES[gender].split()),
                birth_date,
                gender,
            )
        )
    return patients[:count]
