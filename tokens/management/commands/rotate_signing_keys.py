"""Rotate the signing keys from the shell, by the same operation as the scheduled task and the portal's button."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.operations import refusals
from accounts.operations.refusals import Refused
from accounts.shell import acting_in_shell, find_user
from tokens import keys
from tokens.models import SigningKey
from tokens.rotation import ALGORITHMS


class Command(BaseCommand):
    help = "Move the signing keys along: what is due, or with --hurry the next keys now."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--ensure", action="store_true", help="only make sure that each algorithm has a key"
        )
        parser.add_argument("--hurry", action="store_true", help="publish the next keys although none is old")
        parser.add_argument(
            "--skip-wait",
            action="store_true",
            help="with --hurry: sign with them at once, before verifiers have fetched the new key set",
        )
        parser.add_argument(
            "--by", help="username of the administrator who does this (default: the operator)"
        )

    def handle(
        self, *, ensure: bool, hurry: bool, skip_wait: bool, by: str | None, verbosity: int, **options: Any
    ) -> None:
        if skip_wait and not hurry:
            raise CommandError("--skip-wait goes with --hurry.")
        if ensure and _all_algorithms_sign():
            return
        person = find_user(by) if by else None
        with acting_in_shell("rotate_signing_keys"):
            try:
                actions = keys.rotate(now=timezone.now(), by=person, hurry=hurry, skip_wait=skip_wait)
            except Refused as refused:
                refusals.record(refused, operation="keys.rotate", by=person)
                raise CommandError(str(refused)) from refused
        if verbosity:
            for action in actions:
                self.stdout.write(f"{action.verb} {action.algorithm} {action.kid}".rstrip())
            self.stdout.write(f"{len(actions)} steps" if actions else "Nothing was due.")


def _all_algorithms_sign() -> bool:
    active = SigningKey.objects.filter(state=SigningKey.State.ACTIVE).values_list("algorithm", flat=True)
    return set(ALGORITHMS) <= set(active)
