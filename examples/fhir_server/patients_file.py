"""The people in a JSON file, and the synthetic record of each, made when it is first asked for.

    {"patients": [{"id", "family", "given", "birth_date", "gender", "record_number"}],
     "practitioners": [{"id", "family", "given", "qualification"}]}

Invariants: a file that is missing is a server with no patients; one that cannot be read as the above is logged without
a word of its contents and leaves what was there before. Further members of a row are passed over.
"""

import dataclasses
import functools
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .compartments import Compartment, compartment
from .people import PatientSeed, PractitionerSeed
from .synthetic import generate

logger = logging.getLogger("fhir_server")

COMPARTMENTS_KEPT = 64

Seed = TypeVar("Seed", PatientSeed, PractitionerSeed)


class People:
    """An immutable list of people, and their compartments."""

    def __init__(self, patients: Sequence[PatientSeed], practitioners: Sequence[PractitionerSeed]) -> None:
        self._patients = {seed.id: seed for seed in patients}
        self._practitioners = practitioners
        # A record is some 80 resources and 3 ms of work; keeping a few dozen bounds the memory.
        self._made = functools.lru_cache(maxsize=COMPARTMENTS_KEPT)(self._make)

    def compartment(self, patient: str) -> Compartment:
        """Return the synthetic record of a patient by FHIR id; an empty one for anybody else."""
        return self._made(patient) if patient in self._patients else {}

    def _make(self, patient: str) -> Compartment:
        resources = generate(patients=[self._patients[patient]], practitioners=self._practitioners)
        return compartment(patient, resources)


class PatientsFile:
    """A patients file that is read again when it changes. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int, int] | None = None
        self._people = People([], [])
        self._lock = threading.Lock()

    def compartment(self, patient: str) -> Compartment:
        """Return a patient's record, reading the file first if it changed since the last call."""
        version = self._version_on_disk()
        if version != self._version:
            with self._lock:
                if version != self._version:
                    self._reload()
                    self._version = version
        return self._people.compartment(patient)

    def _version_on_disk(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _reload(self) -> None:
        try:
            self._people = parse_people(self._path.read_bytes())
        except FileNotFoundError:
            self._people = People([], [])
        except (OSError, ValueError) as error:
            # The text of a parsing error may quote the file, which has names in it.
            logger.error("the patients file could not be read: %s", type(error).__name__)


def parse_people(body: bytes) -> People:
    """Return the people of a patients file. Raises ValueError, whose text names the fault and not the contents."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("the patients file is not JSON") from error
    if not isinstance(document, dict):
        raise ValueError("the patients file is not a JSON object")
    return People(
        _seeds(document, "patients", PatientSeed), _seeds(document, "practitioners", PractitionerSeed)
    )


def _seeds(document: Mapping[str, Any], name: str, kind: type[Seed]) -> list[Seed]:
    rows = document.get(name, [])
    if not isinstance(rows, list):
        raise ValueError(f"{name} is not a list")
    seeds = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"{name}[{number}] is not an object")
        known = {field.name: row[field.name] for field in dataclasses.fields(kind) if field.name in row}
        if not all(isinstance(value, str) for value in known.values()):
            raise ValueError(f"{name}[{number}] has a value that is not text")
        try:
            seeds.append(kind(**known))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}[{number}] is not a usable person") from error
    if len({seed.id for seed in seeds}) != len(seeds):
        raise ValueError(f"{name} has one id twice")
    return seeds
