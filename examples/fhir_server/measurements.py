"""What is measured, with LOINC codes and UCUM units, and how a made-up person's values move over two years.

Values are arithmetic on `random.Random.random()` alone: the one method whose numbers are promised to stay the same for
a seed in every Python. Nothing here is clinical truth; it is plausible enough to draw a curve of.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


class Draw:
    """A stream of numbers that depends on its label and on nothing else."""

    def __init__(self, *label: str) -> None:
        self._random = random.Random("/".join(label))  # nosec B311: reproducible on purpose, guards nothing

    def between(self, low: float, high: float) -> float:
        """Return a number from `low` up to `high`."""
        return low + (high - low) * self._random.random()

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._random.random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one of `items`."""
        return items[self.whole(0, len(items) - 1)]

    def noise(self, spread: float) -> float:
        """Return a number around 0, mostly well within plus or minus `spread`."""
        return spread * (self.between(-1, 1) + self.between(-1, 1)) / 2


@dataclass(frozen=True)
class Measurement:
    """One kind of observation.

    `spread` is how far a value strays from its trend, `digits` how it is rounded, `low` and `high` the reference range.
    """

    name: str
    loinc: str
    display: str
    unit: str
    ucum: str
    spread: float
    digits: int = 0
    low: float | None = None
    high: float | None = None


HEART_RATE = Measurement("heart-rate", "8867-4", "Heart rate", "beats/minute", "/min", 6)
RESPIRATORY_RATE = Measurement("respiratory-rate", "9279-1", "Respiratory rate", "breaths/minute", "/min", 2)
BODY_TEMPERATURE = Measurement("body-temperature", "8310-5", "Body temperature", "degrees C", "Cel", 0.3, 1)
OXYGEN_SATURATION = Measurement(
    "oxygen-saturation", "2708-6", "Oxygen saturation in Arterial blood", "%", "%", 1
)
BODY_WEIGHT = Measurement("body-weight", "29463-7", "Body weight", "kg", "kg", 0.8, 1)
SYSTOLIC = Measurement("systolic", "8480-6", "Systolic blood pressure", "mmHg", "mm[Hg]", 6)
DIASTOLIC = Measurement("diastolic", "8462-4", "Diastolic blood pressure", "mmHg", "mm[Hg]", 4)
GLUCOSE = Measurement(
    "glucose", "2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 9, 0, 70, 99
)
HBA1C = Measurement(
    "hba1c", "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", "%", 0.15, 1, 4.0, 5.6
)
CREATININE = Measurement(
    "creatinine", "2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 0.06, 2, 0.6, 1.2
)
POTASSIUM = Measurement(
    "potassium",
    "2823-3",
    "Potassium [Moles/volume] in Serum or Plasma",
    "mmol/L",
    "mmol/L",
    0.25,
    1,
    3.5,
    5.1,
)
HEMOGLOBIN = Measurement(
    "hemoglobin", "718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", "g/dL", 0.4, 1, 12.0, 17.0
)

VITAL_SIGNS = (HEART_RATE, RESPIRATORY_RATE, BODY_TEMPERATURE, OXYGEN_SATURATION, BODY_WEIGHT)
LABORATORY = (GLUCOSE, HBA1C, CREATININE, POTASSIUM, HEMOGLOBIN)
BLOOD_PRESSURE = (SYSTOLIC, DIASTOLIC)


@dataclass(frozen=True)
class Physiology:
    """One made-up person: where each measurement starts, where two years of care take it, and what ails them."""

    diabetic: bool
    hypertensive: bool
    start: dict[str, float]
    end: dict[str, float]

    def value(self, measurement: Measurement, progress: float, draw: Draw) -> float:
        """Return the value at `progress` (0 to 1) through the two years, rounded to the measurement's digits."""
        start, end = self.start[measurement.name], self.end[measurement.name]
        value = start + (end - start) * progress + draw.noise(measurement.spread)
        if measurement is OXYGEN_SATURATION:
            value = min(value, 100)
        rounded = round(value, measurement.digits)
        return rounded if measurement.digits else int(rounded)


def physiology(patient_id: str, age: int) -> Physiology:
    """Make up a person's physiology: diabetes and hypertension grow likelier with age, and get better under care."""
    draw = Draw(patient_id, "physiology")
    diabetic = draw.chance(0.1 if age < 45 else 0.4)
    hypertensive = draw.chance(0.15 if age < 45 else 0.55)
    start = {
        "heart-rate": draw.between(62, 84),
        "respiratory-rate": draw.between(13, 17),
        "body-temperature": draw.between(36.5, 36.9),
        "oxygen-saturation": draw.between(96.5, 98.5),
        "body-weight": draw.between(55, 88) + (12 if diabetic else 0),
        "systolic": draw.between(150, 168) if hypertensive else draw.between(110, 124),
        "diastolic": draw.between(92, 100) if hypertensive else draw.between(70, 79),
        "hba1c": draw.between(8.1, 9.6) if diabetic else draw.between(4.9, 5.4),
        "creatinine": draw.between(0.7, 1.1),
        "potassium": draw.between(3.9, 4.6),
        "hemoglobin": draw.between(12.8, 15.6),
    }
    end = dict(start)
    end["body-weight"] += draw.between(-6, -2) if diabetic else draw.between(-2, 2)
    if hypertensive:
        end |= {"systolic": draw.between(126, 136), "diastolic": draw.between(78, 85)}
    if diabetic:
        end["hba1c"] = draw.between(6.6, 7.3)
    for values in (start, end):  # the usual average-glucose formula, less what fasting takes off
        values["glucose"] = 28.7 * values["hba1c"] - 46.7 - 17
    return Physiology(diabetic, hypertensive, start, end)
