"""Seal everything under the current encryption key, after a new one was put in front of WARDKEY_ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.shell import acting_in_shell
from crypto import keyring
from crypto.envelope import CannotOpen
from tokens import resealing


class Command(BaseCommand):
    help = (
        "Seal signing keys and encrypted columns again under the current encryption key. May be interrupted."
    )

    def handle(self, *, verbosity: int, **options: Any) -> None:
        with acting_in_shell("reseal"):
            try:
                self.reseal()
            except CannotOpen as error:
                raise CommandError(
                    f"Something does not open: {error}. Put the key it was sealed with into "
                    "WARDKEY_ENCRYPTION_KEYS, behind the current one, and run this again."
                ) from error
        older = list(keyring.encryption_keys())[1:]
        if left := resealing.remaining():
            raise CommandError(f"{left} rows were written under an older key meanwhile: run this again.")
        self.stdout.write(f"Everything is sealed under {keyring.current_key_id()}.")
        if older:
            self.stdout.write(
                f"No longer needed by this database: {', '.join(older)}. Old backups need them still."
            )

    def reseal(self) -> None:
        """Do it, saying how far it is."""
        self.stdout.write(f"{resealing.reseal_signing_keys(now=timezone.now())} signing keys")
        for model in resealing.encrypted_models():
            done = 0
            for count in resealing.reseal_columns(model, now=timezone.now()):
                done += count
                if self.stdout.isatty():
                    self.stdout.write(f"\r{done} {model._meta.verbose_name_plural}", ending="")
                    self.stdout.flush()
            start = "\r" if self.stdout.isatty() else ""
            self.stdout.write(f"{start}{done} {model._meta.verbose_name_plural}")
