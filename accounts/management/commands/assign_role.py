"""Assign a role from the shell: with the operator as the second person, a privileged one counts at once.

This is the way on where only one administrator is left, whom nobody could approve.
"""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.operations import refusals, role_assignments
from accounts.operations.refusals import Refused
from accounts.shell import acting_in_shell, find_role, find_user, operator


class Command(BaseCommand):
    help = (
        "Assign a role to a user; it counts at once, and the ledger keeps the operator as the second person."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("role", metavar="CODE")
        parser.add_argument("--by", required=True, help="username of the administrator who does this")
        parser.add_argument("--reason", required=True, help="why, for the ledger")

    def handle(self, *, username: str, role: str, by: str, reason: str, **options: Any) -> None:
        user, found, person = find_user(username), find_role(role), find_user(by)
        with acting_in_shell("assign_role"):
            try:
                role_assignments.assign(
                    user=user, role=found, reason=reason, by=person, now=timezone.now(), operator=operator()
                )
            except Refused as refused:
                refusals.record(refused, operation="role_assignments.assign", by=person, obj=user)
                raise CommandError(str(refused)) from refused
        self.stdout.write(f"{user.username} holds the role {found.name}.")
