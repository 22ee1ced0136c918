"""The application's own role in PostgreSQL: it writes the ledger, and cannot change or empty it.

Two roles share the work. The owner migrates and is used for nothing else; the application reads and writes rows, and
on the ledger's table holds INSERT and SELECT alone. So neither the application nor somebody who got hold of its
password can drop the triggers of audit.append_only, which only the owner of a table can.

Invariant: when restrict() has returned, the role cannot change the ledger by any privilege, its own or inherited.
PostgreSQL only; run as the owner, after each migrate, because a new table is granted to nobody.
"""

import datetime

from django.db import connection, transaction
from psycopg import sql

from audit import ledger
from audit.events import EventType
from audit.models import Event

UNWANTED = ("UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
BY_COLUMN = ("UPDATE", "REFERENCES")
GRANTS = (
    "REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC",  # PostgreSQL 14 and older let everybody make tables in public
    "REVOKE ALL ON SCHEMA {schema} FROM {role}",
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
    "REVOKE ALL ON {ledger}, {migrations} FROM {role}",
    "GRANT SELECT, INSERT ON {ledger} TO {role}",
    "GRANT SELECT ON {migrations} TO {role}",
    "REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM PUBLIC, {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
)
ROLE = """
SELECT rolsuper, rolcreaterole, rolreplication,
       pg_has_role(oid, (SELECT relowner FROM pg_class WHERE oid = %s::regclass), 'MEMBER')
  FROM pg_roles WHERE rolname = %s
"""


class CannotRestrict(Exception):
    """One sentence for the person at the terminal, who can do something about it."""


def restrict(role: str, *, now: datetime.datetime) -> None:
    """Grant the role what the application needs, and on the ledger nothing but INSERT and SELECT.

    Raises CannotRestrict, and then nothing has changed.
    """
    if connection.vendor != "postgresql":
        raise CannotRestrict("Only PostgreSQL has roles: set DATABASE_URL to the owner's address.")
    with transaction.atomic():
        _require_ordinary(role)
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            names = {
                "schema": sql.Identifier(cursor.fetchone()[0]),
                "role": sql.Identifier(role),
                "ledger": sql.Identifier(Event._meta.db_table),
                "migrations": sql.Identifier("django_migrations"),
            }
            for statement in GRANTS:
                cursor.execute(sql.SQL(statement).format(**names).as_string(cursor.connection))
        if left := unwanted_privileges(role):
            raise CannotRestrict(
                f"{role} can still {', '.join(left)} the ledger, through a role that it is a member of."
            )
        ledger.record(EventType.DATABASE_ROLE_RESTRICTED, object_label=role, now=now)


def unwanted_privileges(role: str) -> list[str]:
    """Return the privileges beyond INSERT and SELECT that the role has on the ledger, its own or inherited."""
    table = Event._meta.db_table
    with connection.cursor() as cursor:
        found = []
        for privilege in UNWANTED:
            kind = "any_column" if privilege in BY_COLUMN else "table"
            cursor.execute(f"SELECT has_{kind}_privilege(%s, %s, %s)", [role, table, privilege])
            found += [privilege] * cursor.fetchone()[0]
    return found


def _require_ordinary(role: str) -> None:
    """Raise CannotRestrict for a role that could give itself what is taken from it."""
    with connection.cursor() as cursor:
        cursor.execute(ROLE, [Event._meta.db_table, role])
        row = cursor.fetchone()
    if row is None:
        raise CannotRestrict(f"There is no database role {role}: make it with CREATE ROLE … LOGIN PASSWORD …")
    for has_it, what in zip(
        row,
        (
            "is a superuser",
            "may create roles",
            "may replicate",
            "owns the ledger or is a member of the role that does",
        ),
        strict=True,
    ):
        if has_it:
            raise CannotRestrict(f"{role} {what}: give the application a role of its own that cannot.")
