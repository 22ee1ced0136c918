"""The triggers that keep the ledger append-only: no UPDATE, no DELETE, no TRUNCATE, whoever asks.

They stop the application, a shell and a mistake. Who owns the database can drop them; that is what sealing with a key
outside the database is for. In production the application's role does not own the table and holds INSERT and SELECT
alone (`manage.py restrict_database_role`).
"""

from typing import Any

REFUSAL = "the ledger is append-only"
FUNCTION = f"""
CREATE FUNCTION audit_event_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$
"""
SQLITE = "CREATE TRIGGER audit_event_no_{verb} BEFORE {verb} ON audit_event BEGIN SELECT RAISE(ABORT, '{why}'); END"
NO_CHANGE = """
CREATE TRIGGER audit_event_no_change BEFORE UPDATE OR DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_event_append_only()
"""
NO_TRUNCATE = """
CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_append_only()
"""
CREATE = {
    "sqlite": tuple(SQLITE.format(verb=verb, why=REFUSAL) for verb in ("update", "delete")),
    "postgresql": (
        FUNCTION,
        NO_CHANGE,
        NO_TRUNCATE,
        # ALWAYS: also for a session that replays as a replica (session_replication_role).
        "ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_no_change",
        "ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_no_truncate",
    ),
}
DROP = {
    "sqlite": ("DROP TRIGGER audit_event_no_update", "DROP TRIGGER audit_event_no_delete"),
    "postgresql": (
        "DROP TRIGGER audit_event_no_change ON audit_event",
        "DROP TRIGGER audit_event_no_truncate ON audit_event",
        "DROP FUNCTION audit_event_append_only()",
    ),
}
# SQLite's REPLACE removes the row in its way without asking the trigger that refuses DELETE.
NO_REPLACE = f"""
CREATE TRIGGER audit_event_no_replace BEFORE INSERT ON audit_event
WHEN EXISTS (SELECT 1 FROM audit_event WHERE id = NEW.id OR event_id = NEW.event_id)
BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END
"""  # noqa: S608 (no input)


def install(apps: Any, schema_editor: Any) -> None:
    """Create the triggers; for a migration."""
    for statement in CREATE[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def remove(apps: Any, schema_editor: Any) -> None:
    """Drop the triggers; for a migration that goes backwards."""
    for statement in DROP[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def refuse_replacing(apps: Any, schema_editor: Any) -> None:
    """Create the trigger against REPLACE where there is such a statement; for a migration."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(NO_REPLACE)


def allow_replacing(apps: Any, schema_editor: Any) -> None:
    """Drop it again; for a migration that goes backwards."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER audit_event_no_replace")
