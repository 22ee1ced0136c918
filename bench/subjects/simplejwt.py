"""The peer: djangorestframework-simplejwt with its blacklist app, rotating, blacklisting, signing ES256."""

from __future__ import annotations

import subprocess
import sys
from hashlib import md5

from bench.subjects.subject import RefreshSubject, ScratchSite

PASSWORD = "correct horse"
ACCOUNTS = 64


class SimpleJWTSite(ScratchSite):
    """Migrated by Django, with ACCOUNTS users."""

    project = "simplejwt_blacklist"
    application = "application:application"

    def environment(self, database_port: int | None = None) -> dict[str, str]:
        """Add the settings module."""
        return {**super().environment(database_port), "DJANGO_SETTINGS_MODULE": "settings"}

    def build(self) -> None:
        """Migrate, then insert the users: md5 is what the project's settings choose, to start quickly."""
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--verbosity", "0"],
            cwd=self.folder, env=self.environment(), check=True, timeout=120,
        )  # fmt: skip
        digest = md5(f"salt{PASSWORD}".encode(), usedforsecurity=False).hexdigest()
        self.database.execute(f"""
            INSERT INTO auth_user (username, password, is_superuser, first_name, last_name, email, is_staff,
                                   is_active, date_joined)
            SELECT 'user' || n, 'md5$salt${digest}', false, '', '', '', false, true, now()
              FROM generate_series(0, {ACCOUNTS - 1}) AS n
        """)


class SimpleJWTRefresh(RefreshSubject):
    """`POST /api/token/refresh/` of simplejwt."""

    name = "simplejwt 5.5.1 + blacklist"
    path = "/api/token/refresh/"

    def prepare(self, lanes: int) -> None:
        """Sign each lane in as a user of its own."""
        self.tokens = [
            self.ask("/api/token/", {"username": f"user{lane}", "password": PASSWORD})["refresh"]
            for lane in range(lanes)
        ]
