"""Browser sessions: end those of one's own elsewhere, and remove those that are over."""

import datetime

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import transaction

from accounts.models import User
from audit import ledger
from audit.events import EventType

UNTRACKED = datetime.timedelta(days=1)


@transaction.atomic
def end_elsewhere(*, user: User, keep: str, only: int | None, now: datetime.datetime) -> int:
    """End the user's sessions other than the one with the key `keep`: all of them, or the one with this number.

    Return how many; there is no session of somebody else to be found here, whatever the number. One entry for each.
    """
    elsewhere = UserSession.objects.select_for_update().filter(user=user).exclude(session_key=keep)
    ended = list(elsewhere if only is None else elsewhere.filter(pk=only))
    for session in ended:
        session.end()
        ledger.record(
            EventType.SIGN_OUT,
            by=user,
            obj=user,
            object_label=user.username,
            details={"method": "from_another_session", "session": session.pk},
            now=now,
        )
    return len(ended)


@transaction.atomic
def remove_ended(now: datetime.datetime) -> int:
    """Delete sessions whose time is over. Return how many. Nothing about access changes, so there is no entry."""
    removed = Session.objects.filter(expire_date__lt=now).delete()[0]
    listed = UserSession.objects.filter(created_at__lt=now - UNTRACKED)  # a young one may not be saved yet
    listed.exclude(session_key__in=Session.objects.values("session_key")).delete()
    return removed
