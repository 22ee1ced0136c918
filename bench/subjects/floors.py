"""The floors of `bench/projects/floors`: what is left when nothing can be left out any more."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from uuid import UUID

from bench.load import post
from bench.subjects.subject import PROJECTS, PatientTokenSubject, RefreshSubject, ScratchSite, Subject, Work

ACCOUNTS = 64
GRANTS = 10_000
SCOPE = "patient/Observation.rs patient/Patient.rs"


def account_id(lane: int) -> UUID:
    """Return the id of the lane's account."""
    return UUID(int=lane + 1)


class FloorSite(ScratchSite):
    """The floors' schema, ACCOUNTS accounts, GRANTS access grants."""

    project = "floors"
    application = "floors:application"

    def build(self) -> None:
        """Create the tables and the rows that any floor reads."""
        self.database.execute((PROJECTS / self.project / "schema.sql").read_text())
        accounts = ",".join(f"('{account_id(lane)}', true)" for lane in range(ACCOUNTS))
        self.database.execute(f"""
            INSERT INTO account (id, is_active) VALUES {accounts};
            INSERT INTO access_grant (account_id, patient, scope, ends_at)
            SELECT account.id, 'patient-' || n, '{SCOPE}', now() + interval '30 days'
              FROM account, generate_series(1, {GRANTS // ACCOUNTS + 1}) AS n;
            ANALYZE;
        """)


class InsertAndSign(Subject):
    """The least that a recorded token can cost in Django."""

    name = "floor: one INSERT + sign"
    work: Work = "insert"
    path = "/insert-and-sign/"

    def prepare(self, lanes: int) -> None:
        """Need nothing."""

    def request(self, lane: int) -> bytes:
        """Return an empty JSON object's POST."""
        return post(self.path, b"{}")

    def keep(self, lane: int, fields: dict[str, Any]) -> None:
        """Keep nothing: no request depends on the last answer."""


class FloorRefresh(RefreshSubject):
    """A floor's refresh families are rows the bench inserts, since it knows their tokens."""

    def prepare(self, lanes: int) -> None:
        """Insert a family for each lane."""
        self.tokens = [f"{self.site.name}-{lane}-first-refresh-token" for lane in range(lanes)]
        rows = ",".join(
            f"(gen_random_uuid(), '{account_id(lane)}', 'openid', '\\x{sha256(token.encode()).hexdigest()}', "
            f"now() + interval '1 day')"
            for lane, token in enumerate(self.tokens)
        )
        self.site.database.execute(f"""
            TRUNCATE refresh_family;
            INSERT INTO refresh_family (id, account_id, scope, current_sha256, expires_at) VALUES {rows};
            ANALYZE refresh_family;
        """)


class FourStatements(FloorRefresh):
    """Floor B."""

    name = "floor B: 4 raw statements in atomic() + sign"
    path = "/refresh/four-statements/"


class OneStatement(FloorRefresh):
    """Floor C."""

    name = "floor C: 1 prepared statement + sign"
    path = "/refresh/one-statement/"


class PatientFloor(PatientTokenSubject):
    """Verify, one SELECT, one INSERT, sign."""

    name = "floor: verify + SELECT + INSERT + sign"
    path = "/patient/"

    def prepare(self, lanes: int) -> None:
        """Ask the floor itself for a base token for each lane."""
        self.requests = [
            self.patient_request(
                self.ask("/base-token/", {"sub": str(account_id(lane))})["access"],
                f"patient-{lane + 1}",
                SCOPE,
            )
            for lane in range(lanes)
        ]
