"""Make the secret files that docker-compose.yml names, each once and together: passwords fit the addresses.

The folder is its owner's alone (0700), which keeps everybody else on the machine out. The files in it may be read by
all (0444), because a container engine mounts each by itself and the processes inside run as other users.

Invariants: the folder is complete or absent; an existing one is never written to.
"""

import argparse
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from idp import embedded


class Command(BaseCommand):
    help = "Make a folder with the secrets that docker-compose.yml names."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--to", required=True, type=Path, help="the new folder, such as deploy/secrets")

    def handle(self, *, to: Path, **options: Any) -> None:
        if to.exists():
            raise CommandError(
                f"{to} is there already, and a database may depend on it: choose a new folder."
            )
        try:
            unfinished = Path(tempfile.mkdtemp(prefix=".secrets-", dir=to.absolute().parent))
            for name, value in deployment_secrets().items():
                embedded.write_secret(unfinished / name, value)
                (unfinished / name).chmod(0o444)
            os.rename(unfinished, to)
        except OSError as error:
            raise CommandError(f"{to} cannot be made: {error.strerror}.") from error
        self.stdout.write(f"Made {to}. Keep a copy of it away from this machine and apart from the backups.")


def deployment_secrets() -> dict[str, str]:
    """Return new random secrets by the names of docker-compose.yml."""
    owner, application, superuser, queue, cache = (secrets.token_urlsafe(32) for _ in range(5))
    return {
        **{name.lower(): value for name, value in embedded.fresh_secrets().items()},
        "postgres_password": superuser,
        "database_owner_password": owner,
        "database_password": application,
        "database_owner_url": f"postgresql://wardkey_owner:{owner}@database:5432/wardkey",
        "database_url": f"postgresql://wardkey:{application}@database:5432/wardkey",
        "redis_queue_auth": f"requirepass {queue}",
        "redis_cache_auth": f"requirepass {cache}",
        "celery_broker_url": f"redis://:{queue}@queue:6379/0",
        "redis_url": f"redis://:{cache}@cache:6379/0",
    }
