"""Leave the application's database role nothing but INSERT and SELECT on the ledger. Run as the owner."""

import argparse
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit import context, database_role


class Command(BaseCommand):
    help = "Grant the application's role what it needs; on the ledger INSERT and SELECT alone (PostgreSQL)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("role", help="the role that web server and worker connect as")

    def handle(self, *, role: str, verbosity: int, **options: Any) -> None:
        ours = context.Context(request_id=str(uuid.uuid4()), user_agent="manage.py restrict_database_role")
        try:
            with context.use(ours):
                database_role.restrict(role, now=timezone.now())
        except database_role.CannotRestrict as error:
            raise CommandError(str(error)) from error
        if verbosity:
            self.stdout.write(f"{role} can write the ledger, and cannot change it.")
