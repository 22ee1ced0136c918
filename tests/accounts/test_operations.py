"""What operations refuse, and that a refusal writes nothing; what they record; two at once."""

import datetime
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from accounts.access import lookup
from accounts.access.decision import ClientPolicy, Question, Reason, decide
from accounts.access.scopes import parse
from accounts.models import CareTeam, CareTeamMember, PatientAccessGrant, Role, RoleAssignment, User
from accounts.operations import access_grants, role_assignments, users
from accounts.operations.refusals import Refused
from audit.events import EventType
from audit.models import Event
from tests.people import DAY, PASSWORD, People, make_user

pytestmark = pytest.mark.django_db
NOW = timezone.now()
State = PatientAccessGrant.State


def ask(people: People, **differently: Any) -> PatientAccessGrant:
    wanted = {
        "patient": people.amir,
        "grantee_user": people.lind,
        "scopes": "patient/Patient.rs",
        "ends_at": timezone.now() + DAY,
        "reason": "Consult",
        "by": people.sam,
        "now": timezone.now(),
    }
    return access_grants.request(**{**wanted, **differently})


def refused(code: str, act: Callable[[], object]) -> None:
    """Assert that an act is refused with this code, and that the database is as it was."""

    def rows() -> list[Any]:
        models = (User, Role, RoleAssignment, PatientAccessGrant, Event)
        return [sorted(map(repr, model._base_manager.values())) for model in models]

    before = rows()
    with pytest.raises(Refused) as refusal:
        act()
    assert refusal.value.code == code
    assert rows() == before


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Run acts in threads that start together; return what each gave or raised."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> object:
        connection.ensure_connection()
        barrier.wait()
        try:
            return act()
        except Refused as refusal:
            return refusal.code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [each.result() for each in [pool.submit(run, act) for act in acts]]


def team_of(
    user: User, *, starts_at: datetime.datetime = NOW, ends_at: datetime.datetime | None = None
) -> CareTeam:
    team = CareTeam.objects.create(name=f"Team of {user.username} {CareTeam.objects.count()}")
    CareTeamMember.objects.create(care_team=team, user=user, starts_at=starts_at - DAY, ends_at=ends_at)
    return team


# Access grants
@pytest.mark.parametrize(
    ("code", "differently"),
    [
        ("one_grantee", {"grantee_user": None}),
        ("reason_missing", {"reason": " \t"}),
        ("unknown_purpose", {"purpose_of_use": "FUN"}),
        ("ends_before_start", {"ends_at": NOW - DAY}),
        ("ends_before_start", {"starts_at": NOW + 2 * DAY, "ends_at": NOW + DAY}),
        ("too_long", {"ends_at": NOW + 400 * DAY}),
        ("invalid_scope", {"scopes": ""}),
        ("invalid_scope", {"scopes": "everything"}),
        ("invalid_scope", {"scopes": "user/Patient.rs"}),
        ("invalid_scope", {"scopes": "patient/Patient.rs system/*.cruds"}),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    people: People, code: str, differently: dict[str, Any]
) -> None:
    refused(code, lambda: ask(people, **differently))


def test_who_may_not_ask(people: People) -> None:
    for nobody in (people.okafor, people.ines):
        refused("not_permitted", lambda by=nobody: ask(people, by=by))
    refused("own_access", lambda: ask(people, grantee_user=people.sam))
    theirs = team_of(people.okafor)
    refused("one_grantee", lambda: ask(people, grantee_care_team=theirs))
    mine, soon_mine, was_mine = (
        team_of(people.sam), team_of(people.sam, starts_at=NOW + 9 * DAY),
        team_of(people.sam, starts_at=NOW - 9 * DAY, ends_at=NOW - DAY),
    )  # fmt: skip
    for team in (mine, soon_mine):
        refused("own_access", lambda team=team: ask(people, grantee_user=None, grantee_care_team=team))
    assert ask(people, grantee_user=None, grantee_care_team=was_mine).state == State.REQUESTED


@pytest.mark.parametrize("standing", [{"state": "suspended"}, {"state": "ended"}, {"ends_at": NOW - DAY}])
def test_no_access_for_an_account_that_may_do_nothing(people: People, standing: dict[str, Any]) -> None:
    User.objects.filter(pk=people.lind.pk).update(**standing)
    people.lind.refresh_from_db()
    refused("grantee_not_active", lambda: ask(people))


def test_a_request_is_recorded(people: People) -> None:
    grant = ask(people)
    entry = Event.objects.get(event=EventType.ACCESS_GRANT_REQUESTED, object_pk=str(grant.pk))
    assert (entry.actor_label, entry.changes, entry.reason) == (
        "sam",
        {"state": ["", "requested"]},
        "Consult",
    )
    assert (entry.patient_ref, entry.purpose_of_use) == (str(people.amir.pk), "TREAT")
    assert entry.additional_data["grantee_user"] == str(people.lind.pk)


def test_nobody_approves_a_request_of_their_own_nor_access_for_themselves(people: People) -> None:
    grant = ask(people)
    root = make_user("root", is_superuser=True)
    refused("own_request", lambda: access_grants.approve(grant=grant, by=people.sam, now=timezone.now()))
    refused("not_permitted", lambda: access_grants.approve(grant=grant, by=people.lind, now=timezone.now()))
    own = ask(people, by=root)
    refused("own_request", lambda: access_grants.approve(grant=own, by=root, now=timezone.now()))
    refused("own_access", lambda: ask(people, by=root, grantee_user=root))
    for_root = ask(people, grantee_user=root)
    refused("own_access", lambda: access_grants.approve(grant=for_root, by=root, now=timezone.now()))
    for_team = ask(people, grantee_user=None, grantee_care_team=team_of(people.vera))
    refused("own_access", lambda: access_grants.approve(grant=for_team, by=people.vera, now=timezone.now()))


def test_an_approved_request_is_active_at_its_start_and_recorded(people: People) -> None:
    asked, now = ask(people), timezone.now()
    grant = access_grants.approve(grant=asked, by=people.vera, now=now, reason="Fine")
    assert (grant.state, grant.approved_by, grant.approved_at, grant.activated_at) == (
        "active",
        people.vera,
        now,
        now,
    )
    entry = Event.objects.get(event=EventType.ACCESS_GRANT_APPROVED, object_pk=str(grant.pk))
    assert (entry.actor_label, entry.changes, entry.reason) == (
        "vera",
        {"state": ["requested", "active"]},
        "Fine",
    )
    later = ask(people, starts_at=now + DAY, ends_at=now + 2 * DAY)
    assert access_grants.approve(grant=later, by=people.vera, now=now).state == State.APPROVED


def test_a_decided_request_is_not_decided_again(people: People) -> None:
    now = timezone.now()
    grant = access_grants.reject(grant=ask(people), reason="No need", by=people.vera, now=now)
    assert (grant.state, grant.rejected_by, grant.rejection_reason) == ("rejected", people.vera, "No need")
    for act in (access_grants.approve, access_grants.reject, access_grants.revoke):
        refused("wrong_state", lambda act=act: act(grant=grant, reason="Again", by=people.vera, now=now))
    refused("wrong_state", lambda: access_grants.approve(grant=people.grant, by=people.vera, now=now))
    waiting = ask(people)
    refused("wrong_state", lambda: access_grants.revoke(grant=waiting, reason="x", by=people.vera, now=now))


def test_a_request_whose_time_has_passed_is_not_approved(people: People) -> None:
    grant = ask(people)
    refused("ended", lambda: access_grants.approve(grant=grant, by=people.vera, now=grant.ends_at))


@pytest.mark.parametrize("verb", ["reject", "revoke"])
def test_a_refusal_and_a_revocation_need_a_reason_and_a_permission(people: People, verb: str) -> None:
    grant, act = (ask(people) if verb == "reject" else people.grant), getattr(access_grants, verb)
    refused("reason_missing", lambda: act(grant=grant, reason=" ", by=people.vera, now=timezone.now()))
    refused("not_permitted", lambda: act(grant=grant, reason="x", by=people.okafor, now=timezone.now()))


def test_a_revoked_grant_opens_nothing_at_once(people: People) -> None:
    now = timezone.now()
    assert may_see_rosa(people.okafor, people, now).allowed
    access_grants.revoke(grant=people.grant, reason="Over", by=people.vera, now=now)
    assert not may_see_rosa(people.okafor, people, now).allowed
    entry = Event.objects.get(event=EventType.ACCESS_GRANT_REVOKED)
    assert (entry.actor_label, entry.changes, entry.reason) == (
        "vera",
        {"state": ["active", "revoked"]},
        "Over",
    )


def may_see_rosa(user: User, people: People, now: datetime.datetime) -> Any:
    facts, _ = lookup.gather(user=user.pk, patient=people.rosa.pk, client=ClientPolicy(), now=now)
    return decide(Question("TREAT", parse("patient/Observation.rs")), facts, now)


def test_settling_moves_states_by_the_clock_once(people: People) -> None:
    now = timezone.now()
    later = ask(people, starts_at=now + DAY, ends_at=now + 2 * DAY)
    access_grants.approve(grant=later, by=people.vera, now=now)
    waiting = ask(people, ends_at=now + DAY / 2)
    assert access_grants.settle(now) == 0
    assert access_grants.settle(now + DAY) == 2
    assert access_grants.settle(now + DAY) == 0
    later.refresh_from_db()
    waiting.refresh_from_db()
    assert (later.state, waiting.state) == (State.ACTIVE, State.EXPIRED)
    assert access_grants.settle(now + 2 * DAY) == 1
    changes = Event.objects.filter(object_pk=str(later.pk)).order_by("pk").values_list("changes", flat=True)
    states = ["", "requested", "approved", "active", "expired"]
    assert list(changes) == [{"state": list(pair)} for pair in itertools.pairwise(states)]


# Role assignments
def assign(people: People, **differently: Any) -> RoleAssignment:
    role = Role.objects.get_or_create(code="spare", defaults={"name": "Spare", "description": "x"})[0]
    wanted = {"user": people.lind, "role": role, "reason": "Help", "by": people.sam, "now": timezone.now()}
    return role_assignments.assign(**{**wanted, **differently})


def test_what_assigning_refuses(people: People) -> None:
    assign(people, user=people.okafor)  # makes the role
    clinician, officer = Role.objects.get(code="clinician"), Role.objects.get(code="compliance-officer")
    root = make_user("root", is_superuser=True)
    for by, user in ((people.sam, people.sam), (root, root)):
        refused("own_account", lambda by=by, user=user: assign(people, user=user, by=by))
    refused("not_permitted", lambda: assign(people, by=people.ines))
    refused("needs_an_administrator", lambda: assign(people, by=None))
    refused("reason_missing", lambda: assign(people, reason=""))
    refused("ends_before_start", lambda: assign(people, ends_at=timezone.now() - DAY))
    refused("already_assigned", lambda: assign(people, role=clinician))
    refused("incompatible_roles", lambda: assign(people, user=people.vera, role=officer))
    refused(
        "incompatible_roles",
        lambda: assign(people, user=people.ines, role=Role.objects.get(code="administrator")),
    )


def test_an_assignment_that_has_run_out_makes_room_and_is_recorded_as_ended(people: People) -> None:
    now = timezone.now()
    first = assign(people, ends_at=now + DAY)
    refused("already_assigned", lambda: assign(people))
    second = assign(people, now=now + 2 * DAY)
    first.refresh_from_db()
    assert (first.ended_at, second.ended_at) == (now + 2 * DAY, None)
    assert Event.objects.filter(event=EventType.ROLE_ASSIGNMENT_ENDED, object_pk=str(first.pk)).count() == 1
    # An incompatible role that has run out does not stand in the way, either.
    RoleAssignment.objects.filter(user=people.ines).update(ends_at=now - DAY / 2)
    assign(people, user=people.ines, role=Role.objects.get(code="administrator"))


def test_an_ended_assignment_is_recorded_and_does_not_end_again(people: People) -> None:
    held, now = RoleAssignment.objects.get(user=people.lind), timezone.now()
    refused(
        "reason_missing", lambda: role_assignments.end(assignment=held, reason="", by=people.sam, now=now)
    )
    refused(
        "not_permitted", lambda: role_assignments.end(assignment=held, reason="x", by=people.ines, now=now)
    )
    role_assignments.end(assignment=held, reason="Left", by=people.sam, now=now)
    entry = Event.objects.get(event=EventType.ROLE_ASSIGNMENT_ENDED)
    assert (entry.actor_label, entry.reason, entry.changes) == ("sam", "Left", {"role": ["clinician", ""]})
    refused("wrong_state", lambda: role_assignments.end(assignment=held, reason="x", by=people.sam, now=now))


# Users
def test_who_may_not_create_users(people: People) -> None:
    for by, code in ((people.lind, "not_permitted"), (None, "needs_an_administrator")):
        refused(code, lambda by=by: users.create(username="new", password=PASSWORD, by=by, now=NOW))
    refused("not_permitted", lambda: users.create(
        username="new", password=PASSWORD, by=people.sam, now=NOW, is_superuser=True
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("username", "password", "fields"),
    [
        ("sam", PASSWORD, {}), ("SAM", PASSWORD, {}), ("a b", PASSWORD, {}), ("", PASSWORD, {}),
        ("x" * 151, PASSWORD, {}),
        ("new", "short", {}), ("new", "passwordpassword1", {"username": "passwordpassword1"}),
        ("new", PASSWORD, {"employment_type": "contractor"}), ("new", PASSWORD, {"email": "no address"}),
        ("new\x00", PASSWORD, {}), ("new\n", "x", {}), ("new", PASSWORD, {"job_function": "wizard"}),
    ],
)  # fmt: skip
def test_a_user_that_the_rules_do_not_allow_is_not_created(
    people: People, username: str, password: str, fields: dict[str, Any]
) -> None:
    before = Event.objects.count(), User.objects.count()
    with pytest.raises(ValidationError):
        users.create(**{"username": username, "password": password, "by": people.sam, "now": NOW, **fields})
    assert (Event.objects.count(), User.objects.count()) == before


def test_a_new_user_is_recorded_without_the_password(people: People) -> None:
    made = users.create(username="Ne\uff57", password=PASSWORD, by=people.sam, now=NOW)
    assert (made.username, made.check_password(PASSWORD)) == ("new", True)
    entry = Event.objects.get(event=EventType.USER_CREATED, object_pk=str(made.pk))
    assert (entry.actor_label, entry.object_repr) == ("sam", "new")
    assert "password" not in entry.changes
    assert PASSWORD not in str(entry.changes)


@pytest.mark.parametrize(
    ("verb", "state", "event"),
    [
        ("suspend", "suspended", EventType.USER_SUSPENDED),
        ("end", "ended", EventType.USER_ENDED),
    ],
)
def test_an_account_that_is_stopped_may_see_nobody_at_once(
    people: People, verb: str, state: str, event: EventType
) -> None:
    act, now = getattr(users, verb), timezone.now()
    root = make_user("root", is_superuser=True)
    refused("own_account", lambda: act(user=people.sam, by=people.sam, reason="x", now=now))
    refused("own_account", lambda: act(user=root, by=root, reason="x", now=now))
    refused("not_permitted", lambda: act(user=root, by=people.sam, reason="x", now=now))
    refused("not_permitted", lambda: act(user=people.lind, by=people.okafor, reason="x", now=now))
    refused("reason_missing", lambda: act(user=people.okafor, by=people.sam, reason=" ", now=now))
    act(user=people.okafor, by=people.sam, reason="Left", now=now)
    entry = Event.objects.get(event=event)
    assert (entry.actor_label, entry.reason, entry.changes) == ("sam", "Left", {"state": ["active", state]})
    refused("wrong_state", lambda: act(user=people.okafor, by=people.sam, reason="Again", now=now))
    # Her grant and her role are as they were; the account alone decides.
    assert PatientAccessGrant.objects.get(pk=people.grant.pk).state == State.ACTIVE
    answer = may_see_rosa(people.okafor, people, now)
    assert (answer.allowed, answer.reason) == (False, Reason.ACCOUNT_NOT_ACTIVE)


def test_an_ended_account_stays_ended_and_a_suspended_one_comes_back(people: People) -> None:
    now = timezone.now()
    users.end(user=people.lind, by=people.sam, reason="Left", now=now)
    refused("wrong_state", lambda: users.activate(user=people.lind, by=people.sam, reason="x", now=now))
    refused("wrong_state", lambda: users.set_password(
        user=people.lind, password="another horse battery", by=people.sam, reason="x", now=now
    ))  # fmt: skip
    users.suspend(user=people.okafor, by=people.sam, reason="Away", now=now)
    users.activate(user=people.okafor, by=people.sam, reason="Back", now=now)
    assert may_see_rosa(people.okafor, people, now).allowed


@pytest.mark.parametrize("standing", [{"state": "suspended"}, {"state": "ended"}, {"ends_at": NOW - DAY}])
def test_an_administrator_whose_account_is_over_does_nothing(
    people: People, standing: dict[str, Any]
) -> None:
    User.objects.filter(pk=people.sam.pk).update(**standing)
    people.sam.refresh_from_db()
    refused("not_permitted", lambda: ask(people))
    refused("not_permitted", lambda: users.create(username="n", password=PASSWORD, by=people.sam, now=NOW))


# Two at once
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_approvals_at_once_give_one(people: People) -> None:
    grant, root = ask(people), make_user("root", is_superuser=True)
    results = at_once(
        *(
            lambda by=by: access_grants.approve(grant=grant, by=by, now=timezone.now())
            for by in [people.vera, root] * 3
        )
    )
    assert results.count("wrong_state") == 5
    assert Event.objects.filter(event=EventType.ACCESS_GRANT_APPROVED, object_pk=str(grant.pk)).count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_approval_and_rejection_at_once_give_one(people: People) -> None:
    grant = ask(people)
    results = at_once(
        lambda: access_grants.approve(grant=grant, by=people.vera, now=timezone.now()),
        lambda: access_grants.reject(grant=grant, reason="No", by=people.vera, now=timezone.now()),
    )
    assert results.count("wrong_state") == 1
    assert Event.objects.filter(object_pk=str(grant.pk)).count() == 2


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_many_settle_at_once_and_each_change_is_recorded_once(people: People) -> None:
    then = timezone.now() + 40 * DAY
    assert sum(at_once(*[lambda: access_grants.settle(then)] * 4)) == 1  # type: ignore[arg-type]
    assert Event.objects.filter(event=EventType.ACCESS_GRANT_EXPIRED).count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_incompatible_roles_assigned_at_once_give_one(people: People) -> None:
    roles = Role.objects.filter(code__in=["administrator", "compliance-officer"])
    results = at_once(*(lambda role=role: assign(people, role=role) for role in roles for _ in range(2)))
    assert len([each for each in results if isinstance(each, RoleAssignment)]) == 1
    assert RoleAssignment.objects.filter(user=people.lind, role__in=roles).count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_one_username_created_at_once_gives_one_user(people: People) -> None:
    def create() -> object:
        try:
            return users.create(username="new", password=PASSWORD, by=people.sam, now=timezone.now())
        except ValidationError:
            return "taken"

    results = at_once(*[create] * 3)
    assert len([each for each in results if isinstance(each, User)]) == 1
    assert Event.objects.filter(event=EventType.USER_CREATED, object_repr="new").count() == 1
