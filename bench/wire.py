"""A loopback proxy that counts what crosses PostgreSQL's wire: statements, round trips and commits.

Counting here needs nothing of the program under test, neither its framework nor its settings, and nothing of
the server (pg_stat_statements must be preloaded, which a bench has no business to ask for). It is used in a
pass of its own, never while time is measured.

- statement: a Query or Execute message whose text is not empty and is not BEGIN, COMMIT or the like;
- round trip: a ReadyForQuery message, so BEGIN, COMMIT and a pool's empty check query count, and a pipeline
  counts once;
- commit: a transaction that ended well after a statement that writes.

Source: PostgreSQL's documentation, "Frontend/Backend Protocol", Message Formats.
"""

from __future__ import annotations

import asyncio
import re
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
TRANSACTION_CONTROL = re.compile(
    r"\s*(BEGIN|COMMIT|ROLLBACK|START TRANSACTION|SAVEPOINT|RELEASE)\b", re.IGNORECASE
)
WRITES = re.compile(r"\b(INSERT\s+INTO|DELETE\s+FROM|UPDATE\s+\S+(\s+AS)?(\s+\w+)?\s+SET)\b", re.IGNORECASE)


@dataclass
class Counts:
    """What has crossed the wire so far."""

    statements: int = 0
    round_trips: int = 0
    commits: int = 0
    texts: list[str] = field(default_factory=list)


@dataclass
class Session:
    """What one connection's messages refer to: prepared statements, portals, the transaction under way."""

    statements: dict[bytes, str] = field(default_factory=dict)
    portals: dict[bytes, str] = field(default_factory=dict)
    writing: bool = False
    failed: bool = False


Note = Callable[[bytes, bytes, Session], None]  # message type, its payload, the connection it crossed


def zero_terminated(payload: bytes, start: int = 0) -> tuple[bytes, int]:
    """Return the C string at `start` and the position after its zero byte."""
    end = payload.index(0, start)
    return payload[start:end], end + 1


class CountingProxy:
    """Listens on `port`, forwards to PostgreSQL, counts; runs in a thread of its own until `stop()`."""

    def __init__(self, host: str, port: int) -> None:
        """Start listening; `host` (a name, or a socket's folder) and `port` are the real server's."""
        self._upstream = (host, port)
        self._counts = Counts()
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        )
        self._listener = started.result(10)
        self.port: int = self._listener.sockets[0].getsockname()[1]

    def reset(self) -> Counts:
        """Return the counts and start again from zero."""
        with self._lock:
            counts, self._counts = self._counts, Counts()
        return counts

    def stop(self) -> None:
        """Stop listening and end the thread."""
        self._loop.call_soon_threadsafe(self._listener.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        session = Session()
        try:
            server, to_server = await self._connect()
            to_server.write(await self._startup(client, to_client))
            await asyncio.gather(
                self._pump(client, to_server, session, self._from_client),
                self._pump(server, to_client, session, self._from_server),
            )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            to_client.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._upstream
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _startup(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> bytes:
        """Decline encryption (the proxy must read) and return the startup message."""
        while True:
            length = await client.readexactly(4)
            rest = await client.readexactly(struct.unpack("!I", length)[0] - 4)
            if struct.unpack("!I", rest[:4])[0] not in (SSL_REQUEST, GSS_REQUEST):
                return length + rest
            to_client.write(b"N")

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, session: Session, note: Note
    ) -> None:
        try:
            while True:
                head = await source.readexactly(5)
                payload = await source.readexactly(struct.unpack("!I", head[1:])[0] - 4)
                with self._lock:
                    note(head[:1], payload, session)
                sink.write(head + payload)
        finally:
            sink.close()

    def _from_client(self, kind: bytes, payload: bytes, session: Session) -> None:
        if kind == b"Q":
            self._note(zero_terminated(payload)[0].decode(errors="replace"), session)
        elif kind == b"P":
            name, position = zero_terminated(payload)
            session.statements[name] = zero_terminated(payload, position)[0].decode(errors="replace")
        elif kind == b"B":
            portal, position = zero_terminated(payload)
            session.portals[portal] = session.statements.get(zero_terminated(payload, position)[0], "?")
        elif kind == b"E":
            self._note(session.portals.get(zero_terminated(payload)[0], "?"), session)

    def _note(self, text: str, session: Session) -> None:
        self._counts.texts.append(" ".join(text.split()))
        if text and not TRANSACTION_CONTROL.match(text):
            self._counts.statements += 1
        session.writing = session.writing or bool(WRITES.search(text))

    def _from_server(self, kind: bytes, payload: bytes, session: Session) -> None:
        if kind == b"E" or (kind == b"C" and payload.startswith(b"ROLLBACK")):
            session.failed = True
        elif kind == b"Z":
            self._counts.round_trips += 1
            if payload == b"I":  # idle: no transaction is open any more
                self._counts.commits += session.writing and not session.failed
                session.writing = session.failed = False
