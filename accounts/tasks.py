"""Celery's doors to the operations on people and access."""

from celery import shared_task

from accounts.operations import access_grants, sessions
from audit import jobs


@shared_task(name="accounts.settle_access_grants")
def settle_access_grants(slot: str = "") -> bool:
    """Activate and expire access grants by the clock."""
    return jobs.run_once("accounts.settle_access_grants", period=60, work=access_grants.settle, slot=slot)


@shared_task(name="accounts.remove_ended_sessions")
def remove_ended_sessions(slot: str = "") -> bool:
    """Delete browser sessions whose time is over."""
    return jobs.run_once("accounts.remove_ended_sessions", period=3600, work=sessions.remove_ended, slot=slot)
