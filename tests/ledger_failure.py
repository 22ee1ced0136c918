"""A ledger that really refuses: a trigger in the test's own database turns away every INSERT."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

REFUSAL = "the ledger takes no entry"
FUNCTION = f"""
CREATE FUNCTION failing_ledger() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'disk_full'; END $$
"""
CREATE = {
    "sqlite": (
        f"CREATE TRIGGER failing_ledger BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
    ),
    "postgresql": (
        FUNCTION,
        "CREATE TRIGGER failing_ledger BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION failing_ledger()",
    ),
}
DROP = {
    "sqlite": ("DROP TRIGGER failing_ledger",),
    "postgresql": ("DROP TRIGGER failing_ledger ON audit_event", "DROP FUNCTION failing_ledger()"),
}


@contextmanager
def failing_ledger() -> Iterator[None]:
    """Let no entry be written until the block ends."""
    _execute(CREATE[connection.vendor])
    try:
        yield
    finally:
        _execute(DROP[connection.vendor])


def _execute(statements: tuple[str, ...]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
