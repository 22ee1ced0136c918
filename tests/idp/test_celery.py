"""The Celery application: what is on the schedule exists, and a worker without secrets does not start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from idp.celery import app

ROOT = Path(__file__).resolve().parents[2]


def test_a_worker_without_secrets_ends_with_one_sentence(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("WARDKEY_")}
    ended = subprocess.run(
        [sys.executable, "-m", "celery", "--app", "idp", "worker", "--pool", "solo"],
        cwd=ROOT,
        env={**bare, "WARDKEY_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert ended.stderr.splitlines()[-1] == (
        "The worker needs WARDKEY_SECRET_KEY, WARDKEY_ENCRYPTION_KEYS, WARDKEY_HASH_KEY, or their _FILE."
    )


@pytest.mark.parametrize("name", sorted(settings.CELERY_BEAT_SCHEDULE))
def test_each_scheduled_task_exists_and_its_name_is_its_floor(name: str) -> None:
    app.loader.import_default_modules()
    task = app.tasks[settings.CELERY_BEAT_SCHEDULE[name]["task"]]
    assert task.__module__ == f"{name.partition('.')[0]}.tasks"


def test_a_killed_worker_loses_no_task_and_no_task_outlives_the_queues_patience() -> None:
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.task_soft_time_limit < app.conf.task_time_limit
    if app.conf.broker_url.startswith("redis"):
        assert app.conf.task_time_limit < app.conf.broker_transport_options["visibility_timeout"]


def test_only_json_is_accepted() -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
