"""What a subject is: a site (a database and a server) and the requests driven at it.

`start()` makes the site, `prepare(n)` gives each of n lanes what its first request needs, `request(lane)`
and `accept(lane, ...)` are called by the load. Every answer is checked: status 200, an ES256 access token
other than the last answer's, and on a refresh a new refresh token, which is the one the lane presents next.
"""

from __future__ import annotations

import base64
import json
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.database import Database, PostgreSQL
from bench.load import WrongAnswer, connect, exchange, post
from bench.server import THREADS, Server

PROJECTS = Path(__file__).parent.parent / "projects"
Work = Literal["refresh", "patient", "insert"]


@dataclass(frozen=True)
class Workshop:
    """Where sites are built: the database server, a temporary folder, and a prefix for database names."""

    postgresql: PostgreSQL
    folder: Path
    prefix: str

    def write_signing_key(self) -> dict[str, str]:
        """Write a fresh P-256 key pair as PEM, once; return the environment that names it."""
        private, public = self.folder / "private.pem", self.folder / "public.pem"
        if not private.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            private.touch(mode=0o600)
            private.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
            public.write_bytes(
                key.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )
        return {"BENCH_PRIVATE_KEY": str(private), "BENCH_PUBLIC_KEY": str(public)}


class Site(ABC):
    """One project served by granian on a database of its own."""

    application: str

    def __init__(self, workshop: Workshop, name: str) -> None:
        """Name the site; nothing is made before `install()`."""
        self.workshop = workshop
        self.name = name
        self.folder = workshop.folder / name
        self._database: Database | None = None
        self._server: Server | None = None

    @property
    def database(self) -> Database:
        """The site's database, once installed."""
        assert self._database is not None
        return self._database

    @property
    def server(self) -> Server:
        """The site's server, once serving."""
        assert self._server is not None
        return self._server

    @property
    def port(self) -> int:
        """The port of the running server."""
        return self.server.port

    def environment(self, database_port: int | None = None) -> dict[str, str]:
        """Return the environment of the server and of the site's commands."""
        return {"DATABASE_URL": self.database.url(database_port), "PYTHONUNBUFFERED": "1"}

    @abstractmethod
    def lay_out(self) -> None:
        """Make the site's folder."""

    @abstractmethod
    def build(self) -> None:
        """Create tables and rows in the empty database."""

    def install(self) -> None:
        """Make the folder, the database and what belongs in it, unless that was done."""
        if self._database is None:
            self.lay_out()
            self._database = self.workshop.postgresql.create(f"{self.workshop.prefix}_{self.name}")
            self.build()

    def serve(self, database_port: int | None = None) -> None:
        """Start the server, unless it runs; `database_port` is the counting proxy's when one is used."""
        if self._server is None:
            log = self.workshop.folder / f"{self.name}.log"
            self._server = Server(self.application, self.folder, self.environment(database_port), log)

    def stop(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def remove(self) -> None:
        """End the server and drop the database."""
        self.stop()
        if self._database is not None:
            self._database.drop()
            self._database = None


class ScratchSite(Site):
    """A site whose project is one of `bench/projects/`, copied so that it sees nothing of this tree."""

    project: str

    def lay_out(self) -> None:
        """Copy the project."""
        shutil.copytree(PROJECTS / self.project, self.folder, ignore=shutil.ignore_patterns("__pycache__"))

    def environment(self, database_port: int | None = None) -> dict[str, str]:
        """Add the signing key, Django's secret and the number of database connections."""
        return {
            **super().environment(database_port),
            **self.workshop.write_signing_key(),
            "BENCH_SECRET_KEY": token_urlsafe(50),
            "BENCH_CONNECTIONS": str(THREADS),
        }


class Subject(ABC):
    """One kind of request on one site."""

    name: str
    work: Work
    path: str
    headers = ""  # of every request: whole lines ending in CRLF

    def __init__(self, site: Site) -> None:
        """Measure `site`."""
        self.site = site
        self._last_access: dict[int, str] = {}
        self._known_headers: set[str] = set()

    def start(self, database_port: int | None = None) -> None:
        """Install the site and serve it (see Site.serve)."""
        self.site.install()
        self.site.serve(database_port)

    @abstractmethod
    def prepare(self, lanes: int) -> None:
        """Give each lane what its first request needs."""

    @abstractmethod
    def request(self, lane: int) -> bytes:
        """Return the lane's next request."""

    def accept(self, lane: int, status: int, body: bytes) -> None:
        """Raise WrongAnswer unless the answer is a success with a new ES256 access token."""
        if status != 200:
            raise WrongAnswer(f"{self.name}: {status} {body[:300]!r}\n{self.site.server.last_words()}")
        fields = json.loads(body)
        access = fields["access"]
        if access == self._last_access.get(lane):
            raise WrongAnswer(f"{self.name}: the same access token twice")
        self._last_access[lane] = access
        header = access.partition(".")[0]
        if header not in self._known_headers:
            if json.loads(base64.urlsafe_b64decode(header + "=="))["alg"] != "ES256":
                raise WrongAnswer(f"{self.name}: an access token that is not ES256")
            self._known_headers.add(header)
        self.keep(lane, fields)

    @abstractmethod
    def keep(self, lane: int, fields: dict[str, Any]) -> None:
        """Keep what the lane's next request needs of this answer."""

    def ask(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        """POST one JSON object outside any measurement; return the answer's object."""
        with connect(self.site.port) as connection:
            status, answer = exchange(connection, post(path, json.dumps(body).encode(), self.headers))
        if status != 200:
            raise WrongAnswer(f"{self.name}: {path} answered {status} {answer[:300]!r}")
        fields: dict[str, Any] = json.loads(answer)
        return fields


class RefreshSubject(Subject):
    """A refresh: each consumes the token the last one returned."""

    work: Work = "refresh"

    def __init__(self, site: Site) -> None:
        """Start without tokens."""
        super().__init__(site)
        self.tokens: list[str] = []

    def request(self, lane: int) -> bytes:
        """Present the lane's current refresh token."""
        return post(self.path, b'{"refresh":"%s"}' % self.tokens[lane].encode(), self.headers)

    def keep(self, lane: int, fields: dict[str, Any]) -> None:
        """Demand a new refresh token and keep it."""
        if fields["refresh"] == self.tokens[lane]:
            raise WrongAnswer(f"{self.name}: the presented refresh token came back")
        self.tokens[lane] = fields["refresh"]


class PatientTokenSubject(Subject):
    """A patient token: the lane's base token as Bearer, its own patient in the body."""

    work: Work = "patient"

    def __init__(self, site: Site) -> None:
        """Start without requests."""
        super().__init__(site)
        self.requests: list[bytes] = []

    def request(self, lane: int) -> bytes:
        """Return the same request each time: a base token is not consumed."""
        return self.requests[lane]

    def keep(self, lane: int, fields: dict[str, Any]) -> None:
        """Demand the answer to name one patient."""
        if not fields["patient"]:
            raise WrongAnswer(f"{self.name}: an answer without its patient")

    def patient_request(self, bearer: str, patient: str, scope: str) -> bytes:
        """Return the request for one patient's token."""
        body = json.dumps({"patient": patient, "purpose_of_use": "TREAT", "scope": scope}).encode()
        return post(self.path, body, f"{self.headers}Authorization: Bearer {bearer}\r\n")
