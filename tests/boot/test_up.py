"""`manage.py up` as a person runs it: a process, its output, its children, and what they leave behind."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boot.up_process import ROOT, UP_SECONDS, Up, clean_environment, wait_until

pytestmark = pytest.mark.embedded


def is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def assert_all_gone(pids: dict[int, str], *, within_seconds: float = 10) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), within_seconds=within_seconds)
    assert [args for pid, args in pids.items() if is_alive(pid)] == []


def assert_one_sentence(up: Up, text: str) -> None:
    assert up.process.wait(timeout=UP_SECONDS) == 1
    assert text in up.printed()
    assert up.printed().count("\n") == 1
    assert "Traceback" not in up.printed()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    return number


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start `up`; what a failed test leaves running is ended."""
    started: list[Up] = []

    def _start(port: int, data_dir: Path = tmp_path / "wardkey") -> Up:
        started.append(Up(data_dir, port, tmp_path / f"{len(started)}.out", "--no-demo"))
        return started[-1]

    yield _start
    for up in started:
        if up.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                up.end(signal.SIGTERM)
            up.process.kill()
            up.process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_ends_with_all_its_children(
    start: Callable[..., Up], port: int, tmp_path: Path, number: int
) -> None:
    data_dir = tmp_path / "a folder"
    up = start(port, data_dir=data_dir)
    up.wait_for("Wardkey is up at")
    assert (
        f"WARDKEY_DATA_DIR='{data_dir}' python3 manage.py create_user" in up.printed()
    )  # nobody is there to ask
    assert not (data_dir / "demo-credentials.json").exists()
    assert up.get("/livez") == 200
    assert up.get("/readyz") == 200
    children = up.descendants()
    assert any("granian" in args for args in children.values())
    assert any("celery" in args for args in children.values())
    assert up.end(number) == 0
    assert_all_gone(children, within_seconds=1)
    assert "Traceback" not in up.printed()
    # Static files are everybody's, and below a folder that is not.
    private = [path for path in (data_dir, *data_dir.rglob("*")) if "static" not in path.parts]
    assert [path for path in private if path.stat().st_mode & 0o077] == []


@pytest.mark.slow
def test_the_second_run_keeps_everything_and_may_change_the_port_and_another_folder_goes_on(
    start: Callable[..., Up], port: int, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as freer:
        other_port, another_port = free.getsockname()[1], freer.getsockname()[1]
    first, another = start(port), start(another_port, data_dir=tmp_path / "another")
    for up in (first, another):
        up.wait_for(f"Wardkey is up at http://127.0.0.1:{up.port}")
    first.end(signal.SIGTERM)
    assert another.get("/readyz") == 200
    secret = (tmp_path / "wardkey" / "secrets" / "wardkey_secret_key").read_text()
    second = start(other_port)
    second.wait_for(f"Wardkey is up at http://127.0.0.1:{other_port}")
    assert second.get("/livez") == 200
    assert (tmp_path / "wardkey" / "secrets" / "wardkey_secret_key").read_text() == secret
    third = start(port)
    assert_one_sentence(third, f"already running on {tmp_path / 'wardkey'}")
    assert second.end(signal.SIGTERM) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "number"), [("database ...", signal.SIGTERM), ("static files ...", signal.SIGKILL)]
)
def test_an_interrupted_first_run_is_completed_by_the_next(
    start: Callable[..., Up], port: int, tmp_path: Path, step: str, number: int
) -> None:
    first = start(port)
    first.wait_for(step)
    code = first.end(number)
    if number == signal.SIGTERM:
        assert code == 1
        assert "the next `up` completes what is missing" in first.printed()
    assert "Traceback" not in first.printed()
    second = start(port)
    second.wait_for("Wardkey is up at")
    with contextlib.closing(sqlite3.connect(tmp_path / "wardkey" / "wardkey.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM django_migrations").fetchone()[0] > 0
    assert second.end(signal.SIGTERM) == 0


@pytest.mark.slow
@pytest.mark.parametrize("program", ["granian", "celery"])
def test_a_child_that_dies_brings_the_rest_down(start: Callable[..., Up], port: int, program: str) -> None:
    up = start(port)
    up.wait_for("Wardkey is up at")
    children = up.descendants()
    os.kill(min(pid for pid, args in children.items() if program in args), signal.SIGKILL)
    assert up.process.wait(timeout=20) == 1
    assert_all_gone(children, within_seconds=1)
    name = {"granian": "web server", "celery": "worker"}[program]
    assert f"The {name} ended by itself (exit code -9), so everything was stopped" in up.printed()
    assert "Traceback" not in up.printed()


class Terminal:
    """`manage.py up --no-demo` with a person before it."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.descriptor, theirs = pty.openpty()
        self.shown = ""
        options = ["--no-demo", "--port", str(port), "--data-dir", str(data_dir)]
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "up", *options],
            env=clean_environment(), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            # getpass asks on the controlling terminal, wherever standard input comes from.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )  # fmt: skip
        os.close(theirs)

    def wait_for(self, text: str) -> None:
        """Read until the text is shown; what comes after it stays for the next."""
        deadline = time.monotonic() + UP_SECONDS
        while text not in self.shown and time.monotonic() < deadline:
            if select.select([self.descriptor], [], [], 0.2)[0]:
                self.shown += os.read(self.descriptor, 4096).decode()
        before, found, self.shown = self.shown.partition(text)
        assert found, before

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def answer(self, question: str, text: str) -> None:
        self.wait_for(question)
        time.sleep(0.1)  # getpass empties the input when it begins
        self.type(f"{text}\n")


@pytest.mark.slow
def test_without_a_demo_a_person_is_asked_for_the_first_administrator(port: int, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "wardkey", port)
    try:
        terminal.answer("Username: ", "boss")
        terminal.answer("Password (15 characters or more): ", "correct horse battery staple")
        terminal.answer("Password again: ", "correct horse buttery staple")
        terminal.wait_for("The two passwords differ. Once more:")
        terminal.answer("Username: ", "boss")
        for question in ("Password (15 characters or more): ", "Password again: "):
            terminal.answer(question, "correct horse battery staple")
        terminal.wait_for("Created boss as ")
        terminal.wait_for("Wardkey is up at")
        terminal.type("\x03")
        terminal.wait_for("Stopping Wardkey ...")
        assert terminal.process.wait(timeout=20) == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.descriptor)
    with contextlib.closing(sqlite3.connect(tmp_path / "wardkey" / "wardkey.sqlite3")) as database:
        assert database.execute("SELECT username FROM accounts_user").fetchall() == [("boss",)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_nothing_outlives_an_up_that_was_killed(start: Callable[..., Up], port: int) -> None:
    up = start(port)
    up.wait_for("Wardkey is up at")
    children = up.descendants()
    up.end(signal.SIGKILL)
    assert_all_gone(children)


def test_a_taken_port_is_one_sentence(start: Callable[..., Up]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        up = start(taken.getsockname()[1])
        assert_one_sentence(up, "choose another with --port")


def test_a_file_in_place_of_the_folder_is_one_sentence(
    start: Callable[..., Up], port: int, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    assert_one_sentence(start(port, data_dir=tmp_path / "file"), "is not a folder")
    assert_one_sentence(start(port, data_dir=tmp_path / "file" / "below"), "is not a folder")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_one_sentence(start: Callable[..., Up], port: int, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert_one_sentence(start(port, data_dir=closed / "wardkey"), "cannot be used: Permission denied")


def test_a_lost_secret_is_one_sentence(start: Callable[..., Up], port: int, tmp_path: Path) -> None:
    (tmp_path / "wardkey").mkdir()
    (tmp_path / "wardkey" / "wardkey.sqlite3").touch()
    assert_one_sentence(start(port), "has a database but not the secret it was written with")


def test_help_makes_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "wardkey"
    argv = [sys.executable, str(ROOT / "manage.py"), "up", "--help", "--data-dir", str(data_dir)]
    shown = subprocess.run(argv, capture_output=True, text=True, timeout=UP_SECONDS)
    assert shown.returncode == 0
    assert "--no-demo" in shown.stdout
    assert not data_dir.exists()
