"""Celery's doors to the operations on keys and families."""

from celery import shared_task

from audit import jobs
from tokens import keys, refresh_families


@shared_task(name="tokens.rotate_signing_keys")
def rotate_signing_keys(slot: str = "") -> bool:
    """Move the signing keys along with the clock."""
    return jobs.run_once(
        "tokens.rotate_signing_keys", period=60, work=lambda now: keys.rotate(now=now), slot=slot
    )


@shared_task(name="tokens.remove_ended_refresh_families")
def remove_ended_refresh_families(slot: str = "") -> bool:
    """Delete refresh families that can never be used again."""
    kind = "tokens.remove_ended_refresh_families"
    return jobs.run_once(kind, period=3600, work=refresh_families.remove_ended, slot=slot)
