"""Revoke a compromised signing key from the shell, by the same operation as the portal's button."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.operations import refusals
from accounts.operations.refusals import Refused
from accounts.shell import acting_in_shell, find_user
from tokens import keys
from tokens.models import SigningKey


class Command(BaseCommand):
    help = "Take a compromised signing key out at once; a fresh one signs from now on."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("kid", help="the key's id, as in the key set and the portal")
        parser.add_argument("--reason", required=True, help="why, for the ledger")
        parser.add_argument(
            "--by", help="username of the administrator who does this (default: the operator)"
        )

    def handle(self, *, kid: str, reason: str, by: str | None, **options: Any) -> None:
        person = find_user(by) if by else None
        with acting_in_shell("revoke_signing_key"):
            try:
                key = keys.revoke(kid=kid, reason=reason, by=person, now=timezone.now())
            except Refused as refused:
                refusals.record(
                    refused, operation="keys.revoke", by=person, obj=SigningKey.objects.filter(pk=kid).first()
                )
                raise CommandError(str(refused)) from refused
        self.stdout.write(f"{key} is revoked; whatever it signed is refused within seconds.")
