"""Background work happens once, whoever starts it how often, and is taken up again when a worker died."""

import datetime
import os
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from audit import jobs
from audit.models import Job

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
HOUR = datetime.timedelta(hours=1)


def run(work: object = lambda now: None, slot: str = "7") -> bool:
    return jobs.run_once("audit.test", period=60, work=work, slot=slot)  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_eight_workers_at_once_do_it_once() -> None:
    done: list[datetime.datetime] = []
    barrier = threading.Barrier(8)

    def start() -> bool:
        barrier.wait()
        try:
            return run(done.append)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        ran = [each.result() for each in [pool.submit(start) for _ in range(8)]]
    assert (ran.count(True), len(done)) == (1, 1)
    job = Job.objects.get()
    assert (job.state, job.attempts) == (Job.State.DONE, 1)


def test_each_period_is_a_run_of_its_own() -> None:
    assert run(slot="1")
    assert not run(slot="1")
    assert run(slot="2")
    assert jobs.run_once("audit.test", period=10**8, work=lambda now: None)
    assert not jobs.run_once("audit.test", period=10**8, work=lambda now: None)


def test_a_run_that_was_killed_is_taken_up_after_its_lease_and_not_before() -> None:
    now = timezone.now()
    Job.objects.create(kind="audit.test", slot="7", state="running", lease_until=now + HOUR, attempts=1)
    assert not run()
    Job.objects.update(lease_until=now - HOUR)
    assert run()
    job = Job.objects.get()
    assert (job.state, job.attempts) == (Job.State.DONE, 2)


def fail(now: datetime.datetime) -> None:
    raise ZeroDivisionError("a secret")


def test_failed_work_is_raised_and_tried_again_a_minute_later() -> None:
    with pytest.raises(ZeroDivisionError):
        run(fail)
    job = Job.objects.get()
    assert (job.state, job.error, job.finished_at) == (Job.State.PENDING, "ZeroDivisionError", None)
    assert not run()
    Job.objects.update(lease_until=timezone.now() - HOUR)
    assert run()
    assert Job.objects.get().state == Job.State.DONE


def test_work_that_always_fails_is_given_up() -> None:
    for _ in range(jobs.ATTEMPTS):
        Job.objects.update(lease_until=timezone.now() - HOUR)
        with pytest.raises(ZeroDivisionError):
            run(fail)
    job = Job.objects.get()
    assert (job.state, job.attempts) == (Job.State.FAILED, jobs.ATTEMPTS)
    assert job.finished_at is not None
    Job.objects.update(lease_until=timezone.now() - HOUR)
    assert not run()


def test_work_whose_worker_dies_each_time_is_given_up() -> None:
    now = timezone.now()
    Job.objects.create(kind="k", slot="7", state="running", lease_until=now - HOUR, attempts=jobs.ATTEMPTS)
    Job.objects.update(created_at=now - HOUR)
    assert jobs.resend(now) == 0
    assert Job.objects.get().state == Job.State.FAILED


def test_only_what_ended_a_week_ago_is_forgotten() -> None:
    now = timezone.now()
    for slot, days in (("old", 8), ("young", 6)):
        Job.objects.create(kind="k", slot=slot, state="done", finished_at=now - datetime.timedelta(days=days))
    Job.objects.create(kind="k", slot="waiting")
    assert jobs.remove_finished(now) == 1
    assert set(Job.objects.values_list("slot", flat=True)) == {"young", "waiting"}


@pytest.mark.embedded
def test_a_real_worker_takes_up_what_a_killed_one_left(tmp_path: Path) -> None:
    """The row says what kill -9 leaves: running, with a lease that ran out. The queue is a folder."""
    servers = {"DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"}
    env = {name: value for name, value in os.environ.items() if name not in servers}
    env |= {"WARDKEY_DATA_DIR": str(tmp_path)}
    for folder in ("messages", "control"):
        (tmp_path / "broker" / folder).mkdir(parents=True)

    def manage(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=env, check=True, capture_output=True, timeout=120
        )

    manage("manage.py", "migrate", "--verbosity", "0")
    file = next(tmp_path.glob("*.sqlite3"))
    with sqlite3.connect(file) as database:
        database.execute(
            "INSERT INTO audit_job (id, kind, slot, state, attempts, lease_until, error) VALUES"
            " (?, 'tokens.rotate_signing_keys', '7', 'running', 1, '2026-01-01 00:00:00', '')",
            ["0" * 31 + "1"],
        )
    manage("-m", "celery", "--app", "idp", "call", "audit.resend_jobs")
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "--app", "idp", "worker", "--pool", "solo", "--loglevel", "WARNING"],
        cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline, row = time.monotonic() + 60, None
        while row != ("done", 2) and time.monotonic() < deadline:
            time.sleep(0.2)
            row = database.execute("SELECT state, attempts FROM audit_job WHERE slot = '7'").fetchone()
        assert row == ("done", 2)
        keys = "SELECT count(*) FROM tokens_signingkey WHERE state = 'active'"
        assert database.execute(keys).fetchone() == (2,)
        entries = "SELECT count(*) FROM audit_event WHERE event = 'tokens:signing_key:activate'"
        assert database.execute(entries).fetchone() == (2,)
    finally:
        worker.kill()
        worker.wait()
        database.close()
