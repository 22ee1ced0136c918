"""The application's own database role: enough for its whole work, nothing that changes the ledger."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import current_app as app
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection
from django.test import Client as Browser
from django.utils import timezone

from audit import database_role, ledger
from audit.events import EventType
from audit.models import Event
from tests.people import PASSWORD, SCOPES, People
from tokens import keys

JSON = "application/json"
REFUSED_STATEMENTS = [
    "UPDATE audit_event SET reason = 'another'",
    "UPDATE audit_event SET leaf = leaf WHERE false",
    "DELETE FROM audit_event",
    "DELETE FROM audit_event WHERE false",
    "TRUNCATE audit_event",
    "ALTER TABLE audit_event DISABLE TRIGGER ALL",
    "ALTER TABLE audit_event DISABLE TRIGGER audit_event_no_change",
    "DROP TRIGGER audit_event_no_change ON audit_event",
    "DROP TRIGGER audit_event_no_truncate ON audit_event",
    "DROP TABLE audit_event",
    "CREATE RULE forget AS ON INSERT TO audit_event DO INSTEAD NOTHING",
    "CREATE TRIGGER mine BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION audit_event_append_only()",
    "ALTER TABLE audit_event OWNER TO CURRENT_USER",
    "CREATE OR REPLACE FUNCTION audit_event_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DROP FUNCTION audit_event_append_only() CASCADE",
    "SET session_replication_role = replica",
    "CREATE TABLE mine (id integer)",
    "ALTER SEQUENCE audit_event_id_seq RESTART",
    "DELETE FROM django_migrations",
]


@pytest.fixture
def role(transactional_db: None) -> Iterator[str]:
    """An ordinary role of this test, which can log in and nothing else."""
    name = f"wardkey_app_{secrets.token_hex(4)}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'not a secret'")
    yield name
    with connection.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {name}")
        cursor.execute(f"DROP ROLE {name}")


@contextmanager
def connected_as(role: str) -> Iterator[None]:
    """Let Django connect as this role: a login of its own, and not SET ROLE, which could be taken back."""
    owner = dict(connection.settings_dict)
    connection.close()
    connection.close_pool()
    connection.settings_dict.update(USER=role, PASSWORD="not a secret")
    try:
        yield
    finally:
        connection.close()
        connection.close_pool()
        connection.settings_dict.update(USER=owner["USER"], PASSWORD=owner["PASSWORD"])


def post(path: str, bearer: str = "", **body: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    answer = Browser().post(f"/api/token/{path}", body, content_type=JSON, headers=headers)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


# --- Refusals -----------------------------------------------------------------------------------------------------
@pytest.mark.postgresql
@pytest.mark.parametrize("statement", REFUSED_STATEMENTS)
def test_the_application_cannot_change_the_ledger(role: str, statement: str) -> None:
    ledger.record(EventType.LEDGER_READ, now=timezone.now())
    call_command("restrict_database_role", role, verbosity=0)
    before = Event.objects.count()
    with connected_as(role), connection.cursor() as cursor:
        with pytest.raises(ProgrammingError) as refusal:
            cursor.execute(statement)
        # 42501: insufficient privilege; the triggers would answer too, but only the owner's mistakes reach them.
        assert getattr(refusal.value.__cause__, "sqlstate", "") == "42501"
        cursor.execute("SELECT count(*) FROM audit_event")
        assert cursor.fetchone()[0] == before > 1


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "grant", ["GRANT {owner} TO {role}", "ALTER ROLE {role} SUPERUSER", "ALTER ROLE {role} CREATEROLE"]
)
def test_a_role_that_could_take_the_privileges_back_is_refused(role: str, grant: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'audit_event'")
        cursor.execute(grant.format(role=role, owner=cursor.fetchone()[0]))
    with pytest.raises(CommandError, match="role of its own"):
        call_command("restrict_database_role", role, verbosity=0)
    assert not Event.objects.filter(event=EventType.DATABASE_ROLE_RESTRICTED).exists()


@pytest.mark.postgresql
def test_privileges_inherited_from_another_role_are_noticed_and_nothing_has_changed(role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT pg_write_all_data TO {role}")
    with pytest.raises(CommandError, match="UPDATE, DELETE"):
        call_command("restrict_database_role", role, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(f"REVOKE pg_write_all_data FROM {role}")
        cursor.execute("SELECT has_table_privilege(%s, 'audit_event', 'INSERT')", [role])
        assert cursor.fetchone()[0] is False


@pytest.mark.postgresql
def test_an_unknown_role_is_one_sentence(transactional_db: None) -> None:
    with pytest.raises(CommandError, match="no database role"):
        call_command("restrict_database_role", 'nobody"; DROP TABLE audit_event; --', verbosity=0)


def test_sqlite_has_no_roles(db: None) -> None:
    if connection.vendor == "sqlite":
        with pytest.raises(CommandError, match="Only PostgreSQL"):
            call_command("restrict_database_role", "wardkey", verbosity=0)


# --- What works ---------------------------------------------------------------------------------------------------
@pytest.mark.postgresql
def test_privileges_granted_earlier_are_taken_away(role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT ALL ON audit_event TO {role}; GRANT UPDATE (reason) ON audit_event TO {role}")
        cursor.execute("GRANT DELETE ON audit_event TO PUBLIC")
    assert "UPDATE" in database_role.unwanted_privileges(role)
    call_command("restrict_database_role", role, verbosity=0)
    assert database_role.unwanted_privileges(role) == []


@pytest.mark.postgresql
def test_restricting_is_in_the_ledger_and_may_be_repeated(role: str) -> None:
    for times in (1, 2):
        call_command("restrict_database_role", role, verbosity=0)
        entries = Event.objects.filter(event=EventType.DATABASE_ROLE_RESTRICTED, object_repr=role)
        assert entries.count() == times


@pytest.mark.postgresql
def test_the_whole_token_path_and_the_portal_work_as_the_restricted_role(
    role: str, people: People, signing_keys: None
) -> None:
    call_command("restrict_database_role", role, verbosity=0)
    with connected_as(role):
        base = post("", username="okafor", password=PASSWORD)
        base = post("refresh/", refresh=base["refresh"])
        patient = post(
            "patient/",
            base["access"],
            patient=str(people.rosa.pk),
            purpose_of_use="TREAT",
            scope=SCOPES,
        )
        post("verify/", token=patient["access"])
        post("revoke/", token=base["refresh"])
        keys.rotate(now=timezone.now(), hurry=True)
        for username, page in (("sam", "/admin/accounts/user/"), ("ines", "/admin/audit/event/")):
            browser = Browser()
            browser.post("/account/login/", {"login": username, "password": PASSWORD})
            assert browser.get(page).status_code == 200
        app.loader.import_default_modules()
        for task in settings.CELERY_BEAT_SCHEDULE:
            app.tasks[task]()
    seen = set(Event.objects.values_list("event", flat=True))
    assert {EventType.BASE_TOKEN_ISSUED, EventType.TOKEN_REFRESHED, EventType.PATIENT_TOKEN_ISSUED} <= seen
    assert {EventType.REFRESH_FAMILY_REVOKED, EventType.SIGNING_KEY_CREATED, EventType.SIGN_IN} <= seen
