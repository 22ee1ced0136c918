"""Users: create, activate, suspend, end, set a password."""

import datetime
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.db import IntegrityError, transaction

from accounts.access import segregation
from accounts.models import Role, User
from accounts.operations.refusals import Refused, require
from audit import context, ledger
from audit.events import EventType


@transaction.atomic
def create(*, username: str, password: str, by: User | None, now: datetime.datetime, **fields: Any) -> User:
    """Create an active user. `by` is None only for the very first administrator.

    Raises Refused, and ValidationError for values that the model or the password rules do not allow. The entry is
    written by the registered model itself, with every field it began with.
    """
    if by is None:
        list(Role.objects.select_for_update().order_by("pk"))  # of two who would be first, one waits here
    if by is None and User.objects.exists():
        raise Refused("needs_an_administrator", "An administrator must create further users.")
    if by is not None:
        require(by, "accounts.add_user")
        if fields.get("is_superuser") and not by.is_superuser:
            raise Refused("not_permitted", "Only an emergency administrator creates another one.")
    user = User(username=username, state=User.State.ACTIVE, **fields)
    user.clean()
    validate_password(password, user)
    user.set_password(password)
    user.full_clean(exclude=["password"])
    try:
        with context.acting(by or user), transaction.atomic():
            user.save()
    except IntegrityError as error:
        if not User.objects.filter(username=user.username).exists():
            raise
        # Between the check and here somebody else took the name.
        raise Refused("username_taken", "Somebody has taken this username in the meantime.") from error
    return user


def activate(*, user: User, by: User, reason: str, now: datetime.datetime) -> User:
    """Let a pending or suspended user sign in. Raises Refused."""
    allowed = (User.State.PENDING, User.State.SUSPENDED)
    return _move(user, allowed, User.State.ACTIVE, EventType.USER_ACTIVATED, by, reason, now)


def suspend(*, user: User, by: User, reason: str, now: datetime.datetime) -> User:
    """Stop everything a user may do, until activated again: it holds at the next use of any token. Raises Refused."""
    return _move(user, (User.State.ACTIVE,), User.State.SUSPENDED, EventType.USER_SUSPENDED, by, reason, now)


def end(*, user: User, by: User, reason: str, now: datetime.datetime) -> User:
    """End a user's employment, for good. Raises Refused."""
    allowed = (User.State.PENDING, User.State.ACTIVE, User.State.SUSPENDED)
    return _move(user, allowed, User.State.ENDED, EventType.USER_ENDED, by, reason, now)


@transaction.atomic
def set_password(
    *, user: User, password: str, by: User | None, reason: str, now: datetime.datetime, operator: str = ""
) -> User:
    """Give somebody else a new password. Raises Refused, and ValidationError for what the password rules forbid.

    One's own is changed at the account pages, which ask for the old one. Who knows the password of somebody with a
    privileged role could act as the second person, so for those `by` is None: the operator of the machine, whom only
    the shell can name.
    """
    if by is None and not operator:
        raise Refused("not_permitted", "Only the operator of the machine acts without an account.")
    user = _locked(user, by) if by else User.objects.select_for_update().get(pk=user.pk)
    if by is not None and _is_privileged(user, now):
        raise Refused(
            "privileged_account",
            "The person holds a privileged role: only they change their password, or the machine's operator.",
        )
    if not reason.strip():
        raise Refused("reason_missing", "Say why.")
    if user.state == User.State.ENDED:
        raise Refused("wrong_state", "The account has ended.")
    validate_password(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    ledger.record(
        EventType.PASSWORD_CHANGED,
        by=by,
        obj=user,
        object_label=user.username,
        action=1,
        reason=reason,
        details={"method": "administrator" if by else "operator", "operator": operator},
        now=now,
    )
    return user


@transaction.atomic
def _move(
    user: User,
    allowed: tuple[str, ...],
    state: str,
    event: EventType,
    by: User,
    reason: str,
    now: datetime.datetime,
) -> User:
    user = _locked(user, by)
    if not reason.strip():
        raise Refused("reason_missing", "Say why.")
    if user.state not in allowed:
        raise Refused("wrong_state", "The account is not in a state that allows this.")
    before, user.state = user.state, state
    with context.acting(by):
        user.save(update_fields=["state"])
        ledger.record(
            event,
            by=by,
            obj=user,
            object_label=user.username,
            reason=reason,
            changes={"state": [before, state]},
            now=now,
        )
    return user


def _is_privileged(user: User, now: datetime.datetime) -> bool:
    """Return whether a role that the person holds, will hold or waits for is privileged."""
    held = user.role_assignments.held(now)
    return user.is_superuser or segregation.is_privileged(held.permission_names())


def _locked(user: User, by: User) -> User:
    """Return the row, locked until commit, if this person may change this account at all. Raises Refused."""
    require(by, "accounts.change_user")
    user = User.objects.select_for_update().get(pk=user.pk)
    if user.pk == by.pk:
        raise Refused("own_account", "Nobody changes their own account here.")
    if user.is_superuser and not by.is_superuser:
        raise Refused("not_permitted", "Only an emergency administrator changes another one.")
    return user
