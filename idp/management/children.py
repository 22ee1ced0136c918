"""The processes that `manage.py up` starts and ends: each with a log file and a process group of its own.

Invariant: when stop() has returned, no process of the child's group is left, whatever it was doing.

Must not decide anything about the service: it only starts, watches and ends what it is given.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2)


class Child:
    """A process under a name that a person understands."""

    def __init__(self, name: str, argv: list[str], *, cwd: Path, log: Path) -> None:
        """Start the process. Its output is appended to the log file."""
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self.log_start = output.tell()
            self.process = subprocess.Popen(
                argv,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal must reach `up` alone, which ends its children in order.
                start_new_session=True,
                # Safe while `up` has one thread, which it has.
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def printed(self) -> str:
        """Return what this run of the process has written to its log so far."""
        with self.log.open("rb") as written:
            written.seek(self.log_start)
            return written.read().decode(errors="replace")

    def stop(self, *, within_seconds: float) -> None:
        """Ask the process to end, and after the time is over kill every process of its group."""
        if not self.has_ended():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(within_seconds)
        self._kill_group()
        self.process.wait()

    def _kill_group(self) -> None:
        # Nobody left is what we want; macOS says so with the second error.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


def _end_with_parent() -> None:
    """Ask the kernel to terminate this process when `up` is killed and cannot do so itself."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_until(ready: Callable[[], bool], child: Child, *, within_seconds: float) -> bool:
    """Poll until ready; return False when the child ended or the time is over first."""
    deadline = time.monotonic() + within_seconds
    while not child.has_ended() and time.monotonic() < deadline:
        if ready():
            return True
        time.sleep(0.1)
    return False
