"""Role assignments: assign, end. Nobody assigns a role to themselves, whoever they are."""

import datetime

from django.db import transaction

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
) -> RoleAssignment:
    """Give a user a role, from `starts_at` (default now) to `ends_at`. Raises Refused.

    `by` is None only while nobody holds any role: the first administrator's own.
    """
    starts_at = starts_at or now
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
    User.objects.select_for_update().get(pk=user.pk)
    held = RoleAssignment.objects.filter(user=user, ended_at__isnull=True).exclude(ends_at__lte=now)
    if held.filter(role=role).exists():
        raise Refused("already_assigned", "The person holds this role already.")
    if held.filter(role__in=role.incompatible_roles.all()).exists():
        raise Refused("incompatible_roles", "The person holds a role that may not be combined with this one.")
    # One that has run out makes room: of a user and a role, one row at a time is open.
    for over in RoleAssignment.objects.filter(user=user, role=role, ended_at__isnull=True):
        _end(over, reason="It had run out.", by=by or user, now=now)
    assignment = RoleAssignment.objects.create(
        user=user,
        role=role,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        assigned_by=by,
        assigned_at=now,
    )
    ledger.record(
        EventType.ROLE_ASSIGNED,
        by=by or user,
        obj=assignment,
        object_label=f"{role.ledger_label} to {user.username}",
        action=0,
        reason=reason,
        changes={"role": ["", role.code], "ends_at": ["", ends_at.isoformat() if ends_at else ""]},
        details={"user": str(user.pk), "username": user.username, "role_version": role.version},
        now=now,
    )
    return assignment


@transaction.atomic
def end(*, assignment: RoleAssignment, reason: str, by: User, now: datetime.datetime) -> RoleAssignment:
    """End a role assignment now. Raises Refused."""
    require(by, "accounts.end_role_assignment")
    assignment = (
        RoleAssignment.objects.select_for_update(of=("self",))
        .select_related("user", "role")
        .get(pk=assignment.pk)
    )
    if assignment.ended_at is not None:
        raise Refused("wrong_state", "The assignment has ended already.")
    if not reason.strip():
        raise Refused("reason_missing", "Say why.")
    _end(assignment, reason=reason, by=by, now=now)
    return assignment


def _end(assignment: RoleAssignment, *, reason: str, by: User, now: datetime.datetime) -> None:
    assignment.ended_by, assignment.ended_at, assignment.end_reason = by, now, reason
    assignment.save(update_fields=["ended_by", "ended_at", "end_reason"])
    ledger.record(
        EventType.ROLE_ASSIGNMENT_ENDED,
        by=by,
        obj=assignment,
        object_label=f"{assignment.role.ledger_label} of {assignment.user.username}",
        action=1,
        reason=reason,
        changes={"role": [assignment.role.code, ""]},
        details={"user": str(assignment.user_id), "username": assignment.user.username},
        now=now,
    )
