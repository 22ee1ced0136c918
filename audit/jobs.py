"""Background work that happens once: the outbox row, the claim, the lease.

Any number of beats may fire and any number of workers may run. `(kind, slot)` is unique, so one row stands for one
run of a periodic task; the claim is one conditional UPDATE; a run that was killed is claimed again after its lease,
and one that failed a minute later, ATTEMPTS times in all. Work must therefore be safe to start again, and each piece of
work commits its own transactions.
"""

import datetime
from collections.abc import Callable

from celery import current_app
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from audit.models import Job

LEASE = datetime.timedelta(minutes=10)
RETRY = datetime.timedelta(minutes=1)
KEPT = datetime.timedelta(days=7)
ATTEMPTS = 5


def run_once(kind: str, *, period: int, work: Callable[[datetime.datetime], object], slot: str = "") -> bool:
    """Run the work of this period (seconds) unless somebody else does or did. Return whether it ran here.

    Raises what the work raises, after the row says so: it waits for its next attempt, or has failed for good.
    """
    now = timezone.now()
    slot = slot or str(int(now.timestamp()) // period)
    Job.objects.bulk_create([Job(kind=kind, slot=slot)], ignore_conflicts=True)
    row = Job.objects.filter(kind=kind, slot=slot)
    claimed = row.filter(_free(now), attempts__lt=ATTEMPTS).update(
        state=Job.State.RUNNING, lease_until=now + LEASE, attempts=F("attempts") + 1
    )
    if not claimed:
        return False
    try:
        work(now)
    except Exception as error:
        row.update(state=Job.State.PENDING, lease_until=timezone.now() + RETRY, error=type(error).__name__)
        _give_up(row, timezone.now())
        raise
    row.update(state=Job.State.DONE, finished_at=timezone.now())
    return True


def resend(now: datetime.datetime) -> int:
    """Send the message again for rows that wait or whose lease ran out. Return how many."""
    just_sent = Q(lease_until=None, created_at__gte=now - datetime.timedelta(seconds=30))
    abandoned = Job.objects.filter(_free(now)).exclude(just_sent)
    _give_up(abandoned, now)
    due = list(abandoned.filter(attempts__lt=ATTEMPTS).values_list("kind", "slot")[:100])
    for kind, slot in due:
        current_app.send_task(kind, kwargs={"slot": slot})
    return len(due)


def _free(now: datetime.datetime) -> Q:
    """Return which rows nobody works on: never begun, due for another attempt, or left by a killed worker."""
    open_states = [Job.State.PENDING, Job.State.RUNNING]
    return Q(state__in=open_states, lease_until__lt=now) | Q(state=Job.State.PENDING, lease_until=None)


def _give_up(rows: models.QuerySet[Job], now: datetime.datetime) -> None:
    rows.filter(attempts__gte=ATTEMPTS).update(state=Job.State.FAILED, finished_at=now)


def remove_finished(now: datetime.datetime) -> int:
    """Delete the rows of jobs that ended a week ago. Return how many."""
    return Job.objects.filter(finished_at__lt=now - KEPT).delete()[0]
