"""gather(): one statement, through indexes, and the same facts as a naive reading of the rows."""

import datetime
import random
import re
import uuid
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.access import lookup
from accounts.access import scopes as smart
from accounts.access.decision import (
    AccessGrantTie,
    Account,
    CareTeamTie,
    ClientPolicy,
    Facts,
    RoleInForce,
    earliest,
)
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
from audit.raw_sql import timestamp_parameter, uuid_parameter
from tests.people import DAY, People, make_patient

pytestmark = pytest.mark.django_db
NOBODY = uuid.UUID(int=0)
MOMENT = datetime.timedelta(microseconds=1)
# On SQLite times are text, and a whole second has no fraction.
WHOLE, FRACTION = (datetime.datetime(2026, 3, 1, 12, 0, 0, part, datetime.UTC) for part in (0, 500_000))


def gather(user: User | uuid.UUID, patient: Patient | uuid.UUID, now: datetime.datetime) -> Facts:
    keys = [each if isinstance(each, uuid.UUID) else each.pk for each in (user, patient)]
    return lookup.gather(user=keys[0], patient=keys[1], client=ClientPolicy(), now=now)[0]


def in_force(row: Any, now: datetime.datetime) -> bool:
    return row.starts_at <= now and (row.ends_at is None or row.ends_at > now)


def naively(user: User, patient: Patient, now: datetime.datetime) -> Facts:
    """Read every row and decide in Python."""
    user = User.objects.get(pk=user.pk)
    memberships = [row for row in CareTeamMember.objects.filter(user=user) if in_force(row, now)]
    roles = [
        RoleInForce(
            held.role.code, held.role.version, smart.parse(held.role.scope_ceiling),
            frozenset(held.role.purposes_of_use), held.ends_at,
        )
        for held in RoleAssignment.objects.filter(user=user)
        if in_force(held, now) and held.ended_at is None
    ]  # fmt: skip
    teams = [
        CareTeamTie(str(member.care_team_id), earliest(member.ends_at, under.ends_at))
        for member in memberships
        for under in CareTeamPatient.objects.filter(patient=patient)
        if under.care_team_id == member.care_team_id and in_force(under, now)
    ]
    grants = []
    for grant in PatientAccessGrant.objects.filter(patient=patient):
        if grant.state in ("approved", "active") and in_force(grant, now):
            ends = [None] if grant.grantee_user_id == user.pk else []
            ends += [each.ends_at for each in memberships if each.care_team_id == grant.grantee_care_team_id]
            grants += [
                AccessGrantTie(
                    str(grant.pk), smart.parse(grant.scopes), grant.purpose_of_use, earliest(grant.ends_at, end) or end
                )
                for end in ends
            ]  # fmt: skip
    return Facts(
        Account(user.state, user.ends_at),
        True,
        roles=tuple(roles),
        care_teams=tuple(teams),
        access_grants=tuple(grants),
    )


def sorted_facts(facts: Facts) -> list[Any]:
    return [facts.account, facts.patient_exists, *(
        sorted(map(repr, each)) for each in (facts.roles, facts.care_teams, facts.access_grants)
    )]  # fmt: skip


def grant_to(people: People, **fields: Any) -> PatientAccessGrant:
    return PatientAccessGrant.objects.create(
        patient=people.amir, scopes="patient/Patient.rs", reason="x", requested_by=people.sam, approved_by=people.vera,
        approved_at=WHOLE, state="active", **fields,
    )  # fmt: skip


def test_it_is_one_statement(people: People, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        facts = gather(people.okafor, people.rosa, timezone.now())
    assert [tie.access_grant for tie in facts.access_grants] == [str(people.grant.pk)]


def test_nobody_and_nothing_are_facts_too(people: People) -> None:
    facts = gather(NOBODY, NOBODY, timezone.now())
    assert facts == Facts(None, False)
    for patient in (NOBODY, uuid.uuid4()):
        facts = gather(people.okafor, patient, timezone.now())
        assert (facts.patient_exists, facts.care_teams, facts.access_grants) == (False, (), ())


@pytest.mark.parametrize("boundary", [WHOLE, FRACTION, WHOLE + MOMENT, WHOLE - MOMENT])
def test_everything_counts_from_its_start_and_no_longer_at_its_end(
    people: People, boundary: datetime.datetime
) -> None:
    team = CareTeam.objects.create(name="Night")
    role = Role.objects.create(code="r", name="R", description="R", scope_ceiling="patient/Patient.rs")
    end = boundary + DAY
    grant_to(people, grantee_user=people.lind, starts_at=boundary, ends_at=end)
    grant_to(people, grantee_care_team=team, starts_at=boundary, ends_at=end)
    CareTeamMember.objects.create(care_team=team, user=people.lind, starts_at=boundary, ends_at=end)
    CareTeamPatient.objects.create(care_team=team, patient=people.amir, starts_at=boundary, ends_at=end)
    RoleAssignment.objects.filter(user=people.lind).delete()
    RoleAssignment.objects.create(user=people.lind, role=role, starts_at=boundary, ends_at=end, reason="x")
    for now, count in ((boundary - MOMENT, 0), (boundary, 1), (end - MOMENT, 1), (end, 0)):
        facts = gather(people.lind, people.amir, now)
        assert (len(facts.roles), len(facts.care_teams), len(facts.access_grants)) == (
            count,
            count,
            2 * count,
        ), now
        assert sorted_facts(facts) == sorted_facts(naively(people.lind, people.amir, now))


@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_a_naive_reading_of_random_rows(people: People, seed: int) -> None:
    dice = random.Random(seed)
    times = [
        WHOLE + dice.choice([-1, 0, 1]) * DAY + dice.choice([-1, 0, 1, 500_000]) * MOMENT for _ in range(9)
    ]
    users, patients = [people.okafor, people.lind], [people.rosa, people.amir]
    teams = [CareTeam.objects.create(name=f"Team {number}") for number in range(3)]

    def span(*, open_end: bool) -> dict[str, Any]:
        first, last = sorted(dice.sample(range(-2, 3), 2))
        end = None if open_end and dice.random() < 0.3 else dice.choice(times) + last * DAY + 6 * DAY
        return {"starts_at": dice.choice(times) + first * DAY, "ends_at": end}

    for _ in range(12):
        spans = span(open_end=True)
        CareTeamMember.objects.get_or_create(
            care_team=dice.choice(teams),
            user=dice.choice(users),
            starts_at=spans["starts_at"],
            defaults=spans,
        )
        spans = span(open_end=True)
        CareTeamPatient.objects.get_or_create(
            care_team=dice.choice(teams),
            patient=dice.choice(patients),
            starts_at=spans["starts_at"],
            defaults=spans,
        )
        grantee = dice.choice(
            [{"grantee_user": dice.choice(users)}, {"grantee_care_team": dice.choice(teams)}]
        )
        state = dice.choice(["requested", "approved", "active", "rejected", "expired"])
        grant = grant_to(people, **grantee, **span(open_end=False))
        PatientAccessGrant.objects.filter(pk=grant.pk).update(state=state, patient=dice.choice(patients))
    for user in users:
        for patient in patients:
            for now in times:
                for moment in (now, now + MOMENT, now + 6 * DAY):
                    assert sorted_facts(gather(user, patient, moment)) == sorted_facts(
                        naively(user, patient, moment)
                    )


@pytest.mark.slow
@pytest.mark.postgresql
def test_every_branch_walks_an_index_when_the_tables_are_large(people: People) -> None:
    """10,000 patients, relationships and grants, most of them of somebody else."""
    now, many = timezone.now(), 10_000
    base = make_patient("MRN-X", "X", "X", "2000-01-01")
    patients = [
        Patient(
            family_name="X", given_name="X", birth_date=base.birth_date, record_number=str(number),
            record_number_index=number.to_bytes(32, "big"), family_name_index=bytes(32),
        )
        for number in range(many)
    ]  # fmt: skip
    Patient.objects.bulk_create(patients, batch_size=2000)
    users = [User(username=f"u{number}", password="x", state="active") for number in range(many)]
    User.objects.bulk_create(users, batch_size=2000)
    teams = [CareTeam(name=f"t{number}") for number in range(200)]
    CareTeam.objects.bulk_create(teams)
    role = Role.objects.get(code="clinician")
    dated = {"starts_at": now - DAY, "ends_at": now + DAY}
    RoleAssignment.objects.bulk_create(
        [RoleAssignment(user=user, role=role, starts_at=now - DAY, reason="x") for user in users],
        batch_size=2000,
    )
    CareTeamMember.objects.bulk_create(
        [CareTeamMember(care_team=teams[n % 200], user=user, **dated) for n, user in enumerate(users)],
        batch_size=2000,
    )
    CareTeamPatient.objects.bulk_create(
        [
            CareTeamPatient(care_team=teams[n % 200], patient=patient, **dated)
            for n, patient in enumerate(patients)
        ],
        batch_size=2000,
    )
    grants = []
    for number, patient in enumerate(patients):
        grantee: dict[str, Any] = {"grantee_user": users[-1 - number]}
        if number % 2 == 0:
            grantee = {"grantee_care_team": teams[number % 200]}
        grants.append(
            PatientAccessGrant(
                patient=patient, scopes="patient/Patient.rs", reason="x", requested_by=people.sam,
                approved_by=people.vera, approved_at=now, state="active", **grantee, **dated,
            )
        )  # fmt: skip
    PatientAccessGrant.objects.bulk_create(grants, batch_size=2000)
    parameters = {
        "user": uuid_parameter(users[7].pk), "patient": uuid_parameter(patients[7].pk), "now": timestamp_parameter(now)
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute(f"EXPLAIN {lookup.FACTS}", parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    scanned = set(re.findall(r"Seq Scan on (\w+)", plan)) - {"accounts_role"}  # a dozen rows
    assert not scanned, plan
    assert len(gather(users[7], patients[7], now).care_teams) == 1
