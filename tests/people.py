"""The cast of every test, as the hospital would have set them up.

Dr Okafor has access to Rosa; Dr Lind has none. Ines is compliance officer; Sam and Vera are administrators, two of
them because nobody approves a request of their own: Vera's role is the operator's doing, Ines's was approved by Vera.
Rosa and Amir are patients; everything about them is PHI that must never be seen in a token, URL, log or error page
(`PHI`).
"""

import datetime
from dataclasses import dataclass

from django.contrib.auth.hashers import make_password
from django.utils import timezone

from accounts.models import Patient, PatientAccessGrant, Role, RoleAssignment, User
from accounts.operations import access_grants

PASSWORD = "correct horse battery staple"
SCOPES = "patient/Patient.rs patient/Observation.rs"
DAY = datetime.timedelta(days=1)
PHI = ("Alvarez", "Rosa", "1958-03-14", "MRN-000001", "Haddad", "Amir", "1971-11-02", "MRN-000002")

_hashed: list[str] = []


@dataclass(frozen=True)
class People:
    """Everybody, and the access grant by which Dr Okafor may see Rosa."""

    okafor: User
    lind: User
    ines: User
    sam: User
    vera: User
    rosa: Patient
    amir: Patient
    grant: PatientAccessGrant


def make_user(
    username: str,
    *,
    role: str = "",
    by: User | None = None,
    approved_by: User | None = None,
    **fields: object,
) -> User:
    """Make an active user who signs in with PASSWORD and, if named, holds a starter role since yesterday."""
    _hashed.append(make_password(PASSWORD)) if not _hashed else None
    user = User.objects.create(username=username, password=_hashed[0], state=User.State.ACTIVE, **fields)
    if role:
        RoleAssignment.objects.create(
            user=user,
            role=Role.objects.get(code=role),
            starts_at=timezone.now() - DAY,
            reason="the tests' cast",
            assigned_by=by,
            needs_approval=approved_by is not None,
            approved_by=approved_by,
            approved_at=timezone.now() - DAY if approved_by else None,
        )
    return user


def make_patient(record_number: str, family: str, given: str, born: str) -> Patient:
    """Register a patient."""
    return Patient.objects.create(
        record_number=record_number,
        family_name=family,
        given_name=given,
        birth_date=datetime.date.fromisoformat(born),
    )


def make_people() -> People:
    """Make the whole cast in the test's database."""
    sam = make_user("sam", role="administrator", given_name="Sam", family_name="Whitfield")
    vera = make_user("vera", role="administrator", by=sam, given_name="Vera", family_name="Nowak")
    ines = make_user(
        "ines", role="compliance-officer", by=sam, approved_by=vera, given_name="Ines", family_name="Duarte"
    )
    okafor = make_user("okafor", role="clinician", by=sam, given_name="Ada", family_name="Okafor")
    lind = make_user("lind", role="clinician", by=sam, given_name="Jon", family_name="Lind")
    rosa = make_patient("MRN-000001", "Alvarez", "Rosa", "1958-03-14")
    amir = make_patient("MRN-000002", "Haddad", "Amir", "1971-11-02")
    now = timezone.now()
    asked = access_grants.request(
        patient=rosa,
        grantee_user=okafor,
        scopes=SCOPES,
        ends_at=now + 30 * DAY,
        reason="Cardiology consult",
        by=sam,
        now=now,
    )
    grant = access_grants.approve(grant=asked, by=vera, now=now)
    return People(okafor, lind, ines, sam, vera, rosa, amir, grant)
