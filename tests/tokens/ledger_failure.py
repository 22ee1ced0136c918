"""A ledger that really refuses: a trigger in the test's own database turns away every INSERT."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

SQLITE = "CREATE TRIGGER no_insert BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'disk full'); END"
FUNCTION = """CREATE FUNCTION no_insert() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = 'disk_full'; END $$"""
TRIGGER = "CREATE TRIGGER no_insert BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION no_insert()"


@contextmanager
def failing_ledger() -> Iterator[None]:
    """Let no entry be written until the block ends."""
    with connection.cursor() as cursor:
        for statement in [SQLITE] if connection.vendor == "sqlite" else [FUNCTION, TRIGGER]:
            cursor.execute(statement)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("DROP TRIGGER no_insert")
            else:
                cursor.execute("DROP TRIGGER no_insert ON audit_event")
                cursor.execute("DROP FUNCTION no_insert()")
