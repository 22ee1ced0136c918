"""reach and decide() are two directions of one question: what is shown is allowed, what is allowed is shown."""

import datetime
import random
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.access import lookup, reach
from accounts.access import scopes as smart
from accounts.access.decision import ClientPolicy, Decision, Question, decide
from accounts.models import (
    CareTeam,
    CareTeamMember,
    CareTeamPatient,
    Patient,
    PatientAccessGrant,
    Role,
    RoleAssignment,
    User,
)
from accounts.purposes import PURPOSES_OF_USE
from tests.people import DAY, People, make_user

pytestmark = pytest.mark.django_db


def decided(user: User, patient: uuid.UUID, purpose: str, now: datetime.datetime) -> Decision:
    """Ask decide() for everything that the user's roles could allow, as the token endpoint would."""
    facts, _ = lookup.gather(user=user.pk, patient=patient, client=ClientPolicy(), now=now)
    wanted = tuple(scope for role in facts.roles for scope in role.ceiling)
    return decide(Question(purpose, wanted), facts, now)


def register(count: int) -> list[Patient]:
    """Register synthetic patients."""
    born = datetime.date(1980, 1, 1)
    patients = [
        Patient(
            record_number=f"SYN-{count}-{n}",
            family_name=f"Family{n}",
            given_name=f"Given{n}",
            birth_date=born,
        )
        for n in range(count)
    ]
    for patient in patients:
        patient.set_blind_indexes()
    return Patient.objects.bulk_create(patients)


def span(chance: random.Random, now: datetime.datetime) -> dict[str, datetime.datetime | None]:
    """Return a time that is past, now, or to come, with or without an end."""
    start = now + chance.choice([-9, -3, -3, -3, 2]) * DAY
    return {"starts_at": start, "ends_at": chance.choice([None, None, start + DAY, start + 20 * DAY])}


def populate(
    chance: random.Random, people: People, now: datetime.datetime
) -> tuple[list[User], list[Patient]]:
    """Tie a few people to a few patients by everything that may tie them, in force or not."""
    everything = "patient/Patient.rs patient/Observation.rs user/Practitioner.rs"
    roles = [
        Role.objects.get(code="clinician"),
        Role.objects.create(
            code="biller", name="Biller", scope_ceiling="patient/Coverage.rs", purposes_of_use=["HPAYMT"]
        ),
        Role.objects.create(code="desk", name="Desk", scope_ceiling="", purposes_of_use=["TREAT", "COC"]),
        Role.objects.create(
            code="study", name="Study", scope_ceiling=everything, purposes_of_use=["HRESCH", "COC"]
        ),
    ]
    users = [make_user(f"person{n}") for n in range(4)]
    User.objects.filter(pk=users[3].pk).update(ends_at=now + DAY)
    users[3].refresh_from_db()
    for user in users:
        for role in chance.sample(roles, k=chance.choice([1, 1, 2, 3])):
            RoleAssignment.objects.create(
                user=user, role=role, reason="x", assigned_by=people.sam, **span(chance, now)
            )
    patients, teams = register(12), [CareTeam.objects.create(name=f"Team {n}") for n in range(3)]
    for team in teams:
        for user in chance.sample(users, k=2):
            CareTeamMember.objects.create(care_team=team, user=user, **span(chance, now))
        for patient in chance.sample(patients, k=4):
            CareTeamPatient.objects.create(care_team=team, patient=patient, **span(chance, now))
    for _ in range(30):
        times = span(chance, now)
        grantee = chance.choice(
            [{"grantee_user": chance.choice(users)}, {"grantee_care_team": chance.choice(teams)}]
        )
        PatientAccessGrant.objects.create(
            patient=chance.choice(patients),
            scopes=chance.choice([everything, "patient/Observation.rs", "patient/Coverage.rs", "patient/Claim.rs"]),
            purpose_of_use=chance.choice(["TREAT", "COC", "HPAYMT", "HRESCH", "HLEGAL"]),
            state=chance.choice(["active", "active", "approved", "requested", "revoked", "expired"]),
            reason="x", requested_by=people.sam, approved_by=people.vera, approved_at=now, revoked_at=now,
            **{**times, "ends_at": times["ends_at"] or now + 5 * DAY}, **grantee,
        )  # fmt: skip
    return users, patients


@pytest.mark.parametrize("seed", range(25))
def test_it_shows_exactly_what_decide_allows(seed: int, people: People) -> None:
    chance, now = random.Random(seed), timezone.now()
    users, patients = populate(chance, people, now)
    for user in users:
        shown = {
            (reached.patient.pk, purpose): (basis.ref, basis.until, basis.scopes)
            for reached in reach.patients_of(user=user, now=now).patients
            for basis in reached.bases
            for purpose in basis.purposes
        }
        allowed = {
            (patient.pk, purpose): (
                decision.basis,
                decision.until,
                [smart.in_plain_language(scope) for scope in decision.scopes],
            )
            for patient in patients
            for purpose in PURPOSES_OF_USE
            if (decision := decided(user, patient.pk, purpose, now)).allowed
        }
        assert shown == allowed


def test_the_random_people_see_somebody_for_every_kind_of_reason(people: People) -> None:
    """Guard the property above against seeds that tie nobody to anybody."""
    now, kinds = timezone.now(), set()
    users, _ = populate(random.Random(7), people, now)
    for user in users:
        for reached in reach.patients_of(user=user, now=now).patients:
            kinds |= {basis.ref.partition(":")[0] for basis in reached.bases}
    assert kinds == {"care_team", "access_grant"}


@pytest.mark.parametrize(
    "change", [{"state": "suspended"}, {"state": "ended"}, {"ends_at": timezone.now() - DAY}]
)
def test_an_account_without_standing_sees_nobody(change: dict[str, object], people: People) -> None:
    User.objects.filter(pk=people.okafor.pk).update(**change)
    people.okafor.refresh_from_db()
    assert reach.patients_of(user=people.okafor, now=timezone.now()).patients == []


def test_a_grant_stops_to_show_at_its_end(people: People) -> None:
    end = people.grant.ends_at
    assert reach.patients_of(user=people.okafor, now=end - datetime.timedelta(seconds=1)).patients
    assert not reach.patients_of(user=people.okafor, now=end).patients


def ward_of(user: User, size: int, now: datetime.datetime) -> list[Patient]:
    """Put the user and new patients under one care team."""
    team, patients = CareTeam.objects.create(name=f"Ward of {size}"), register(size)
    CareTeamMember.objects.create(care_team=team, user=user, starts_at=now - DAY)
    CareTeamPatient.objects.bulk_create(
        [CareTeamPatient(care_team=team, patient=patient, starts_at=now - DAY) for patient in patients]
    )
    return patients


def test_pages_show_everybody_once(people: People) -> None:
    now = timezone.now()
    patients = ward_of(people.lind, 2 * reach.PAGE + 7, now)
    seen: list[uuid.UUID] = []
    page = reach.patients_of(user=people.lind, now=now)
    seen += [reached.patient.pk for reached in page.patients]
    while page.following:
        page = reach.patients_of(user=people.lind, now=now, after=page.following)
        seen += [reached.patient.pk for reached in page.patients]
    assert len(seen) == len(patients)
    assert set(seen) == {patient.pk for patient in patients}


def test_5000_patients_take_as_many_statements_as_one(people: People) -> None:
    now = timezone.now()
    ward_of(people.okafor, 1, now)
    with CaptureQueriesContext(connection) as with_few:
        assert len(reach.patients_of(user=people.okafor, now=now).patients) == 2
    ward_of(people.okafor, 5000, now)
    with CaptureQueriesContext(connection) as with_many:
        page = reach.patients_of(user=people.okafor, now=now)
    assert len(page.patients) == reach.PAGE
    assert len(with_many) == len(with_few) == 7
    with CaptureQueriesContext(connection) as searching:
        found = reach.patients_of(user=people.okafor, now=now, record_number=" syn-5000-4999 ")
    assert [reached.patient.record_number for reached in found.patients] == ["SYN-5000-4999"]
    assert len(searching) == 8
    assert found.following is None
