"""The ledger: one INSERT, a leaf that can be computed again, text that cannot keep an entry out, and no way back."""

import datetime
import hashlib
import sqlite3
import uuid
from typing import Any

import pytest
import rfc8785
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import context, ledger
from audit.append_only import REFUSAL
from audit.events import EventType, Outcome
from audit.models import Event
from tests.people import People

pytestmark = pytest.mark.django_db
READ = EventType.LEDGER_READ
EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


def recorded(**said: Any) -> Event:
    """Record something and return the entry as the database gives it back."""
    return Event.objects.get(event_id=ledger.record(READ, **said))


def test_an_entry_is_one_statement(django_assert_num_queries: Any, people: People) -> None:
    with django_assert_num_queries(1) as captured:
        ledger.record(READ, by=people.ines, obj=people.rosa, changes={"a": ["", "b"]}, details={"page": 1})
    assert captured[0]["sql"].startswith("INSERT INTO audit_event")


def test_an_entry_says_who_did_what_to_what_and_when(people: People) -> None:
    now = datetime.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=datetime.UTC)
    asking = context.Context(
        actor_ref="somebody else", client_ref="app", session_ref="session", request_id="r-1",
        remote_addr="192.0.2.7", user_agent="Firefox",
    )  # fmt: skip
    with context.use(asking):
        entry = recorded(
            by=people.ines, obj=people.lind, object_label="lind", patient=str(people.rosa.pk), outcome=Outcome.REFUSED,
            action=1, jti="j", purpose_of_use="TREAT", basis="care_team:t", reason_code="c", reason="r",
            changes={"state": ["a", "b"]}, details={"n": 1}, now=now,
        )  # fmt: skip
    assert (entry.actor_ref, entry.actor_label) == (str(people.ines.pk), "ines")
    assert (entry.object_type, entry.object_pk, entry.object_repr) == (
        "accounts.User",
        str(people.lind.pk),
        "lind",
    )
    assert (entry.client_ref, entry.session_ref, entry.request_id) == ("app", "session", "r-1")
    assert (entry.remote_addr, entry.user_agent) == ("192.0.2.7", "Firefox")
    assert (entry.recorded_at, entry.outcome, entry.action) == (now, Outcome.REFUSED, 1)
    assert (entry.jti, entry.purpose_of_use, entry.basis) == ("j", "TREAT", "care_team:t")
    assert (entry.reason_code, entry.reason, entry.patient_ref) == ("c", "r", str(people.rosa.pk))
    assert (entry.changes, entry.additional_data) == ({"state": ["a", "b"]}, {"n": 1})


def test_the_context_names_the_actor_where_nobody_else_does(people: People) -> None:
    with context.acting(people.sam):
        assert recorded().actor_label == "sam"
    assert recorded().actor_ref == ""


NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
ADDRESSES = st.none() | st.ip_addresses().map(str) | st.sampled_from(
    ["::ffff:192.0.2.1", "::ffff:c000:201", "fe80::1%eth0", "2001:DB8::1", "0:0:0:0:0:0:0:1", "no address", ""]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    text=ANY_TEXT,
    details=st.dictionaries(NAMES, JSON | ANY_TEXT, max_size=4),
    address=ADDRESSES,
    now=st.integers(0, 2**52).map(lambda number: EPOCH + datetime.timedelta(microseconds=number)),
)
def test_whatever_text_comes_the_stored_row_gives_the_same_leaf_again(
    text: str, details: dict[str, Any], address: str | None, now: datetime.datetime, db: None
) -> None:
    with context.use(
        context.Context(remote_addr=address, user_agent=text, actor_label=text, request_id=text)
    ):
        entry = recorded(
            reason=text, reason_code=text, object_label=text, jti=text, patient=text, basis=text, purpose_of_use=text,
            client=text, session=text, details=details, changes={"x": [text, None]}, now=now,
        )  # fmt: skip
    assert ledger.leaf_of(entry) == bytes(entry.leaf)
    assert bytes(entry.leaf) == leaf_by_a_general_encoder(entry)


def leaf_by_a_general_encoder(entry: Event) -> bytes:
    """Return the leaf by rfc8785, which knows every case of the RFC."""
    values = {name: getattr(entry, name) for name in ledger.FIELDS_V1}
    values["event_id"] = str(entry.event_id)
    values["recorded_at"] = entry.recorded_at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return hashlib.sha256(b"\0" + rfc8785.dumps(values)).digest()


@pytest.mark.parametrize("offset", [0, 330, -480])
def test_the_leaf_does_not_depend_on_a_time_zone(offset: int) -> None:
    zone = datetime.timezone(datetime.timedelta(minutes=offset))
    now = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    entry = recorded(now=now.astimezone(zone))
    assert entry.recorded_at == now
    assert ledger.leaf_of(entry) == bytes(entry.leaf)


def test_the_leaf_of_a_known_entry_never_changes() -> None:
    """A change here would break every stored leaf. The form is written out, so that no library vouches for itself."""
    values: dict[str, Any] = dict.fromkeys(ledger.FIELDS_V1, "")
    values |= {
        "event_id": uuid.UUID(int=1), "version": 1, "outcome": 0, "action": 3, "event": "audit:event:read",
        "recorded_at": datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC), "remote_addr": None,
        "changes": {"b": ["", "é"], "a": [1, True]}, "additional_data": None,
    }  # fmt: skip
    written_out = (
        '{"action":3,"actor_label":"","actor_ref":"","additional_data":null,"basis":"",'
        '"changes":{"a":[1,true],"b":["","é"]},"client_ref":"","event":"audit:event:read",'
        '"event_id":"00000000-0000-0000-0000-000000000001","jti":"","object_pk":"","object_repr":"","object_type":"",'
        '"outcome":0,"patient_ref":"","purpose_of_use":"","reason":"","reason_code":"",'
        '"recorded_at":"2026-01-02T03:04:05.000006Z","remote_addr":null,"request_id":"","session_ref":"",'
        '"user_agent":"","version":1}'
    )
    assert hashlib.sha256(b"\0" + written_out.encode()).hexdigest() == KNOWN_LEAF
    assert ledger.leaf_hash(values).hex() == KNOWN_LEAF
    for name in ledger.FIELDS_V1:
        assert ledger.leaf_hash({**values, name: "x"}).hex() != KNOWN_LEAF, name


KNOWN_LEAF = "f86a5c1ad3a3e9c96b230eabd870523b554c058b1d0fde9d1eec5a28351cf46c"


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), 1.5, float("nan"), b"x", uuid.uuid4(), timezone.now(), {1, 2}]
)
def test_what_would_not_come_back_exactly_is_refused_before_anything_is_written(value: object) -> None:
    with pytest.raises(ValueError, match="give it as text"):
        ledger.record(READ, details={"nested": [{"n": value}]})
    assert not Event.objects.filter(event=READ).exists()


@pytest.mark.parametrize("name", ["é", "\x00", 1, None])
def test_a_name_that_is_not_ours_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        ledger.record(READ, details={"nested": {name: ""}})
    assert not Event.objects.filter(event=READ).exists()


def attempts() -> list[str]:
    verbs = [
        "UPDATE audit_event SET reason = 'x'",
        "DELETE FROM audit_event",
        "UPDATE audit_event SET id = id + 1",
    ]
    if connection.vendor == "postgresql":
        return [*verbs, "TRUNCATE audit_event", "TRUNCATE audit_event CASCADE"]
    rows = "INTO audit_event SELECT * FROM audit_event"
    return [*verbs, f"REPLACE {rows}", f"INSERT OR REPLACE {rows}"]


def test_no_statement_changes_or_removes_an_entry() -> None:
    key = ledger.record(READ, reason="before")
    for statement in attempts():
        with pytest.raises(DatabaseError, match=REFUSAL), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert Event.objects.get(event_id=key).reason == "before"


def test_the_orm_neither_changes_nor_removes_an_entry() -> None:
    entry = recorded(reason="before")
    entry.reason = "after"
    for act in (
        entry.save,
        entry.delete,
        lambda: Event.objects.update(reason="after"),
        lambda: Event.objects.all().delete(),
        lambda: Event.objects.bulk_update([entry], ["reason"]),
        lambda: Event.objects.filter(pk=entry.pk).update(leaf=b""),
    ):
        with pytest.raises(DatabaseError, match=REFUSAL), transaction.atomic():
            act()
    assert Event.objects.get(pk=entry.pk).reason == "before"


@pytest.mark.postgresql
def test_a_session_that_calls_itself_a_replica_changes_nothing_either() -> None:
    ledger.record(READ)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        with pytest.raises(DatabaseError, match=REFUSAL):
            cursor.execute("DELETE FROM audit_event")


def test_auditlogs_own_flush_does_not_get_past_the_triggers() -> None:
    key = ledger.record(READ)
    with pytest.raises((DatabaseError, CommandError)), transaction.atomic():
        call_command("auditlogflush", "--yes", verbosity=0)
    assert Event.objects.filter(event_id=key).exists()


@pytest.mark.django_db(transaction=True)
def test_the_triggers_go_and_come_back_with_their_migration() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate([("audit", "0001_initial")])
    try:
        Event.objects.update(reason="possible only without the triggers")
    finally:
        MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())
    ledger.record(READ)
    with pytest.raises(DatabaseError, match=REFUSAL):
        Event.objects.update(reason="x")


def test_an_entry_has_no_relation_to_anything() -> None:
    """What happens later to a user or a patient must not be able to rewrite or remove an entry."""
    assert not [field.name for field in Event._meta.get_fields() if field.is_relation]


def test_an_entry_with_the_same_id_is_refused() -> None:
    entry = recorded()
    with pytest.raises(DatabaseError), transaction.atomic():
        Event.objects.bulk_create([Event(event_id=entry.event_id, event=READ, leaf=b"")])


def test_sqlite_is_new_enough_for_what_the_floors_use() -> None:
    assert sqlite3.sqlite_version_info >= (3, 35)  # RETURNING
