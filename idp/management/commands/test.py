"""Run every test twice: on SQLite with what `up` embeds, and on PostgreSQL with a Redis-compatible server.

The servers come from the test group's wheels and are started by tests/services.py inside pytest; this command
only says what it runs, runs it, and sums up. Further arguments are pytest's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

DATABASES = {"sqlite": "SQLite, database cache", "postgresql": "PostgreSQL, Valkey cache"}
NO_TESTS_COLLECTED = 5


class Pass(NamedTuple):
    database: str
    exit_code: int
    closing_line: str
    seconds: float


class Command(BaseCommand):
    help = "Run the tests with pytest, on SQLite and on PostgreSQL."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", choices=DATABASES, help="run on this database only")
        parser.epilog = "All other arguments go to pytest: a path, -k NAME, -x, -n 0."

    def run_from_argv(self, argv: list[str]) -> None:
        """Keep pytest's options out of Django's parser, which would refuse them."""
        parser = argparse.ArgumentParser(prog=f"{argv[0]} {argv[1]}", add_help=False, allow_abbrev=False)
        parser.add_argument("--database", choices=DATABASES)
        options, for_pytest = parser.parse_known_args(argv[2:])
        if {"-h", "--help"} & set(for_pytest):
            self.print_help(argv[0], argv[1])
            return
        self.handle(*for_pytest, database=options.database)

    def handle(self, *for_pytest: str, database: str | None = None, **options: Any) -> None:
        sys.exit(self.run_passes(database, list(for_pytest)))

    def run_passes(self, database: str | None, for_pytest: list[str]) -> int:
        """Run pytest once for each database and return an exit code: 0 only if all is well."""
        passes = [self.run_pass(name, for_pytest) for name in ([database] if database else DATABASES)]
        self.stdout.write("")
        for each in passes:
            good = each.exit_code in {0, NO_TESTS_COLLECTED}
            style = self.style.SUCCESS if good else self.style.ERROR
            self.stdout.write(style(f"{each.database:10} {each.closing_line} ({each.seconds:.0f} s)"))
        failed = any(each.exit_code not in {0, NO_TESTS_COLLECTED} for each in passes)
        return int(failed or all(each.exit_code == NO_TESTS_COLLECTED for each in passes))

    def run_pass(self, database: str, for_pytest: list[str]) -> Pass:
        self.stdout.write(self.style.MIGRATE_HEADING(f"Tests on {DATABASES[database]}"))
        self.stdout.flush()
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="wardkey-") as folder:
            closing_line = Path(folder) / "closing-line"
            exit_code = subprocess.run(
                [sys.executable, "-m", "pytest", "-n", "2", *for_pytest],
                check=False,
                cwd=settings.BASE_DIR,
                env={
                    **os.environ,
                    "WARDKEY_TEST_DATABASE": database,
                    "WARDKEY_TEST_CLOSING_LINE": str(closing_line),
                },
            ).returncode
            said = closing_line.read_text() if closing_line.exists() else f"ended with code {exit_code}"
        return Pass(database, exit_code, said, time.monotonic() - began)
