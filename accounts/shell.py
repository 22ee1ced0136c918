"""What the management commands share: who acts, and how the ledger sees a command.

A command is a door to an operation like a button; the person who runs it names the account that acts (`--by`), and the
ledger also keeps which command it was and which account of the operating system ran it: the operator of the machine,
whose part nobody can play from the portal.
"""

import getpass
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from accounts.models import Role, User
from audit import context


@contextmanager
def acting_in_shell(command: str) -> Iterator[None]:
    """Give the ledger the context of a command."""
    with context.use(
        context.Context(request_id=str(uuid.uuid4()), user_agent=f"manage.py {command} ({operator()})")
    ):
        yield


def find_user(username: str) -> User:
    """Return the user of a username. Raises CommandError."""
    user = User.objects.filter(username=User.normalize_username(username)).first()
    if user is None:
        raise CommandError("There is no user with that username.")
    return user


def find_role(code: str) -> Role:
    """Return the role of a code. Raises CommandError."""
    role = Role.objects.filter(code=code).first()
    if role is None:
        known = ", ".join(Role.objects.values_list("code", flat=True))
        raise CommandError(f"There is no such role; there are: {known}.")
    return role


def ask_password(*, from_stdin: bool) -> str:
    """Return one line of standard input, or ask twice at the terminal.

    Raises CommandError when the two differ or nobody can be asked.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise CommandError("Nobody can be asked for the password: use --password-stdin.")
    password = getpass.getpass("Password (15 characters or more): ")
    if password != getpass.getpass("Password again: "):
        raise CommandError("The two passwords differ.")
    return password


def operator() -> str:
    """Return the account of the operating system that runs this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "unnamed"
