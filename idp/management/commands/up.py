"""Run all of Wardkey on this machine, with no server to install: web server, worker and beat on SQLite.

`manage.py` has made the data folder, its lock and the secrets before Django started (idp/embedded.py). This
command brings the database up to date, starts the processes and stays until it is interrupted or one of them
ends.

Invariants: every step may be interrupted and is completed by the next run; when this command ends, so has all
that it started. Whatever a person can cause and mend is one sentence, never a traceback.
"""

import argparse
import contextlib
import hashlib
import http.client
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

from idp import embedded
from idp.management.children import Child, wait_until

READY_SECONDS = 60
STOP_SECONDS = 5
LOG_LINES = 12


class Command(BaseCommand):
    help = "Run Wardkey on this machine: web server, worker and beat, on an embedded database."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        embedded.add_arguments(parser)

    def handle(self, *, host: str, port: int, no_demo: bool, **options: Any) -> None:
        # Whatever asks this command to end ends it like Ctrl-C.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
        children: list[Child] = []
        try:
            self.make_ready(demo=not no_demo)
            self.start(children, host, port)
            self.say_where(demo=not no_demo)
            self.watch(children)
        except KeyboardInterrupt:
            if not children:
                raise CommandError("Stopped half-way; the next `up` completes what is missing.") from None
        finally:
            self.stop(children)

    @contextlib.contextmanager
    def step(self, doing: str) -> Iterator[None]:
        """Say what is being done, then how long it took. Raises CommandError for what a person can mend."""
        began = time.monotonic()
        self.stdout.write(f"  {doing} ... ", ending="")
        self.stdout.flush()
        try:
            yield
        except (DatabaseError, OSError) as error:
            self.stdout.write("failed")
            raise CommandError(f"{doing} did not work: {' '.join(str(error).split())}") from error
        except BaseException as error:
            self.stdout.write("stopped" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        self.stdout.write(f"{time.monotonic() - began:.1f} s")

    def make_ready(self, *, demo: bool) -> None:
        data_dir = settings.DATA_DIR
        self.stdout.write(f"Wardkey on {data_dir}")
        (data_dir / "logs").mkdir(exist_ok=True)
        make_broker_folders()
        with self.step("database"):
            call_command("migrate", interactive=False, verbosity=0)
            call_command("createcachetable", verbosity=0)
        with self.step("static files"):
            collect_static_files()
        with self.step("signing keys"):
            call_command("rotate_signing_keys", ensure=True, verbosity=0)
        if demo:
            with self.step("demo people and patients"):
                call_command("seed_demo", verbosity=0)
        elif not get_user_model().objects.exists():
            self.ask_for_administrator()
        connections.close_all()

    def ask_for_administrator(self) -> None:
        if sys.stdin.isatty():
            self.stdout.write("Nobody can sign in yet. Name the first administrator:")
            while not get_user_model().objects.exists():
                try:
                    call_command("create_user")
                except CommandError as error:
                    self.stdout.write(f"{error} Once more:")
                except EOFError:
                    raise CommandError("Nobody was named; the next `up --no-demo` asks again.") from None
        else:
            self.stdout.write(
                "Nobody can sign in yet. Make the first administrator with: "
                f"WARDKEY_DATA_DIR={shlex.quote(str(settings.DATA_DIR))} python3 manage.py create_user"
            )

    def start(self, children: list[Child], host: str, port: int) -> None:
        """Start web server and worker, and return when both answer. Raises CommandError when one does not."""
        logs = settings.DATA_DIR / "logs"
        with self.step("web server and worker"):
            try:
                embedded.require_free_port(host, port)
            except embedded.Refusal as refusal:
                raise CommandError(str(refusal)) from refusal
            web = Child("web server", web_argv(host, port), cwd=settings.BASE_DIR, log=logs / "web.log")
            children.append(web)
            worker = Child("worker", worker_argv(), cwd=settings.BASE_DIR, log=logs / "worker.log")
            children.append(worker)
            for child, is_ready in ((web, lambda: answers(host, port)), (worker, lambda: says_ready(worker))):
                if not wait_until(is_ready, child, within_seconds=READY_SECONDS):
                    raise CommandError(obituary(child, f"was not ready after {READY_SECONDS} s"))

    def say_where(self, *, demo: bool) -> None:
        self.stdout.write(self.style.SUCCESS(f"Wardkey is up at {settings.WARDKEY_ISSUER} (Ctrl-C stops it)"))
        if demo:
            elsewhere = settings.DATA_DIR != settings.BASE_DIR / ".local"
            prefix = f"WARDKEY_DATA_DIR={shlex.quote(str(settings.DATA_DIR))} " if elsewhere else ""
            self.stdout.write(f"  demo accounts and passwords: {settings.DATA_DIR / 'demo-credentials.json'}")
            self.stdout.write(f"  the story, in another terminal: {prefix}python3 manage.py demo")
        self.stdout.write(f"  logs: {settings.DATA_DIR / 'logs'}")

    def watch(self, children: list[Child]) -> None:
        """Return never; raise CommandError when a child ends by itself."""
        while True:
            for child in children:
                if child.has_ended():
                    raise CommandError(obituary(child, "ended by itself"))
            time.sleep(0.2)

    def stop(self, children: list[Child]) -> None:
        """End the children, the web server first so that no new work arrives."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        began = time.monotonic()
        with contextlib.suppress(OSError):  # the terminal may be gone
            if children:
                self.stdout.write("\nStopping Wardkey ... ", ending="")
                self.stdout.flush()
        for child in children:
            child.stop(within_seconds=STOP_SECONDS)
        with contextlib.suppress(OSError):
            if children:
                self.stdout.write(f"{time.monotonic() - began:.1f} s")


def collect_static_files() -> None:
    """Run collectstatic when a file was added, changed or removed since it last ended well."""
    files = [storage.path(name) for finder in get_finders() for name, storage in finder.list([])]
    states = ((path, os.stat(path)) for path in sorted(files))
    lines = "".join(f"{path} {state.st_size} {state.st_mtime_ns}\n" for path, state in states)
    fingerprint = hashlib.sha256(lines.encode()).hexdigest()
    stamp = settings.DATA_DIR / "static.stamp"
    if not stamp.exists() or stamp.read_text() != fingerprint:
        stamp.unlink(missing_ok=True)
        call_command("collectstatic", interactive=False, clear=True, verbosity=0)
        stamp.write_text(fingerprint)


def make_broker_folders() -> None:
    """Make the folders of Celery's filesystem transport, which expects to find them."""
    if settings.CELERY_BROKER_URL.startswith("filesystem:"):
        options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
        for name in ("data_folder_in", "data_folder_out", "control_folder"):
            os.makedirs(str(options[name]), exist_ok=True)


def web_argv(host: str, port: int) -> list[str]:
    # granian ends idle threads and loses their database connections; ten minutes is the longest it allows.
    threads = ["--workers", "1", "--blocking-threads", "8", "--blocking-threads-idle-timeout", "600"]
    address = ["--host", host, "--port", str(port)]
    rest = ["--no-ws", "--no-access-log", "--workers-kill-timeout", str(STOP_SECONDS - 2)]
    return [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "wsgi",
        *address,
        *threads,
        *rest,
        "idp.wsgi:application",
    ]


def worker_argv() -> list[str]:
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    schedule = ["--beat", "--schedule", str(settings.DATA_DIR / "beat-schedule")]
    pool = ["--pool", "threads", "--concurrency", "2", "--loglevel", "INFO"]
    return [sys.executable, "-m", "celery", "--app", "idp", "worker", *schedule, *pool, *alone]


def answers(host: str, port: int) -> bool:
    """Ask the web server whether it is ready."""
    connection = http.client.HTTPConnection(embedded.WILDCARD_HOSTS.get(host, host), port, timeout=5)
    try:
        connection.request("GET", "/readyz", headers={"Host": urlsplit(settings.WARDKEY_ISSUER).netloc})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def says_ready(worker: Child) -> bool:
    return " ready." in worker.printed()


def obituary(child: Child, what: str) -> str:
    """Return one sentence on what became of a child, and the end of its log."""
    if child.has_ended():
        what = f"ended by itself (exit code {child.process.returncode})"
    lines = child.printed().splitlines()[-LOG_LINES:]
    return "\n".join([f"The {child.name} {what}, so everything was stopped; the end of {child.log}:", *lines])
