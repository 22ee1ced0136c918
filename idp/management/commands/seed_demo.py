"""Make the demonstration's people and patients (idp/demo.py)."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.operations.refusals import Refused
from idp import demo


class Command(BaseCommand):
    help = "Make the demonstration's people, patients and accesses; repeat it as often as you like."

    def handle(self, *, verbosity: int, **options: Any) -> None:
        try:
            demo.seed(timezone.now())
        except demo.NotADemo as error:
            raise CommandError(str(error)) from error
        except Refused as refused:  # somebody tried the portal out on the cast: that is what it is for
            self.stderr.write(f"Dr Okafor's access to Rosa could not be renewed: {refused}")
            return
        if verbosity:
            self.stdout.write("The demonstration is ready.")
