"""One granian process tree, started the same way for every subject: WSGI, one worker, THREADS threads.

Idle threads are kept for the whole run: granian would end them and, without a pool, leak their database
connections.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from idp.embedded import RETURN_MEMORY

THREADS = 8
START_SECONDS = 40
STOP_SECONDS = 8


def free_port() -> int:
    """Return a loopback port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A running granian; use `stop()` to end it and its worker."""

    def __init__(self, application: str, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        """Serve `application` ("module:object") in the folder `folder`; return once it listens."""
        self.port = free_port()
        self._log = log
        command = [
            sys.executable, "-m", "granian", "--interface", "wsgi",
            "--host", "127.0.0.1", "--port", str(self.port),
            "--workers", "1", "--blocking-threads", str(THREADS), "--blocking-threads-idle-timeout", "600",
            "--no-ws", "--log-level", "warning", application,
        ]  # fmt: skip
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder), **RETURN_MEMORY, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the bench alone, which then ends its servers by pid
            )
        try:
            self._await_listening()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process id of granian's main process."""
        return self._process.pid

    def _await_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"granian did not start; its last words:\n{self.last_words()}")

    def last_words(self) -> str:
        """Return the end of the server's log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])

    def stop(self) -> None:
        """End the process group: asked first, killed when it will not."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # whatever is left of the group we started
        self._process.wait(STOP_SECONDS)
