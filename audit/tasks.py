"""Celery's doors to the ledger's housekeeping."""

from celery import shared_task
from django.utils import timezone

from audit import jobs


@shared_task(name="audit.resend_jobs")
def resend_jobs() -> int:
    """Send waiting and abandoned jobs again; harmless when doubled, so it needs no row of its own."""
    return jobs.resend(timezone.now())


@shared_task(name="audit.remove_finished_jobs")
def remove_finished_jobs(slot: str = "") -> bool:
    """Forget jobs that ended a week ago."""
    return jobs.run_once("audit.remove_finished_jobs", period=3600, work=jobs.remove_finished, slot=slot)
