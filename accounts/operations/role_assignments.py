"""Role assignments: assign, approve, end. Nobody assigns a role to themselves, whoever they are.

A privileged role takes two people (docs/decisions/0011-two-people-for-privileged-roles.md): what one administrator
assigned counts once another approves. In the shell the second person is the operator of the machine, and it counts at
once; so does the first administrator's own role, when there is nobody else yet.
"""

import datetime

from django.db import transaction

from accounts.access import segregation
from accounts.models import Role, RoleAssignment, User
from accounts.operations.refusals import Refused, require
from audit import ledger
from audit.events import EventType


@transaction.atomic
def assign(
    *,
    user: User,
    role: Role,
    reason: str,
    by: User | None,
    now: datetime.datetime,
    starts_at: datetime.datetime | None = None,
    ends_at: datetime.datetime | None = None,
    operator: str = "",
) -> RoleAssignment:
    """Give a user a role, from `starts_at` (default now) to `ends_at`. Raises Refused.

    `by` is None only while nobody holds any role: the first administrator's own. `operator` is the account of the
    operating system that runs a command: the second person, whom only the shell can name. Locks user and role.
    """
    starts_at = starts_at or now
    role = Role.objects.select_for_update().get(pk=role.pk)
    if by is None and RoleAssignment.objects.exists():
        raise Refused("needs_an_administrator", "An administrator must assign further roles.")
    if by is not None:
        require(by, "accounts.assign_role")
        if by.pk == user.pk:
            raise Refused("own_account", "Nobody assigns a role to themselves.")
    if not reason.strip():
        raise Refused("reason_missing", "Say why.")
    if ends_at is not None and ends_at <= max(starts_at, now):
        raise Refused("ends_before_start", "The end must be in the future and after the start.")
    user = User.objects.select_for_update().get(pk=user.pk)
    _refuse_what_does_not_fit(user, role, now)
    # One that has run out makes room: of a user and a role, one row at a time is open.
    for over in RoleAssignment.objects.filter(user=user, role=role, ended_at__isnull=True):
        _end(over, reason="It had run out.", by=by or user, now=now)
    assignment = RoleAssignment.objects.create(
        user=user,
        role=role,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        needs_approval=role.is_privileged and by is not None and not operator,
        assigned_by=by,
        assigned_at=now,
    )
    details = {"user": str(user.pk), "username": user.username, "role_version": role.version}
    ledger.record(
        EventType.ROLE_ASSIGNED,
        by=by or user,
        obj=assignment,
        object_label=f"{role.ledger_label} to {user.username}",
        action=0,
        reason=reason,
        changes={"role": ["", role.code], "ends_at": ["", ends_at.isoformat() if ends_at else ""]},
        details={**details, "needs_approval": assignment.needs_approval, "operator": operator},
        now=now,
    )
    return assignment


@transaction.atomic
def approve(
    *, assignment: RoleAssignment, by: User, now: datetime.datetime, reason: str = ""
) -> RoleAssignment:
    """Let an assignment that waits count from its start. Locks the row until commit. Raises Refused."""
    require(by, "accounts.assign_role")
    assignment = _locked(assignment)
    if not assignment.is_waiting:
        raise Refused("wrong_state", "The assignment has been approved or has ended already.")
    if assignment.assigned_by_id == by.pk:
        raise Refused("own_request", "Nobody approves an assignment of their own.")
    if assignment.user_id == by.pk:
        raise Refused("own_account", "Nobody approves a role for themselves.")
    if assignment.ends_at is not None and assignment.ends_at <= now:
        raise Refused("ended", "Its time has passed.")
    assignment.approved_by, assignment.approved_at = by, now
    assignment.save(update_fields=["approved_by", "approved_at"])
    _record(EventType.ROLE_ASSIGNMENT_APPROVED, assignment, by=by, now=now, reason=reason)
    return assignment


@transaction.atomic
def end(*, assignment: RoleAssignment, reason: str, by: User, now: datetime.datetime) -> RoleAssignment:
    """End a role assignment now, or withdraw one that waits. Raises Refused."""
    require(by, "accounts.end_role_assignment")
    assignment = _locked(assignment)
    if assignment.ended_at is not None:
        raise Refused("wrong_state", "The assignment has ended already.")
    if not reason.strip():
        raise Refused("reason_missing", "Say why.")
    _end(assignment, reason=reason, by=by, now=now)
    return assignment


def _locked(assignment: RoleAssignment) -> RoleAssignment:
    rows = RoleAssignment.objects.select_for_update(of=("self",)).select_related("user", "role")
    return rows.get(pk=assignment.pk)


def _refuse_what_does_not_fit(user: User, role: Role, now: datetime.datetime) -> None:
    held = user.role_assignments.held(now)
    if held.filter(role=role).exists():
        raise Refused("already_assigned", "The person holds this role already.")
    together = held.permission_names() | role.permission_names
    if user.is_superuser:
        together |= {"accounts.assign_role"}  # without a role, like everything else that changes access
    if held.filter(role__in=role.incompatible_roles.all()).exists() or segregation.is_conflict(together):
        raise Refused("incompatible_roles", "The person holds a role that may not be combined with this one.")


def _end(assignment: RoleAssignment, *, reason: str, by: User, now: datetime.datetime) -> None:
    assignment.ended_by, assignment.ended_at, assignment.end_reason = by, now, reason
    assignment.save(update_fields=["ended_by", "ended_at", "end_reason"])
    _record(EventType.ROLE_ASSIGNMENT_ENDED, assignment, by=by, now=now, reason=reason)


def _record(
    event: EventType, assignment: RoleAssignment, *, by: User, now: datetime.datetime, reason: str
) -> None:
    ended = event is EventType.ROLE_ASSIGNMENT_ENDED
    ledger.record(
        event,
        by=by,
        obj=assignment,
        object_label=f"{assignment.role.ledger_label} of {assignment.user.username}",
        action=1,
        reason=reason,
        changes={"role": [assignment.role.code, ""]} if ended else {"approved_by": ["", str(by.pk)]},
        details={"user": str(assignment.user_id), "username": assignment.user.username},
        now=now,
    )
