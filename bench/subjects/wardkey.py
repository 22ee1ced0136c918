"""Wardkey itself, from this tree: the production settings behind a TLS proxy, which the load plays.

The issuer is https, one proxy is trusted, and every request says `X-Forwarded-Proto: https`, so that every
middleware, redirect rule and security header of production is at work. The demo's Dr Okafor signs in once for each
lane; each lane has a refresh family of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.server import THREADS
from bench.subjects.subject import PatientTokenSubject, RefreshSubject, Site
from idp.embedded import fresh_secrets

ROOT = Path(__file__).parent.parent.parent
BEHIND_TLS = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.1\r\n"
COMMAND_SECONDS = 180


class WardkeySite(Site):
    """Migrated, with signing keys and the demo's cast."""

    application = "idp.wsgi:application"

    def lay_out(self) -> None:
        """Make the data directory and the secrets; the code is served from this tree."""
        self.data_dir = self.folder
        self.data_dir.mkdir(mode=0o700)
        self.secrets = fresh_secrets()
        self.folder = ROOT

    def environment(self, database_port: int | None = None) -> dict[str, str]:
        """Return what a production deployment sets."""
        return {
            **super().environment(database_port),
            **self.secrets,
            "WARDKEY_ISSUER": "https://127.0.0.1",
            "WARDKEY_TRUSTED_PROXY_COUNT": "1",
            "WARDKEY_DATA_DIR": str(self.data_dir),
            "WARDKEY_DATABASE_POOL_SIZE": str(THREADS),
            "WARDKEY_SKIP_BOOTSTRAP": "1",
        }

    def build(self) -> None:
        """Run the commands that a first deployment runs, and the demo's seed."""
        migrate = [["migrate", "--verbosity", "0"], ["createcachetable"]]
        for command in (*migrate, ["rotate_signing_keys", "--ensure"], ["seed_demo"]):
            done = subprocess.run(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env={"PATH": os.environ.get("PATH", ""), **self.environment()},
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
            )
            if done.returncode:
                raise RuntimeError(f"manage.py {' '.join(command)} failed:\n{done.stdout}{done.stderr}")

    @property
    def cast(self) -> dict[str, Any]:
        """The demo's accounts and patients."""
        found: dict[str, Any] = json.loads((self.data_dir / "demo-credentials.json").read_text())
        return found

    def credentials(self) -> dict[str, object]:
        """Dr Okafor's username and password."""
        account = self.cast["accounts"]["okafor"]
        return {"username": account["username"], "password": account["password"]}


class WardkeyRefresh(RefreshSubject):
    """`POST /api/token/refresh/`."""

    name = "Wardkey: refresh"
    path = "/api/token/refresh/"
    headers = BEHIND_TLS
    site: WardkeySite

    def prepare(self, lanes: int) -> None:
        """Sign each lane in: a family of its own."""
        self.tokens = [self.ask("/api/token/", self.site.credentials())["refresh"] for _ in range(lanes)]


class WardkeyPatientToken(PatientTokenSubject):
    """`POST /api/token/patient/` for Rosa, whom Dr Okafor may see by an access grant."""

    name = "Wardkey: patient token"
    path = "/api/token/patient/"
    headers = BEHIND_TLS
    site: WardkeySite

    def prepare(self, lanes: int) -> None:
        """Sign each lane in."""
        rosa = self.site.cast["patients"]["rosa"]
        self.requests = [
            self.patient_request(
                self.ask("/api/token/", self.site.credentials())["access"], rosa, "patient/Observation.rs"
            )
            for _ in range(lanes)
        ]
