"""What the management commands share: who acts, and how the ledger sees a command.

A command is a door to an operation like a button; the person who runs it names the account that acts (`--by`), and the
ledger also keeps which command it was and which account of the operating system ran it.
"""

import getpass
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from accounts.models import User
from audit import context


@contextmanager
def acting_in_shell(command: str) -> Iterator[None]:
    """Give the ledger the context of a command."""
    with context.use(
        context.Context(request_id=str(uuid.uuid4()), user_agent=f"manage.py {command} ({_os_user()})")
    ):
        yield


def find_user(username: str) -> User:
    """Return the user of a username. Raises CommandError."""
    user = User.objects.filter(username=User.normalize_username(username)).first()
    if user is None:
        raise CommandError("There is no user with that username.")
    return user


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "unnamed"
