"""Browser sessions: remove those that have ended."""

import datetime

from django.contrib.sessions.models import Session


def remove_ended(now: datetime.datetime) -> int:
    """Delete sessions whose time is over. Return how many. Nothing about access changes, so there is no entry."""
    return Session.objects.filter(expire_date__lt=now).delete()[0]
