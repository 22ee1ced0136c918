"""The demonstration's cast: who they are, what they hold, and the file that has their generated passwords.

Everything is made by the operations that the portal uses, so the ledger tells how it came about. Seeding is repeated
safely: what is there is kept, what is missing is added, and Dr Okafor's access to Rosa is renewed when it has ended.

Must not run where real patients are: it refuses a database with users unless the ledger says that it made the first.
"""

import datetime
import json
import os
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts.models import CareTeam, CareTeamMember, CareTeamPatient, Patient, PatientAccessGrant, Role, User
from accounts.operations import access_grants, role_assignments, users
from accounts.shell import operator
from audit import context
from audit.events import EventType
from audit.models import Event
from examples.fhir_server.people import DemoPatient, demo_patients
from tokens.models import Client

PATIENTS = 24
WARD = "Ward 4 West"
WARD_PATIENTS = slice(1, 6)  # not Rosa: her access is granted explicitly, so that it can be revoked
CONSULT_SCOPE = " ".join(
    f"patient/{what}.rs" for what in ("Patient", "Practitioner", "Encounter", "Condition", "Observation")
)
SEEDED_BY = "manage.py seed_demo"
CREDENTIALS = "demo-credentials.json"
PATIENTS_FILE = "demo-patients.json"


@dataclass(frozen=True, slots=True)
class Character:
    """A person of the demonstration."""

    username: str
    given_name: str
    family_name: str
    job_function: str
    role: str


CAST = (
    Character("sam", "Sam", "Whitfield", User.JobFunction.SECURITY_ADMINISTRATOR, "administrator"),
    Character("vera", "Vera", "Nowak", User.JobFunction.NURSE_MANAGER, "administrator"),
    Character("ines", "Ines", "Duarte", User.JobFunction.COMPLIANCE_OFFICER, "compliance-officer"),
    Character("okafor", "Ada", "Okafor", User.JobFunction.ATTENDING, "clinician"),
    Character("lind", "Jon", "Lind", User.JobFunction.RESIDENT, "clinician"),
)


class NotADemo(Exception):
    """The database has people that the demonstration did not make."""


def seed(now: datetime.datetime) -> dict[str, Any]:
    """Bring the demonstration's people, patients and accesses up to date; return the credentials.

    Raises NotADemo before it writes anything, and Refused when somebody has changed the cast so that the accesses
    cannot be renewed; the rest is up to date then.
    """
    made_here = Event.objects.filter(event=EventType.USER_CREATED, user_agent=SEEDED_BY).exists()
    if User.objects.exists() and not made_here:
        raise NotADemo("The database has users of its own; the demonstration is only for an empty one.")
    folder = Path(settings.DATA_DIR)
    credentials = _credentials(folder / CREDENTIALS)
    with context.use(context.Context(user_agent=SEEDED_BY)):
        with transaction.atomic():
            people = _people(credentials, now)
            patients = _patients(credentials)
            _ward(people, patients, now)
        write_private(folder / PATIENTS_FILE, _patients_file(people, patients))
        with transaction.atomic():
            grant_rosa(people, patients[0], now)
            _other_grants(people, patients, now)
    return credentials


def grant_rosa(people: dict[str, User], rosa: Patient, now: datetime.datetime) -> PatientAccessGrant:
    """Return Dr Okafor's access grant for Rosa, asked for by Sam and approved by Vera if there is none in force."""
    if in_force := grants_of_rosa(people, rosa, now).first():
        return in_force
    asked = access_grants.request(
        patient=rosa, grantee_user=people["okafor"], scopes=CONSULT_SCOPE, ends_at=now + datetime.timedelta(days=30),
        reason="Cardiology consult", by=people["sam"], now=now,
    )  # fmt: skip
    return access_grants.approve(grant=asked, by=people["vera"], now=now)


def grants_of_rosa(
    people: dict[str, User], rosa: Patient, now: datetime.datetime
) -> QuerySet[PatientAccessGrant]:
    """Return what gives Dr Okafor access to Rosa now."""
    return PatientAccessGrant.objects.in_force(now).filter(patient=rosa, grantee_user=people["okafor"])


def write_private(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file of mode 0600 that is complete or not there at all."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _credentials(path: Path) -> dict[str, Any]:
    """Return the credentials file, written before the database so that no password is ever lost to a power cut.

    What the file lost or what cannot be read of it is made anew; a patient's id is the database's where it has one.
    """
    known, passwords, ids = _read(path)
    for character in CAST:
        passwords.setdefault(character.username, secrets.token_urlsafe(15))
    for number, person in enumerate(demo_patients(PATIENTS)):
        existing = Patient.objects.with_record_number(person.record_number).first()
        if existing is not None:
            ids[_key(number, person)] = str(existing.pk)
        ids.setdefault(_key(number, person), str(Patient().pk))
    credentials = {
        "issuer": settings.WARDKEY_ISSUER,
        "accounts": {
            each.username: {
                "username": each.username, "password": passwords[each.username], "roles": [each.role]
            }
            for each in CAST
        },
        "patients": ids,
        "clients": {"direct": {"client_id": Client.DIRECT}},
    }  # fmt: skip
    if credentials != known:
        write_private(path, credentials)
    return credentials


def _read(path: Path) -> tuple[Any, dict[str, str], dict[str, str]]:
    """Return the file as it is, its passwords by username and its patients' ids; nothing of a file that is damaged."""
    try:
        known = json.loads(path.read_text())
        passwords = {name: str(account["password"]) for name, account in known["accounts"].items()}
        ids = {key: str(uuid.UUID(id_)) for key, id_ in known["patients"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None, {}, {}
    return known, passwords, ids


def _key(number: int, person: DemoPatient) -> str:
    return "rosa" if number == 0 else f"patient-{number + 1}"


def _people(credentials: dict[str, Any], now: datetime.datetime) -> dict[str, User]:
    people: dict[str, User] = {}
    for character in CAST:
        password = credentials["accounts"][character.username]["password"]
        user = User.objects.filter(username=character.username).first()
        if user is None:
            first = people.get("sam")
            user = users.create(
                username=character.username, password=password, given_name=character.given_name,
                family_name=character.family_name, job_function=character.job_function, by=first, now=now,
            )  # fmt: skip
            role = Role.objects.get(code=character.role)
            role_assignments.assign(
                user=user, role=role, reason="Demonstration", by=first, now=now, operator=operator()
            )
        elif not user.check_password(password):  # the credentials file was removed, and made anew above
            user.set_password(password)
            user.save(update_fields=["password"])
        people[character.username] = user
    return people


def _patients(credentials: dict[str, Any]) -> list[Patient]:
    patients = []
    for number, person in enumerate(demo_patients(PATIENTS)):
        patient = Patient.objects.with_record_number(person.record_number).first()
        if patient is None:
            patient = Patient.objects.create(
                id=credentials["patients"][_key(number, person)], family_name=person.family, given_name=person.given,
                birth_date=datetime.date.fromisoformat(person.birth_date), record_number=person.record_number,
            )  # fmt: skip
        patients.append(patient)
    return patients


def _ward(people: dict[str, User], patients: list[Patient], now: datetime.datetime) -> None:
    ward, made = CareTeam.objects.get_or_create(name=WARD)
    if made:
        for username in ("okafor", "lind"):
            CareTeamMember.objects.create(care_team=ward, user=people[username], starts_at=now)
        for patient in patients[WARD_PATIENTS]:
            CareTeamPatient.objects.create(care_team=ward, patient=patient, starts_at=now)


def _other_grants(people: dict[str, User], patients: list[Patient], now: datetime.datetime) -> None:
    """Give the portal's home something to show: one request that waits, one grant that ends soon."""
    if PatientAccessGrant.objects.filter(grantee_user=people["lind"]).exists():
        return
    day = datetime.timedelta(days=1)
    wanted: dict[str, Any] = {
        "grantee_user": people["lind"],
        "scopes": CONSULT_SCOPE,
        "by": people["sam"],
        "now": now,
    }
    access_grants.request(patient=patients[7], ends_at=now + 20 * day, reason="Second opinion", **wanted)
    ending = access_grants.request(patient=patients[8], ends_at=now + 9 * day, reason="Night cover", **wanted)
    access_grants.approve(grant=ending, by=people["vera"], now=now)


def _patients_file(people: dict[str, User], patients: list[Patient]) -> dict[str, Any]:
    """Return what the example FHIR server makes its records of."""
    return {
        "patients": [
            {
                "id": str(patient.pk), "family": patient.family_name, "given": patient.given_name,
                "birth_date": patient.birth_date.isoformat(), "gender": person.gender,
                "record_number": patient.record_number,
            }
            for patient, person in zip(patients, demo_patients(PATIENTS), strict=True)
        ],
        "practitioners": [
            {"id": str(user.pk), "family": user.family_name, "given": user.given_name}
            for user in (people["okafor"], people["lind"])
        ],
    }  # fmt: skip
