#!/usr/bin/env python3
"""Run Wardkey's commands, building the environment they need first.

On a machine with only Python and pip the first command makes `.venv` from the hash-pinned lock file and runs
itself again inside it; after that it is Django's ordinary entry point. `test` and `tool` need the packages of
`requirements-test.lock`, everything else those of `requirements.lock`.

Invariant: `.venv/.stamp` names the lock files whose every package is installed. It is removed before an
installation begins and written after it ended well, so an interrupted one is noticed and done again.

Must use the standard library only, and must parse on Pythons too old to run it, to say so in one sentence.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("Wardkey needs Python 3.11 or later; %s is %d.%d." % (sys.executable, *sys.version_info[:2]))

import contextlib
import hashlib
import io
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".stamp"
RUNTIME_LOCK = ROOT / "requirements.lock"
TEST_LOCK = ROOT / "requirements-test.lock"

# The test lock is a superset of the runtime lock, so whoever has it has both.
SATISFIES = {RUNTIME_LOCK: (RUNTIME_LOCK,), TEST_LOCK: (RUNTIME_LOCK, TEST_LOCK)}

UNREACHABLE = re.compile(
    "NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Max retries|"
    "Network is unreachable|Temporary failure in name resolution|Connection (refused|reset|broken|aborted)"
)


class Refusal(Exception):
    """One sentence for the person at the terminal, who can do something about it."""


def stamp_line(lock: Path) -> str:
    return f"{lock.name} {hashlib.sha256(lock.read_bytes()).hexdigest()}"


def is_installed(lock: Path) -> bool:
    try:
        return PYTHON.exists() and stamp_line(lock) in STAMP.read_text().splitlines()
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def only_builder() -> Iterator[int]:
    """Wait until nobody else builds `.venv`, and hold the lock; yield its file descriptor."""
    import fcntl  # not on Windows, where the rest of this file would not work either

    descriptor = os.open(ROOT / ".venv.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another command is building .venv; waiting for it.", flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def build(lock: Path) -> None:
    """Bring `.venv` to what the lock file says. Raises Refusal, or OSError for the folder."""
    with only_builder() as descriptor:
        if is_installed(lock):
            return
        began = time.monotonic()
        # Without a stamp the folder may hold half-unpacked packages that pip takes for complete.
        complete = STAMP.exists() and PYTHON.exists()
        STAMP.unlink(missing_ok=True)
        if not complete:
            print("Building .venv (once; takes about half a minute).", flush=True)
            venv.EnvBuilder(clear=True, symlinks=True).create(VENV)
        install(lock, descriptor)
        written = STAMP.with_suffix(".new")
        written.write_text("".join(f"{stamp_line(each)}\n" for each in SATISFIES[lock]))
        written.replace(STAMP)
        print(f"Installed {lock.name} in {time.monotonic() - began:.0f} s.", flush=True)


def pip_command() -> list[str]:
    """Return the start of a pip command that installs into `.venv`. Raises Refusal where there is no pip."""
    # Debian ships pip and ensurepip in packages of their own: either will do.
    # -P: the project's own packages must not shadow what pip imports.
    base = str(getattr(sys, "_base_executable", sys.executable))
    if subprocess.run([base, "-P", "-c", "import pip"], capture_output=True).returncode == 0:
        return [base, "-P", "-m", "pip", "--python", str(PYTHON)]
    if subprocess.run([PYTHON, "-P", "-m", "ensurepip"], capture_output=True).returncode == 0:
        return [str(PYTHON), "-P", "-m", "pip"]
    raise Refusal(
        f"{base} has neither pip nor ensurepip: install one (on Debian: apt-get install python3-pip)."
    )


def install(lock: Path, descriptor: int) -> None:
    """Install every package of the lock file, showing progress. Raises Refusal with pip's reason."""
    strict = ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
    quiet = ["--progress-bar", "off", "--no-input", "--disable-pip-version-check"]
    child = subprocess.Popen(
        [*pip_command(), "install", *strict, *quiet, "-r", str(lock)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=ROOT,
        env={**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
        start_new_session=True,
        # An orphaned pip keeps the lock, so the next command waits for it instead of writing beside it.
        pass_fds=(descriptor,),
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(child.stdout or ()), daemon=True)
    reader.start()
    try:
        show_progress(child, lines, total=len(re.findall(r"^[\w.-]+(?:\[.*\])?==", lock.read_text(), re.M)))
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        child.wait()
        raise
    reader.join()
    if child.returncode != 0:
        raise Refusal(f"{why_pip_failed(''.join(lines), lock)} Then run the same command again.")


def show_progress(child: "subprocess.Popen[str]", lines: list[str], *, total: int) -> None:
    """Rewrite one line on a terminal, print one every 15 s elsewhere, until pip ends."""
    live = sys.stdout.isatty()
    began = shown = time.monotonic()
    while child.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=0.2)
        fetched = sum(line.startswith("Collecting ") for line in list(lines))
        doing = "unpacking" if any(line.startswith("Installing") for line in lines[-3:]) else "fetching"
        sentence = f"  {doing} packages: {fetched} of at most {total}, {time.monotonic() - began:.0f} s"
        if live:
            print(f"\r{sentence}\033[K", end="", flush=True)
        elif time.monotonic() - shown >= 15:
            shown = time.monotonic()
            print(sentence, flush=True)
    if live:
        print("\r\033[K", end="", flush=True)


def why_pip_failed(output: str, lock: Path) -> str:
    """Return one sentence for what pip printed before it gave up."""
    if "DO NOT MATCH THE HASHES" in output:
        return (
            f"A package does not have the hash that {lock.name} asks for and was not installed: find out why."
        )
    if "No space left on device" in output:
        return "The disk is full: make about 700 MB of room."
    if UNREACHABLE.search(output):
        return "No package index answered, so nothing could be fetched: check the network and pip's settings."
    missing = re.search(r"No matching distribution found for ([\w.-]+(?:==[\w.]+)?)", output)
    if missing:
        return f"No package index has {missing[1]} ready-built for this machine: check pip's settings."
    errors = [line[6:].strip() for line in output.splitlines() if line.startswith("ERROR:")]
    return f"pip could not install {lock.name}: {errors[-1] if errors else 'it gave no reason'}."


def bootstrap(command: str) -> None:
    """Return only inside a `.venv` that has what the command needs. Raises Refusal or OSError."""
    if os.environ.get("WARDKEY_SKIP_BOOTSTRAP") == "1":
        return
    lock = TEST_LOCK if command in {"test", "tool"} else RUNTIME_LOCK
    if not is_installed(lock):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        build(lock)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(PYTHON, [str(PYTHON), *sys.orig_argv[1:]])  # noqa: S606


def run_tool(argv: list[str]) -> int:
    """Run a program of `.venv` with throw-away secrets in an empty data folder, as the checks need them."""
    from idp import embedded

    if not argv:
        raise Refusal("Name the program to run: python3 manage.py tool PROGRAM [ARGUMENTS].")
    with tempfile.TemporaryDirectory(prefix="wardkey-") as folder:
        environment = {**embedded.fresh_secrets(), "WARDKEY_DATA_DIR": folder, **os.environ}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        try:
            return subprocess.run(argv, env=environment).returncode
        except FileNotFoundError:
            raise Refusal(f"There is no program named {argv[0]}.") from None


def prepare_settings(command: str, arguments: list[str]) -> None:
    """Set the environment that Django's settings read, where the command decides it. Raises Refusal."""
    from idp import embedded

    if command == "test":
        os.environ.update(embedded.fresh_secrets())
    if command == "up":
        try:
            embedded.prepare(arguments)
        except embedded.Refusal as refusal:
            raise Refusal(str(refusal)) from None


def main(argv: list[str]) -> int:
    command = argv[1] if len(argv) > 1 else "help"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log file or a pipe wants to see the progress, too
    try:
        bootstrap(command)
        if command == "tool":
            return run_tool(argv[2:])
        prepare_settings(command, argv[2:])
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{ROOT} cannot be set up: {error.strerror or error} ({error.filename}).", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped before Wardkey was set up; the same command starts over.", file=sys.stderr)
        return 1

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "idp.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
        from environs import EnvError
    except ModuleNotFoundError as error:
        STAMP.unlink(missing_ok=True)
        print(
            f"{error.name} is missing from {sys.prefix}: the same command installs it anew.", file=sys.stderr
        )
        return 1

    try:
        execute_from_command_line(argv)
    except (ImproperlyConfigured, EnvError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
