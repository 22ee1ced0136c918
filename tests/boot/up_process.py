"""A running `manage.py up` as a person runs it: a process, its output, its children."""

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UP_SECONDS = 120  # 5 on an idle machine


def clean_environment(**more: str) -> dict[str, str]:
    """Return this test run's environment without anything that is the test run's own."""
    servers = ("WARDKEY_", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(servers)}
    kept.pop("PYTHONUNBUFFERED", None)  # would hide a line that stays in a buffer
    return {**kept, "WARDKEY_SKIP_BOOTSTRAP": "1", **more}


class Up:
    """A running `manage.py up`, with an environment that has nothing of this test run."""

    def __init__(self, data_dir: Path, port: int, output: Path, *options: str, **environment: str) -> None:
        self.port = port
        self.data_dir = data_dir
        self.output = output
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "manage.py"),
                "up",
                "--port",
                str(port),
                "--data-dir",
                str(data_dir),
                *options,
            ],
            env=clean_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=output.open("wb"),
            stderr=subprocess.STDOUT,
        )

    def printed(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.printed() or self.process.poll() is not None)
        assert text in self.printed(), self.printed()

    def end(self, number: int) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def get(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status

    def descendants(self) -> dict[int, str]:
        """Return the command lines of all processes below this one, by process id."""
        table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(None, 2) for line in table.stdout.splitlines()]
        found: dict[int, str] = {}
        parents = {self.process.pid}
        while parents:
            below = {int(pid): args for pid, parent, args in rows if int(parent) in parents}
            found.update(below)
            parents = set(below)
        return found


def wait_until(true: Callable[[], bool], *, within_seconds: float = UP_SECONDS) -> None:
    deadline = time.monotonic() + within_seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
