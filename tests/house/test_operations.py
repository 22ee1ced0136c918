"""No entry, no act: every operation there is, with a ledger that takes no entry, leaves the database as it was.

The table below must name every public function that could change something; a new one fails here until it is in it.
"""

import datetime
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.utils import timezone

import accounts.operations
from accounts.models import (
    CareTeam,
    CareTeamMember,
    CareTeamPatient,
    PatientAccessGrant,
    Role,
    RoleAssignment,
    User,
)
from accounts.operations import access_grants, patients, role_assignments, sessions, users
from audit.models import Event, RegisteredModel
from tests.ledger_failure import REFUSAL
from tests.people import DAY, PASSWORD, People
from tokens import issuing, keys, refresh_families, refresh_tokens
from tokens.errors import InvalidGrant
from tokens.models import Client, RefreshFamily, SigningKey

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_keys")]

Act = Callable[[], object]
NOW = timezone.now


def ask(people: People, **differently: object) -> PatientAccessGrant:
    wanted: dict[str, object] = {
        "patient": people.amir,
        "grantee_user": people.lind,
        "scopes": "patient/Patient.rs",
        "ends_at": NOW() + DAY,
        "reason": "Consult",
        "by": people.sam,
        "now": NOW(),
    }
    return access_grants.request(**{**wanted, **differently})


def role_of(user: User) -> RoleAssignment:
    return RoleAssignment.objects.get(user=user)


def spare_role() -> Role:
    return Role.objects.create(code="spare", name="Spare", description="Nothing")


def request(people: People) -> Act:
    return lambda: ask(people)


def approve(people: People) -> Act:
    grant = ask(people)
    return lambda: access_grants.approve(grant=grant, by=people.vera, now=NOW())


def reject(people: People) -> Act:
    grant = ask(people)
    return lambda: access_grants.reject(grant=grant, reason="No", by=people.vera, now=NOW())


def revoke(people: People) -> Act:
    return lambda: access_grants.revoke(grant=people.grant, reason="Over", by=people.vera, now=NOW())


def settle(people: People) -> Act:
    return lambda: access_grants.settle(NOW() + 60 * DAY)


def assign(people: People) -> Act:
    role = spare_role()
    return lambda: role_assignments.assign(
        user=people.lind, role=role, reason="Help", by=people.sam, now=NOW()
    )


def approve_role(people: People) -> Act:
    administrator = Role.objects.get(code="administrator")
    waits = role_assignments.assign(
        user=people.lind, role=administrator, reason="New job", by=people.sam, now=NOW()
    )
    return lambda: role_assignments.approve(assignment=waits, by=people.vera, now=NOW())


def withdraw_role(people: People) -> Act:
    officer = Role.objects.get(code="compliance-officer")
    waits = role_assignments.assign(user=people.lind, role=officer, reason="New", by=people.sam, now=NOW())
    return lambda: role_assignments.end(assignment=waits, reason="No", by=people.sam, now=NOW())


def end_role(people: People) -> Act:
    assignment = role_of(people.lind)
    return lambda: role_assignments.end(assignment=assignment, reason="Left", by=people.sam, now=NOW())


def create(people: People) -> Act:
    return lambda: users.create(username="newcomer", password=PASSWORD, by=people.sam, now=NOW())


def activate(people: People) -> Act:
    users.suspend(user=people.lind, by=people.sam, reason="Away", now=NOW())
    return lambda: users.activate(user=people.lind, by=people.sam, reason="Back", now=NOW())


def suspend(people: People) -> Act:
    return lambda: users.suspend(user=people.lind, by=people.sam, reason="Away", now=NOW())


def end_user(people: People) -> Act:
    return lambda: users.end(user=people.lind, by=people.sam, reason="Left", now=NOW())


def set_password(people: People) -> Act:
    return lambda: users.set_password(
        user=people.lind, password="another horse battery", by=people.sam, reason="Forgotten", now=NOW()
    )


def set_password_in_shell(people: People) -> Act:
    return lambda: users.set_password(
        user=people.vera, password="another horse battery", by=None, reason="Lost", now=NOW(), operator="root"
    )


def end_elsewhere(people: People) -> Act:
    Session.objects.create(session_key="other", session_data="", expire_date=NOW() + DAY)
    UserSession.objects.create(user=people.okafor, session_key="other", ip="127.0.0.1", user_agent="")
    return lambda: sessions.end_elsewhere(user=people.okafor, keep="this", only=None, now=NOW())


def look_up(people: People) -> Act:
    return lambda: patients.look_up(text="MRN-000001", now=NOW())


def rotate_keys(people: People) -> Act:
    return lambda: keys.rotate(now=NOW(), by=people.sam, hurry=True, skip_wait=True)


def revoke_key(people: People) -> Act:
    kid = SigningKey.objects.filter(state=SigningKey.State.ACTIVE).values_list("pk", flat=True)[0]
    return lambda: keys.revoke(kid=kid, reason="Lost", by=people.sam, now=NOW())


def sign_in(people: People) -> Act:
    return lambda: issuing.sign_in(user=people.okafor, amr="pwd", acr="aal1", now=NOW())


def signed_in(people: People) -> issuing.Issued:
    return issuing.sign_in(user=people.okafor, amr="pwd", acr="aal1", now=NOW())


def refresh(people: People) -> Act:
    issued = signed_in(people)
    return lambda: issuing.refresh(presented=issued.refresh, now=NOW())


def for_patient(people: People) -> Act:
    base = issuing.check(token=signed_in(people).access, now=NOW())
    return lambda: issuing.for_patient(
        base=base, patient=str(people.rosa.pk), purpose_of_use="TREAT", scope="patient/Patient.rs", now=NOW()
    )


def revoke_token(people: People) -> Act:
    issued = signed_in(people)
    return lambda: issuing.revoke(token=issued.refresh, now=NOW())


def rotate_family(people: People) -> Act:
    presented = refresh_tokens.parse(signed_in(people).refresh)
    return lambda: refresh_families.rotate(presented, jti="j", now=NOW())


def reuse_family(people: People) -> Act:
    first = signed_in(people)
    issuing.refresh(presented=first.refresh, now=NOW())
    later = NOW() + datetime.timedelta(minutes=5)
    return lambda: refresh_families.rotate(refresh_tokens.parse(first.refresh), jti="j", now=later)


def revoke_family(people: People) -> Act:
    signed_in(people)
    key = RefreshFamily.objects.get().pk
    return lambda: refresh_families.revoke(key, reason="over", now=NOW())


def revoke_families_of_user(people: People) -> Act:
    signed_in(people)
    signed_in(people)
    return lambda: refresh_families.revoke_of_user(people.okafor, reason="over", now=NOW())


OPERATIONS: dict[str, list[Callable[[People], Act]]] = {
    "accounts.operations.access_grants.request": [request],
    "accounts.operations.access_grants.approve": [approve],
    "accounts.operations.access_grants.reject": [reject],
    "accounts.operations.access_grants.revoke": [revoke],
    "accounts.operations.access_grants.settle": [settle],
    "accounts.operations.role_assignments.assign": [assign],
    "accounts.operations.role_assignments.approve": [approve_role],
    "accounts.operations.role_assignments.end": [end_role, withdraw_role],
    "accounts.operations.users.create": [create],
    "accounts.operations.users.activate": [activate],
    "accounts.operations.users.suspend": [suspend],
    "accounts.operations.users.end": [end_user],
    "accounts.operations.users.set_password": [set_password, set_password_in_shell],
    "accounts.operations.sessions.end_elsewhere": [end_elsewhere],
    "accounts.operations.patients.look_up": [look_up],
    "tokens.keys.rotate": [rotate_keys],
    "tokens.keys.revoke": [revoke_key],
    "tokens.issuing.sign_in": [sign_in],
    "tokens.issuing.refresh": [refresh],
    "tokens.issuing.for_patient": [for_patient],
    "tokens.issuing.revoke": [revoke_token],
    "tokens.refresh_families.rotate": [rotate_family, reuse_family],
    "tokens.refresh_families.revoke": [revoke_family],
    "tokens.refresh_families.revoke_of_user": [revoke_families_of_user],
}
WITHOUT_AN_ENTRY = {
    "accounts.operations.refusals.require": "asks",
    "accounts.operations.roles.refuse_privileges_for_holders": "asks",
    "accounts.operations.care_teams.refuse_own_membership": "asks",
    "accounts.operations.care_teams.refuse_patients_of_own_team": "asks",
    "accounts.operations.sessions.remove_ended": "removes what has ended; nothing about access changes",
    "tokens.keys.policy": "reads settings",
    "tokens.issuing.check": "asks",
    "tokens.refresh_families.open_family": "called inside the transaction of tokens.issuing.sign_in",
    "tokens.refresh_families.sign_in_of": "asks",
    "tokens.refresh_families.remove_ended": "removes what has ended; nothing about access changes",
}


def public_functions() -> set[str]:
    packages = [
        f"accounts.operations.{module.name}" for module in pkgutil.iter_modules(accounts.operations.__path__)
    ]
    found = set()
    for name in [*packages, "tokens.keys", "tokens.refresh_families", "tokens.issuing"]:
        for function, value in vars(importlib.import_module(name)).items():
            wanted = inspect.isfunction(value) and value.__module__ == name and not function.startswith("_")
            found |= {f"{name}.{function}"} if wanted else set()
    return found


def everything() -> dict[str, list[object]]:
    """Return every row of every table of ours but the ledger's."""
    labels = ("accounts", "tokens", "sessions", "usersessions")
    models = [model for label in labels for model in apps.get_app_config(label).get_models()]
    return {model._meta.label: sorted(map(repr, model._base_manager.values())) for model in models}


def test_every_operation_is_in_the_table() -> None:
    assert public_functions() == OPERATIONS.keys() | WITHOUT_AN_ENTRY.keys()
    assert not OPERATIONS.keys() & WITHOUT_AN_ENTRY.keys()


CASES = [(name, prepare) for name, prepares in OPERATIONS.items() for prepare in prepares]


@pytest.mark.parametrize(("name", "prepare"), CASES, ids=[f"{name}-{act.__name__}" for name, act in CASES])
@pytest.mark.django_db(transaction=True)
def test_a_failing_ledger_leaves_nothing_behind(
    name: str,
    prepare: Callable[[People], Act],
    people: People,
    failing_ledger: Callable[[], AbstractContextManager[None]],
) -> None:
    act = prepare(people)
    before, entries = everything(), Event.objects.count()
    with failing_ledger(), pytest.raises(DatabaseError, match=REFUSAL):
        act()
    assert everything() == before
    assert Event.objects.count() == entries


@pytest.mark.parametrize(("name", "prepare"), CASES, ids=[f"{name}-{act.__name__}" for name, act in CASES])
def test_the_same_act_is_recorded_when_the_ledger_takes_it(
    name: str, prepare: Callable[[People], Act], people: People
) -> None:
    act = prepare(people)
    entries = Event.objects.count()
    # A used token that comes back is refused, and its family has ended.
    with pytest.raises(InvalidGrant) if prepare is reuse_family else nullcontext():
        act()
    assert Event.objects.count() > entries


LATER = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.django_db(transaction=True)
def test_a_failing_ledger_keeps_registered_models_as_they_were_even_outside_a_transaction(
    people: People, failing_ledger: Callable[[], AbstractContextManager[None]]
) -> None:
    team = CareTeam.objects.create(name="Night")
    member = CareTeamMember.objects.create(care_team=team, user=people.lind, starts_at=NOW())
    under = CareTeamPatient.objects.create(care_team=team, patient=people.rosa, starts_at=NOW())
    role, permission = spare_role(), Permission.objects.all()[0]
    client = Client.objects.create(client_id="spare", name="Spare")
    team.name, member.ends_at, under.ends_at, client.name = "Day", LATER, LATER, "Other"
    people.lind.given_name, people.rosa.given_name, role.name = "X", "X", "Other"
    changed: list[Any] = [team, member, under, role, client, people.lind, people.rosa]
    assert {type(row) for row in changed} == {
        model for model in apps.get_models() if issubclass(model, RegisteredModel)
    }
    acts: list[Act] = [row.save for row in changed]
    acts += [row.delete for row in (under, member, role, client)]
    acts += [lambda: CareTeam.objects.create(name="New"), lambda: role.permissions.add(permission)]
    before = everything()
    with failing_ledger():
        for act in acts:
            with pytest.raises(DatabaseError, match=REFUSAL):
                act()
    assert everything() == before
    for act in acts[:7]:
        entries = Event.objects.count()
        act()
        assert Event.objects.count() == entries + 1
