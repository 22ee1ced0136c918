"""Set a user's password from the shell: the only way for somebody with a privileged role who cannot sign in."""

import argparse
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.operations import refusals, users
from accounts.operations.refusals import Refused
from accounts.shell import acting_in_shell, ask_password, find_user, operator


class Command(BaseCommand):
    help = "Set a user's password; the ledger keeps which account of the operating system did it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True, help="why, for the ledger")
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input"
        )

    def handle(self, *, username: str, reason: str, password_stdin: bool, **options: Any) -> None:
        user = find_user(username)
        password = ask_password(from_stdin=password_stdin)
        with acting_in_shell("set_password"):
            try:
                users.set_password(
                    user=user,
                    password=password,
                    by=None,
                    reason=reason,
                    now=timezone.now(),
                    operator=operator(),
                )
            except Refused as refused:
                refusals.record(refused, operation="users.set_password", by=None, obj=user)
                raise CommandError(str(refused)) from refused
            except ValidationError as error:
                raise CommandError("\n".join(error.messages)) from error
        self.stdout.write(f"The password of {user.username} is set.")
