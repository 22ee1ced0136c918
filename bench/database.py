"""A database for each site, on the PostgreSQL that DATABASE_URL names (or the one on 127.0.0.1:5432).

The server's own settings are measured as they are, and the run stops when it would not wait for the disk:
`synchronous_commit` off would make every number here worthless.
"""

from __future__ import annotations

import os
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench.machine import cpu_seconds

DEFAULT_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Unusable(Exception):
    """The PostgreSQL server cannot be measured; the message is one sentence for the terminal."""


class PostgreSQL:
    """The server under measurement: makes and drops databases, knows its own version."""

    def __init__(self, *, durable: bool) -> None:
        """Read DATABASE_URL; raise Unusable unless it is a PostgreSQL on this machine that answers.

        With `durable` it must also wait for its disk; only a run that publishes nothing may do without.
        """
        url = os.environ.get("DATABASE_URL", "")
        if not url.startswith(("postgres://", "postgresql://")):
            url = DEFAULT_URL
        self._parameters = {
            key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None
        }
        self.host = self._parameters.get("host", "127.0.0.1")
        self.port = int(self._parameters.get("port", "5432"))
        if self.host not in LOOPBACK and not self.host.startswith("/"):
            raise Unusable(f"The bench drives servers on this machine only: DATABASE_URL names {self.host}.")
        try:
            with self.connect() as connection:
                self.version = (
                    f"{connection.info.server_version // 10000}.{connection.info.server_version % 10000}"
                )
                commits = connection.execute("SHOW synchronous_commit").fetchone()
        except psycopg.OperationalError as error:
            raise Unusable(
                f"No PostgreSQL answers on {self.host}:{self.port}: start one, or set DATABASE_URL "
                f"to a server whose role may create databases."
            ) from error
        if durable and commits != ("on",):
            raise Unusable("synchronous_commit is not on: set it, or the numbers mean nothing.")

    def connect(self, database: str = "") -> psycopg.Connection[tuple[object, ...]]:
        """Open an autocommit connection to `database`, or to the one DATABASE_URL names."""
        parameters = dict(self._parameters)
        if database:
            parameters["dbname"] = database
        return psycopg.connect(make_conninfo(**parameters), autocommit=True, connect_timeout=5)

    def create(self, name: str) -> Database:
        """Create the empty database `name`."""
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return Database(self, name)

    def url(self, name: str, port: int | None = None) -> str:
        """Return the URL of database `name`, reached through `port` when a counting proxy stands there."""
        user = quote(self._parameters.get("user", "postgres"), safe="")
        password = self._parameters.get("password")
        credentials = f"{user}:{quote(password, safe='')}" if password else user
        if port:
            return f"postgresql://{credentials}@127.0.0.1:{port}/{name}"
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        return f"postgresql://{credentials}@{host}:{self.port}/{name}"


class Database:
    """One scratch database; `drop()` ends its connections first."""

    def __init__(self, server: PostgreSQL, name: str) -> None:
        """Refer to the existing database `name` on `server`."""
        self.server = server
        self.name = name

    def url(self, port: int | None = None) -> str:
        """Return this database's URL (see PostgreSQL.url)."""
        return self.server.url(self.name, port)

    def execute(self, statements: str) -> None:
        """Run a script of statements without parameters."""
        with self.server.connect(self.name) as connection:
            connection.execute(statements.encode())

    def backend_cpu_seconds(self) -> dict[int, float]:
        """Return CPU seconds by backend pid; empty when the server's processes are not visible."""
        with self.server.connect() as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s", [self.name]
            ).fetchall()
        used = {int(str(pid)): cpu_seconds(int(str(pid)), "postgres") for (pid,) in rows}
        return {pid: seconds for pid, seconds in used.items() if seconds is not None}

    def drop(self) -> None:
        """Drop the database."""
        with self.server.connect() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.name))
            )
