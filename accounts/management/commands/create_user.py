"""Create a user from the shell, by the same operations as the portal; the first one becomes administrator."""

import argparse
import datetime
import getpass
import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from accounts.models import Role, User
from accounts.operations import role_assignments, users
from accounts.operations.refusals import Refused
from accounts.shell import acting_in_shell, find_user

FIRST_ROLE = "administrator"


class Command(BaseCommand):
    help = "Create an active user; the very first one needs no --by and becomes administrator."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("username", nargs="?", help="asked for when left out")
        parser.add_argument("--by", help="username of the administrator who does this")
        parser.add_argument(
            "--role", action="append", default=[], metavar="CODE", help="role to assign; repeatable"
        )
        parser.add_argument("--reason", default="Account created", help="why the roles are assigned")
        parser.add_argument("--given-name", default="")
        parser.add_argument("--family-name", default="")
        parser.add_argument("--email", default="")
        parser.add_argument(
            "--job-function", choices=User.JobFunction.values, default=User.JobFunction.NON_CLINICAL
        )
        parser.add_argument(
            "--employment-type", choices=User.EmploymentType.values, default=User.EmploymentType.EMPLOYEE
        )
        parser.add_argument("--sponsor", help="username of the person who answers for this account")
        parser.add_argument("--ends", type=datetime.date.fromisoformat, metavar="YYYY-MM-DD")
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input"
        )

    def handle(self, *, username: str | None, **options: Any) -> None:
        first = not User.objects.exists()
        by = find_user(options["by"]) if options["by"] else None
        if by is None and not first:
            raise CommandError("Name the administrator who does this with --by.")
        username = username or input("Username: ")
        codes = options["role"] or ([FIRST_ROLE] if first else [])
        roles = [self.find_role(code) for code in codes]
        fields = {name: options[name] for name in ("given_name", "family_name", "email", "job_function")}
        fields["employment_type"] = options["employment_type"]
        fields["sponsor"] = find_user(options["sponsor"]) if options["sponsor"] else None
        if options["ends"]:
            fields["ends_at"] = datetime.datetime.combine(options["ends"], datetime.time(), datetime.UTC)
        password = sys.stdin.readline().rstrip("\n") if options["password_stdin"] else ask_password()
        now = timezone.now()
        with acting_in_shell("create_user"):
            try:
                with transaction.atomic():
                    user = users.create(username=username, password=password, by=by, now=now, **fields)
                    for role in roles:
                        role_assignments.assign(
                            user=user, role=role, reason=options["reason"], by=by, now=now
                        )
            except Refused as refused:
                raise CommandError(str(refused)) from refused
            except ValidationError as error:
                raise CommandError("\n".join(error.messages)) from error
        held = f" as {', '.join(role.name for role in roles)}" if roles else ""
        self.stdout.write(f"Created {user.username}{held}.")

    def find_role(self, code: str) -> Role:
        """Return the role of a code. Raises CommandError."""
        role = Role.objects.filter(code=code).first()
        if role is None:
            known = ", ".join(Role.objects.values_list("code", flat=True))
            raise CommandError(f"There is no such role; there are: {known}.")
        return role


def ask_password() -> str:
    """Ask twice at the terminal. Raises CommandError when the two differ or nobody can be asked."""
    if not sys.stdin.isatty():
        raise CommandError("Nobody can be asked for the password: use --password-stdin.")
    password = getpass.getpass("Password (15 characters or more): ")
    if password != getpass.getpass("Password again: "):
        raise CommandError("The two passwords differ.")
    return password
