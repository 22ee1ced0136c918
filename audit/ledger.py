"""record(): the only writer of the ledger.

Called as the last statement of each operation, inside its transaction: no entry, no act. One INSERT, no SELECT; the
leaf hash that sealing will use is computed here, over the canonical form of version 1 of the field list (RFC 8785,
RFC 6962 section 2.1: SHA-256 of 0x00 and the entry). Never give it a token, a password, a name or a record number.
"""

import datetime
import hashlib
import ipaddress
import json
import uuid
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.utils import timezone

from audit import context
from audit.context import Person
from audit.events import EventType, Outcome
from audit.models import Event

LEAF_PREFIX = b"\x00"
LARGEST_INTEGER = 2**53 - 1
FIELDS_V1 = (
    "event_id", "version", "recorded_at", "event", "outcome", "action", "actor_ref", "actor_label", "client_ref",
    "session_ref", "patient_ref", "object_type", "object_pk", "object_repr", "jti", "purpose_of_use", "basis",
    "reason_code", "reason", "request_id", "remote_addr", "user_agent", "changes", "additional_data",
)  # fmt: skip
COLUMNS = (*FIELDS_V1, "leaf")


def record(
    event: EventType,
    *,
    outcome: Outcome = Outcome.SUCCESS,
    by: Person | None = None,
    client: str = "",
    session: str = "",
    patient: str = "",
    obj: models.Model | None = None,
    object_label: str = "",
    action: int = Event.Action.ACCESS,
    jti: str = "",
    purpose_of_use: str = "",
    basis: str = "",
    reason_code: str = "",
    reason: str = "",
    changes: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
    now: datetime.datetime | None = None,
) -> uuid.UUID:
    """Insert one entry and return its event_id.

    Args:
        event: what happened.
        outcome: how it went.
        by: who did it; by default whoever the request was authenticated as.
        client, session, patient, jti: opaque ids, at most 64 characters.
        obj: the object acted on; its label ("accounts.User") and primary key are kept as text.
        changes: {field: [before, after]}, masked where the field holds PHI.
        details: strings, booleans, integers below 2^53, lists and mappings of them.
        reason: what a person typed; never leaves the server in a token, URL, log or e-mail.

    Text is bounded to its column and freed of what no database and no canonical form takes (NUL, lone surrogates), so
    that nothing somebody types or sends can keep an entry out. Raises ValueError for details that the canonical form
    does not keep exactly, and whatever the database raises: the caller's transaction must not survive a missing entry.
    """
    request = context.current()
    values: dict[str, Any] = {
        "event_id": uuid.uuid4(),
        "version": 1,
        "recorded_at": now or timezone.now(),
        "event": event.value,
        "outcome": int(outcome),
        "action": action,
        "actor_ref": str(by.pk) if by else request.actor_ref,
        "actor_label": by.get_username() if by else request.actor_label,
        "client_ref": client or request.client_ref,
        "session_ref": session or request.session_ref,
        "patient_ref": patient,
        "object_type": obj._meta.label if obj else "",
        "object_pk": str(obj.pk) if obj else "",
        "object_repr": object_label,
        "jti": jti,
        "purpose_of_use": purpose_of_use,
        "basis": basis,
        "reason_code": reason_code,
        "reason": reason,
        "request_id": request.request_id,
        "remote_addr": _address(request.remote_addr),
        "user_agent": request.user_agent,
        "changes": _exact(changes) if changes else None,
        "additional_data": _exact(details) if details else None,
    }
    database = connections[DEFAULT_DB_ALIAS]  # once: the proxy looks it up again for each attribute
    statement, texts, prepared = _insert_statement(database.vendor)
    for name, longest in texts.items():
        values[name] = _storable(values[name])[:longest]
    values["leaf"] = leaf_hash(values)
    parameters = values | {name: prepare(values[name], database) for name, prepare in prepared.items()}
    with database.cursor() as cursor:
        cursor.execute(statement, [parameters[name] for name in COLUMNS])
    event_id: uuid.UUID = values["event_id"]
    return event_id


def leaf_hash(values: Mapping[str, Any]) -> bytes:
    """Return the 32-byte leaf of an entry: SHA-256(0x00 ‖ canonical JSON of FIELDS_V1)."""
    entry = {name: values[name] for name in FIELDS_V1}
    return hashlib.sha256(LEAF_PREFIX + _CANONICAL_JSON.encode(entry).encode()).digest()


def leaf_of(event: Event) -> bytes:
    """Compute the leaf of a stored entry again, to compare it with the one that was stored."""
    return leaf_hash({name: getattr(event, name) for name in FIELDS_V1})


def _text(value: datetime.datetime | uuid.UUID) -> str:
    """Return the canonical text of what JSON has no form for."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(value)


# For what _exact() lets through (ASCII names; no fractions, no large integers) this is RFC 8785, at a fifth of the time
# of a general encoder; tests/audit/test_ledger.py holds it to one.
_CANONICAL_JSON = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), default=_text
)


def _storable(text: str) -> str:
    """Return the text with a replacement character for what cannot be stored or hashed."""
    if text.isascii():
        return text.replace("\x00", "\ufffd")
    return text.replace("\x00", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


@lru_cache(maxsize=4096)
def _address(text: str | None) -> str | None:
    """Return an IP address as every database gives it back: no zone, IPv4 where it is IPv4; None for anything else."""
    try:
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _exact(value: Any) -> Any:
    """Return a JSON value that comes back from every database as it went in. Raises ValueError."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) and name.isascii() and name.isprintable() for name in value):
            raise ValueError("names in the ledger are printable ASCII")
        return {str(name): _exact(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(held) for held in value]
    if isinstance(value, str):
        return _storable(str(value))
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) <= LARGEST_INTEGER):
        return value
    raise ValueError(f"the ledger keeps no {type(value).__name__} such as this one exactly; give it as text")


@cache
def _insert_statement(vendor: str) -> tuple[str, dict[str, int | None], dict[str, Callable[[Any, Any], Any]]]:
    """Return the statement, the lengths of its text columns, and what makes parameters of the other values."""
    fields: list[Any] = [Event._meta.get_field(name) for name in COLUMNS]
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    statement = f"INSERT INTO {Event._meta.db_table} ({names}) VALUES ({', '.join(['%s'] * len(fields))})"  # noqa: S608 (no input)
    texts = [field for field in fields if isinstance(field, models.CharField | models.TextField)]
    others = [field for field in fields if field not in texts and not isinstance(field, models.IntegerField)]
    return (
        statement,
        {field.name: field.max_length for field in texts},
        {field.name: field.get_db_prep_save for field in others},
    )
