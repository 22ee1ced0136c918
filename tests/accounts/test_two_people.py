"""Two people for privileged roles: what one administrator alone cannot make of anybody, and what lets it count."""

import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from accounts.access import lookup, reach, segregation
from accounts.access.decision import ClientPolicy
from accounts.models import Role, RoleAssignment, User
from accounts.operations import role_assignments, roles, users
from accounts.starter_roles import STARTER_ROLES
from audit.events import EventType
from audit.models import Event
from tests.accounts.test_operations import at_once, refused
from tests.people import DAY, PASSWORD, People, make_user

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
NEW_PASSWORD = "another horse battery"
ASSIGN = "accounts.assign_role"


def role_with(*permissions: str, **fields: Any) -> Role:
    """Make a role that carries these permissions, given by their code names."""
    role = Role.objects.create(code=f"made-{Role.objects.count()}", name="Made", description="x", **fields)
    role.permissions.set(Permission.objects.filter(codename__in=permissions))
    assert role.permissions.count() == len(permissions)
    return role


def administrator() -> Role:
    return Role.objects.get(code="administrator")


def assign(people: People, **differently: Any) -> RoleAssignment:
    wanted = {"user": people.lind, "role": administrator(), "reason": "New job", "by": people.sam}
    return role_assignments.assign(**{**wanted, "now": timezone.now(), **differently})


def approve(assignment: RoleAssignment, by: User) -> RoleAssignment:
    return role_assignments.approve(assignment=assignment, by=by, now=timezone.now())


def again(user: User) -> User:
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize(
    ("permissions", "privileged"),
    [
        ("", False),
        ("accounts.enter_portal accounts.view_user accounts.explain_access tokens.view_signingkey", False),
        ("accounts.assign_role", True),
        ("accounts.approve_access_grant", True),
        ("accounts.change_careteammember", True),
        ("tokens.rotate_signing_keys", True),
        ("tokens.add_client", True),
        ("audit.view_event", True),
        ("audit.export_event", True),
    ],
)
def test_what_makes_a_role_privileged(permissions: str, privileged: bool) -> None:
    assert segregation.is_privileged(permissions.split()) is privileged


def test_the_starter_roles_but_the_clinicians_are_privileged(db: None) -> None:
    assert {role.code for role in Role.objects.all() if not role.is_privileged} == {"clinician"}
    assert len(STARTER_ROLES) == 3


# One person alone
def test_an_administrator_who_makes_a_second_person_has_none(people: People) -> None:
    puppet = users.create(username="puppet", password=PASSWORD, by=people.sam, now=timezone.now())
    waits = assign(people, user=puppet)
    assert not again(puppet).has_perm(ASSIGN)
    assert not again(puppet).has_perm("accounts.enter_portal")
    refused("not_permitted", lambda: approve(waits, again(puppet)))
    refused("own_request", lambda: approve(waits, people.sam))
    assert not waits.role.assignments.in_force(timezone.now()).filter(user=puppet).exists()


def test_who_may_not_approve(people: People) -> None:
    root, waits = make_user("root", is_superuser=True), assign(people)
    for nobody in (people.okafor, people.ines):
        refused("not_permitted", lambda by=nobody: approve(waits, by))
    for_root, by_root = assign(people, user=root), assign(people, user=people.okafor, by=root)
    refused("own_account", lambda: approve(for_root, root))
    refused("own_request", lambda: approve(by_root, root))


def test_what_does_not_wait_is_not_approved(people: People) -> None:
    plain = assign(people, role=role_with("view_user"))
    assert not plain.needs_approval
    ended, short = assign(people), assign(people, user=people.okafor, ends_at=timezone.now() + DAY)
    role_assignments.end(assignment=ended, reason="No", by=people.sam, now=timezone.now())
    approved = approve(assign(people), people.vera)
    for assignment in (plain, ended, approved):
        refused("wrong_state", lambda assignment=assignment: approve(assignment, people.vera))
    refused(
        "ended", lambda: role_assignments.approve(assignment=short, by=people.vera, now=timezone.now() + DAY)
    )


def test_what_waits_counts_nowhere_and_counts_everywhere_once_approved(people: People) -> None:
    role = role_with(
        "assign_role", scope_ceiling="patient/Patient.rs", purposes_of_use=["TREAT"], may_break_glass=False
    )
    chief = make_user("chief")
    waits = assign(people, user=chief, role=role)

    def counts() -> list[bool]:
        now = timezone.now()
        facts, _ = lookup.gather(user=chief.pk, patient=people.rosa.pk, client=ClientPolicy(), now=now)
        return [
            chief.role_assignments.in_force(now).exists(),
            bool(facts.roles),
            bool(reach._roles(chief, now)),
            again(chief).has_perm(ASSIGN),
            not chief.role_assignments.waiting(now).exists(),
        ]

    assert counts() == [False] * 5
    approve(waits, people.vera)
    assert counts() == [True] * 5


def test_an_approval_is_recorded_and_so_is_that_it_was_needed(people: People) -> None:
    now = timezone.now()
    waits = assign(people)
    approved = role_assignments.approve(assignment=waits, by=people.vera, now=now, reason="Known to me")
    assert (approved.approved_by, approved.approved_at) == (people.vera, now)
    assigned = Event.objects.get(event=EventType.ROLE_ASSIGNED, object_pk=str(waits.pk))
    assert (assigned.additional_data or {})["needs_approval"] is True
    entry = Event.objects.get(event=EventType.ROLE_ASSIGNMENT_APPROVED)
    assert (entry.actor_label, entry.object_pk, entry.reason) == ("vera", str(waits.pk), "Known to me")
    assert entry.changes == {"approved_by": ["", str(people.vera.pk)]}


def test_what_waits_is_withdrawn_and_makes_room(people: People) -> None:
    waits = assign(people)
    refused("already_assigned", lambda: assign(people, by=people.vera))
    role_assignments.end(assignment=waits, reason="A mistake", by=people.sam, now=timezone.now())
    refused("wrong_state", lambda: approve(waits, people.vera))
    assert assign(people).is_waiting


def test_the_operator_of_the_machine_is_a_second_person_and_is_named(people: People) -> None:
    assignment = assign(people, operator="backup-admin")
    assert not assignment.is_waiting
    assert again(people.lind).has_perm(ASSIGN)
    entry = Event.objects.get(event=EventType.ROLE_ASSIGNED, object_pk=str(assignment.pk))
    assert (entry.actor_label, (entry.additional_data or {})["operator"]) == ("sam", "backup-admin")


def test_only_the_shell_names_an_operator() -> None:
    allowed = re.compile(r"accounts/management/commands/\w+\.py|accounts/operations/\w+\.py|idp/demo\.py")
    names = [
        path.relative_to(ROOT).as_posix()
        for app in ("accounts", "tokens", "idp", "audit")
        for path in (ROOT / app).rglob("*.py")
        if re.search(r"\boperator=", path.read_text())
    ]
    assert len(names) > 3
    assert [name for name in names if not allowed.fullmatch(name)] == []


# Roles that grow
def test_a_role_that_somebody_has_or_waits_for_gets_no_further_privilege(people: People) -> None:
    now, plain = timezone.now(), {"accounts.view_user", "accounts.enter_portal"}
    role = role_with("view_user")

    def grow(permissions: set[str]) -> None:
        roles.refuse_privileges_for_holders(role=role, permissions=permissions, now=now)

    grow(plain | {ASSIGN})
    assignment = assign(people, role=role, starts_at=now + DAY)
    for privilege in (ASSIGN, "audit.view_event", "tokens.revoke_signing_key"):
        refused("role_is_held", lambda privilege=privilege: grow(plain | {privilege}))
    grow(plain)
    grow(set())
    role_assignments.end(assignment=assignment, reason="Over", by=people.sam, now=timezone.now())
    grow(plain | {ASSIGN})


@pytest.mark.parametrize(
    ("name", "permissions"),
    [
        ("vera", ["view_event"]), ("vera", ["export_event", "view_user"]), ("ines", ["change_user"]),
        ("ines", ["add_client"]), ("root", ["view_event"]),
    ],
)  # fmt: skip
def test_no_two_roles_together_join_the_ledger_with_changing_access(
    people: People, name: str, permissions: list[str]
) -> None:
    root = make_user("root", is_superuser=True)
    user, role = getattr(people, name, root), role_with(*permissions)
    refused("incompatible_roles", lambda: assign(people, user=user, role=role))
    refused("incompatible_roles", lambda: assign(people, user=user, role=role, operator="shell"))
    assert assign(people, user=people.okafor, role=role).is_waiting


def test_a_role_that_waits_or_begins_later_is_in_the_way_of_another(people: People) -> None:
    reader, later = role_with("view_event"), timezone.now() + 30 * DAY
    assign(people, starts_at=later)
    refused("incompatible_roles", lambda: assign(people, role=reader))


# Passwords
def test_nobody_sets_the_password_of_somebody_with_a_privileged_role(people: People) -> None:
    root, heir, novice = make_user("root", is_superuser=True), make_user("heir"), make_user("novice")
    assign(people, user=novice)
    assign(people, user=heir, starts_at=timezone.now() + 9 * DAY, operator="shell")
    second = make_user("second", is_superuser=True)

    def set_password(user: User, by: User | None, **more: str) -> User:
        return users.set_password(
            user=user, password=NEW_PASSWORD, by=by, reason="Lost", now=timezone.now(), **more
        )

    for user in (people.vera, people.ines, heir, novice):
        for by in (people.sam, root):
            refused("privileged_account", lambda user=user, by=by: set_password(user, by))
    refused("privileged_account", lambda: set_password(second, root))
    refused("not_permitted", lambda: set_password(people.vera, None))
    assert set_password(people.okafor, people.sam).check_password(NEW_PASSWORD)
    assert set_password(people.vera, None, operator="shell").check_password(NEW_PASSWORD)
    entry = Event.objects.filter(event=EventType.PASSWORD_CHANGED).latest("pk")
    assert (entry.actor_label, entry.additional_data) == ("", {"method": "operator", "operator": "shell"})


def test_after_a_privileged_role_has_ended_the_password_may_be_set_again(people: People) -> None:
    held = people.vera.role_assignments.get()
    role_assignments.end(assignment=held, reason="Left", by=people.sam, now=timezone.now())
    users.set_password(
        user=people.vera, password=NEW_PASSWORD, by=people.sam, reason="Lost", now=timezone.now()
    )
    assert again(people.vera).check_password(NEW_PASSWORD)


def test_an_administrator_who_is_out_of_hand_can_be_stopped_by_another(people: People) -> None:
    users.suspend(user=people.vera, by=people.sam, reason="Stolen badge", now=timezone.now())
    users.activate(user=people.vera, by=people.sam, reason="Found", now=timezone.now())
    users.end(user=people.vera, by=people.sam, reason="Left", now=timezone.now())
    assert again(people.vera).state == "ended"


# Versions
def test_every_way_of_saving_a_role_counts_its_version_up(people: People) -> None:
    role = Role.objects.get(code="clinician")
    stale = Role.objects.get(code="clinician")
    role.save()
    assert role.version == 2
    stale.name = "Doctor"
    stale.save(update_fields=["name"])
    assert stale.version == 3
    assert Role.objects.get(code="clinician").version == 3
    entry = Event.objects.filter(event=EventType.ROLE_UPDATED).latest("pk")
    assert (entry.changes or {})["version"] == [2, 3]


# Two at once
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_approvals_at_once_give_one(people: People) -> None:
    waits, root = assign(people), make_user("root", is_superuser=True)
    results = at_once(*(lambda by=by: approve(waits, by) for by in [people.vera, root] * 3))
    assert results.count("wrong_state") == 5
    assert Event.objects.filter(event=EventType.ROLE_ASSIGNMENT_APPROVED).count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_approval_and_withdrawal_at_once_leave_nobody_with_an_ended_role(people: People) -> None:
    waits = assign(people)
    at_once(
        lambda: approve(waits, people.vera),
        lambda: role_assignments.end(assignment=waits, reason="No", by=people.sam, now=timezone.now()),
    )
    assert not again(people.lind).has_perm(ASSIGN)
    assert Event.objects.filter(event=EventType.ROLE_ASSIGNMENT_ENDED).count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_who_would_be_first_administrator_at_once_one_is() -> None:
    def create(username: str) -> object:
        return users.create(username=username, password=PASSWORD, by=None, now=timezone.now())

    names = ["ada", "bea", "cat", "dot"]
    results = at_once(*(lambda name=name: create(name) for name in names))
    assert results.count("needs_an_administrator") == 3
    assert User.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_role_saved_at_once_loses_no_version(people: People) -> None:
    copies = [Role.objects.get(code="clinician") for _ in range(6)]
    at_once(*(copy.save for copy in copies))
    assert sorted(copy.version for copy in copies) == [2, 3, 4, 5, 6, 7]
    assert Role.objects.get(code="clinician").version == 7


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_role_does_not_grow_while_it_is_being_assigned(people: People) -> None:
    """Whoever comes second sees what the first did: no unapproved holder of a privileged role either way."""
    role = role_with("view_user")

    growing = threading.Event()

    def grow() -> None:
        with transaction.atomic():
            roles.refuse_privileges_for_holders(role=role, permissions={ASSIGN}, now=timezone.now())
            growing.set()
            time.sleep(0.3)
            role.permissions.add(Permission.objects.get(codename="assign_role"))

    def assign_meanwhile() -> RoleAssignment:
        growing.wait(10)
        return assign(people, role=role)

    at_once(grow, assign_meanwhile)
    assert role.assignments.get().is_waiting
    assert not again(people.lind).has_perm(ASSIGN)


# Rows from before
@pytest.mark.django_db(transaction=True)
def test_assignments_from_before_the_rule_count_as_approved() -> None:
    MigrationExecutor(connection).migrate([("accounts", "0001_initial")])
    try:
        before = MigrationExecutor(connection).loader.project_state([("accounts", "0001_initial")]).apps
        user = before.get_model("accounts", "User").objects.create(
            username="ada", password="x", state="active"
        )
        role = before.get_model("accounts", "Role").objects.get(code="administrator")
        before.get_model("accounts", "RoleAssignment").objects.create(
            user=user, role=role, starts_at=timezone.now(), reason="x"
        )
    finally:
        MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())
    assert RoleAssignment.objects.get().needs_approval is False
    assert User.objects.get(username="ada").has_perm(ASSIGN)
