"""`manage.py demo` against a real `manage.py up`: the whole story, its interruption, and what comes out otherwise."""

import contextlib
import json
import os
import pty
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from idp.story.forgeries import forgeries, segments
from idp.story.wire import App
from tests.boot.up_process import ROOT, Up, clean_environment, wait_until

pytestmark = [pytest.mark.embedded, pytest.mark.slow]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("demo")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    # The server looks for new keys every 2 s, not 5: the story waits for that. Less would outrun the FHIR server,
    # which asks for new keys once a second.
    poll = {"WARDKEY_KEY_RING_POLL_SECONDS": "2"}
    running = Up(folder / "a folder with spaces", port, folder / "up.out", **poll)
    try:
        running.wait_for("Wardkey is up at")
        yield running
    finally:
        running.end(signal.SIGTERM)


def start_demo(data_dir: Path, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "demo"],
        env=clean_environment(WARDKEY_DATA_DIR=str(data_dir), **environment),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def demo(data_dir: Path) -> tuple[int, str, str]:
    process = start_demo(data_dir)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def assert_one_sentence(data_dir: Path, text: str) -> None:
    code, out, err = demo(data_dir)
    assert (code, out) == (1, "")
    assert err.startswith("CommandError: ")
    assert err.count("\n") == 1
    assert text in err


def credentials(up: Up) -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = json.loads((up.data_dir / "demo-credentials.json").read_text())
    return known


def token_for_rosa(up: Up) -> tuple[App, str]:
    """Do as Dr Okafor's app does; without her access to Rosa this raises."""
    known, app = credentials(up), App(f"http://127.0.0.1:{up.port}", "test")
    account = known["accounts"]["okafor"]
    given = {"username": account["username"], "password": account["password"]}
    base = app.post("/api/token/", given).text("access")
    wanted = {
        "patient": known["patients"]["rosa"],
        "purpose_of_use": "TREAT",
        "scope": "patient/Observation.rs",
    }
    return app, app.post("/api/token/patient/", wanted, base).text("access")


def open_families(up: Up) -> int:
    with sqlite3.connect(up.data_dir / "wardkey.sqlite3") as database:
        count: int = database.execute(
            "SELECT count(*) FROM tokens_refreshfamily WHERE revoked_at IS NULL"
        ).fetchone()[0]
    return count


@pytest.fixture(scope="module")
def told(up: Up) -> str:
    """The story told once, from beginning to end."""
    families = open_families(up)
    code, out, err = demo(up.data_dir)
    assert (code, err) == (0, "")
    assert open_families(up) == families
    return out


def test_the_story_comes_out_and_leaves_everything_as_it_was(up: Up, told: str) -> None:
    lines = told.splitlines()
    steps = [line for line in lines if line.startswith("  ok ")]
    assert len(steps) > 30
    assert "WRONG" not in told
    assert lines[-1].startswith(f"{len(steps)} steps, each as it should be")
    for event in (
        "Base token issued",
        "Signing key activated",
        "Access revoked",
        "Used refresh token presented again",
    ):
        assert any(event in line for line in lines)
    token_for_rosa(up)


def test_a_pipe_gets_plain_lines(told: str) -> None:
    assert "\x1b" not in told
    assert "\r" not in told


def test_it_prints_no_token_and_no_password(up: Up, told: str) -> None:
    assert "eyJ" not in told
    assert max(map(len, told.split())) < 40
    for account in credentials(up)["accounts"].values():
        assert account["password"] not in told


def test_reading_the_ledger_is_recorded(up: Up, told: str) -> None:
    with sqlite3.connect(up.data_dir / "wardkey.sqlite3") as database:
        readers = database.execute(
            "SELECT actor_label FROM audit_event WHERE event = 'audit:event:read'"
        ).fetchall()
    assert ("ines",) in readers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_after_the_revocation_it_still_gives_the_access_back(up: Up, number: int) -> None:
    process = start_demo(up.data_dir)
    assert process.stdout is not None
    for line in process.stdout:
        if "revokes it" in line:
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == "CommandError: Stopped half-way; Dr Okafor may see Rosa, as before.\n"
    token_for_rosa(up)


def test_a_reader_that_goes_away_is_no_traceback(up: Up) -> None:
    process = start_demo(up.data_dir)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(timeout=30) == 1
    assert err == "CommandError: Nobody reads the story any more; Dr Okafor may see Rosa, as before.\n"
    token_for_rosa(up)


def test_two_at_once_are_told_one_after_the_other(up: Up) -> None:
    first, second = start_demo(up.data_dir), start_demo(up.data_dir)
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert sum("waiting for it to end" in output for output in outputs) == 1


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_a_line_that_moves_and_colours_unless_told(
    up: Up, environment: dict[str, str], coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "demo"],
        env=clean_environment(WARDKEY_DATA_DIR=str(up.data_dir), TERM="xterm-256color", **environment),
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while chunk := read_terminal(ours):
        shown += chunk
    assert process.wait(timeout=60) == 0
    assert b"\r\x1b[K  ...   Dr Okafor signs in" in shown
    assert (b"\x1b[32;1mok" in shown) is coloured


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # how Linux says that the other side is closed
        return b""


def test_what_comes_out_otherwise_is_marked_and_the_exit_status_says_so(up: Up) -> None:
    """Rosa is put on the ward where both doctors work: Dr Lind gets his token, and a revoked grant ends nothing."""
    rosa, other = (credentials(up)["patients"][key].replace("-", "") for key in ("rosa", "patient-2"))
    move = "UPDATE accounts_careteampatient SET patient_id = ? WHERE patient_id = ?"
    with sqlite3.connect(up.data_dir / "wardkey.sqlite3", timeout=10) as database:
        assert database.execute(move, (rosa, other)).rowcount == 1
    try:
        code, out, err = demo(up.data_dir)
    finally:
        with sqlite3.connect(up.data_dir / "wardkey.sqlite3", timeout=10) as database:
            database.execute(move, (other, rosa))
    assert code == 1
    wrong = [line for line in out.splitlines() if line.startswith("  WRONG")]
    assert any("He asks for a token for Rosa" in line and " 200" in line for line in wrong)
    assert any("The token that she holds" in line for line in wrong)
    assert f"{len(wrong)} of " in err


def test_everything_in_the_folder_is_the_owners_alone(up: Up, told: str) -> None:
    modes = []
    for path in (up.data_dir, *up.data_dir.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # messages, and SQLite's -wal, come and go
            modes += [] if "static" in path.parts else [path.stat().st_mode]
    assert len(modes) > 10
    assert [mode for mode in modes if mode & 0o077] == []


def test_fifty_requests_at_once_to_the_mounted_fhir_server_are_all_answered(up: Up) -> None:
    app, token = token_for_rosa(up)
    barrier = threading.Barrier(50)

    def read() -> int:
        barrier.wait()
        return app.get("/fhir/Observation?_count=5", token).status

    with ThreadPoolExecutor(50) as pool:
        statuses = Counter(future.result() for future in [pool.submit(read) for _ in range(50)])
    assert statuses == {200: 50}


def test_every_forgery_differs_from_the_token_and_keeps_its_key(up: Up) -> None:
    app, token = token_for_rosa(up)
    [jwk] = [
        each
        for each in app.get("/.well-known/jwks.json").body["keys"]
        if each["kid"] == segments(token)[0]["kid"]
    ]
    forged = dict(forgeries(token, other_patient="nobody", jwk=jwk))
    assert len({token, *forged.values()}) == len(forged) + 1 == 7
    assert {segments(each)[0]["kid"] for each in forged.values()} == {jwk["kid"]}


def test_no_demonstration_is_one_sentence(tmp_path: Path) -> None:
    assert_one_sentence(tmp_path, f"There is no demonstration in {tmp_path}")
    assert_one_sentence(tmp_path / "nowhere", "There is no demonstration in")
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "demo-credentials.json").write_text('{"issuer": 1}')
    assert_one_sentence(tmp_path, "is damaged: remove it")


def test_no_running_server_and_a_server_of_another_folder_are_one_sentence_each(
    up: Up, tmp_path: Path
) -> None:
    known = (up.data_dir / "demo-credentials.json").read_text()
    (tmp_path / "demo-credentials.json").write_text(known.replace(str(up.port), "9"))
    assert_one_sentence(
        tmp_path, "No server answers at http://127.0.0.1:9. Start it first: python3 manage.py up"
    )
    (tmp_path / "demo-credentials.json").write_text(known)
    assert_one_sentence(tmp_path, "cannot be read: no such table")
    with (
        sqlite3.connect(up.data_dir / "wardkey.sqlite3") as source,
        sqlite3.connect(tmp_path / "wardkey.sqlite3") as copy,
    ):
        source.backup(copy)
        copy.execute("DELETE FROM tokens_signingkey")
    assert_one_sentence(tmp_path, f"does not run on {tmp_path}: set WARDKEY_DATA_DIR")


def test_the_scheduled_tasks_are_run_by_the_worker(up: Up) -> None:
    def done() -> set[str]:
        with sqlite3.connect(up.data_dir / "wardkey.sqlite3") as database:
            return {kind for (kind,) in database.execute("SELECT kind FROM audit_job WHERE state = 'done'")}

    wanted = {"accounts.settle_access_grants", "tokens.rotate_signing_keys"}
    wait_until(lambda: wanted <= done(), within_seconds=70)
    assert wanted <= done()
