"""Create a user from the shell, by the same operations as the portal; the first one becomes administrator."""

import argparse
import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.operations import role_assignments, users
from accounts.operations.refusals import Refused
from accounts.shell import acting_in_shell, ask_password, find_role, find_user, operator

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
        roles = [find_role(code) for code in codes]
        fields = {name: options[name] for name in ("given_name", "family_name", "email", "job_function")}
        fields["employment_type"] = options["employment_type"]
        fields["sponsor"] = find_user(options["sponsor"]) if options["sponsor"] else None
        if options["ends"]:
            fields["ends_at"] = datetime.datetime.combine(options["ends"], datetime.time(), datetime.UTC)
        password = ask_password(from_stdin=options["password_stdin"])
        now = timezone.now()
        with acting_in_shell("create_user"):
            try:
                with transaction.atomic():
                    user = users.create(username=username, password=password, by=by, now=now, **fields)
                    for role in roles:
                        role_assignments.assign(
                            user=user,
                            role=role,
                            reason=options["reason"],
                            by=by,
                            now=now,
                            operator=operator(),
                        )
            except Refused as refused:
                raise CommandError(str(refused)) from refused
            except ValidationError as error:
                raise CommandError("\n".join(error.messages)) from error
        held = f" as {', '.join(role.name for role in roles)}" if roles else ""
        self.stdout.write(f"Created {user.username}{held}.")
