"""Find the running server and the demonstration's cast, or say in one sentence what is missing."""

import contextlib
import fcntl
import json
import os
import shlex
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError

from accounts.models import Patient, User
from idp import demo
from idp.story.acts import Stage
from idp.story.wire import App, StoryBroken
from tokens.models import SigningKey

SOMEBODY_ELSES_PATIENT = "patient-8"  # neither on the ward nor granted to Dr Okafor


def find() -> Stage:
    """Return the stage of the data folder. Raises StoryBroken."""
    folder = Path(settings.DATA_DIR)
    address, passwords, rosa_id, other_id = _credentials(folder)
    app = App(address, "wardkey-demo")
    option = "" if folder == settings.BASE_DIR / ".local" else f" --data-dir {shlex.quote(str(folder))}"
    try:
        published = app.get("/.well-known/jwks.json").body.get("keys")
    except StoryBroken as error:
        raise StoryBroken(f"{error} Start it first: python3 manage.py up{option}") from error
    try:
        ours = set(SigningKey.objects.values_list("kid", flat=True))
        keys = published if isinstance(published, list) else []
        if not ours & {str(key.get("kid")) for key in keys if isinstance(key, dict)}:
            raise StoryBroken(
                f"The server at {address} does not run on {folder}: set WARDKEY_DATA_DIR to its folder."
            )
        people = {user.username: user for user in User.objects.filter(username__in=passwords)}
        patients = Patient.objects.in_bulk([rosa_id, other_id])
    except DatabaseError as error:
        raise StoryBroken(f"The database of {folder} cannot be read: {error}.") from error
    if app.get("/fhir/metadata").body.get("resourceType") != "CapabilityStatement":
        raise StoryBroken(
            f"The server at {address} runs without the demonstration: start it without --no-demo."
        )
    if len(patients) != 2 or not {each.username for each in demo.CAST} <= people.keys():
        raise StoryBroken(
            f"The database of {folder} lacks people of the demonstration: start the server again."
        )
    return Stage(address, passwords, people, patients[rosa_id], patients[other_id])


@contextlib.contextmanager
def to_ourselves(say: Callable[[str], object]) -> Iterator[None]:
    """Have the stage alone: a second story would find Rosa's grant revoked by the first. Says so when it must wait."""
    descriptor = os.open(Path(settings.DATA_DIR) / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another demonstration is running here; waiting for it to end.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _credentials(folder: Path) -> tuple[str, dict[str, str], uuid.UUID, uuid.UUID]:
    """Return the server's address, the passwords by username, and the ids of Rosa and of somebody else's patient."""
    path = folder / demo.CREDENTIALS
    try:
        known = json.loads(path.read_text())
        passwords = {str(name): str(account["password"]) for name, account in known["accounts"].items()}
        rosa, other = (uuid.UUID(known["patients"][key]) for key in ("rosa", SOMEBODY_ELSES_PATIENT))
        return urlsplit(known["issuer"]).geturl(), passwords, rosa, other
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoryBroken(
            f"There is no demonstration in {folder}: run python3 manage.py up, or set WARDKEY_DATA_DIR to its folder."
        ) from error
    except OSError as error:
        raise StoryBroken(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoryBroken(f"{path} is damaged: remove it, and manage.py up makes it anew.") from error
