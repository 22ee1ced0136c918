"""Gather the facts for decide() from the database: one statement, whatever the number of grants and patients.

Each branch of the UNION walks one index from the person and the patient outwards (EXPLAIN is asserted on in
tests/accounts/test_lookup.py); nothing here decides anything.
"""

import datetime
import json
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import connection

from accounts.access import scopes as smart
from accounts.access.decision import (
    AccessGrantTie,
    Account,
    CareTeamTie,
    ClientPolicy,
    Facts,
    RoleInForce,
)
from audit.raw_sql import timestamp_from, timestamp_parameter, uuid_from, uuid_parameter

# kind, reference, text (state, role code or scopes), purposes, version, end
FACTS = """
SELECT 'account' AS kind, CAST(u.id AS text) AS ref, u.state AS label, u.username AS detail, 0 AS version,
       u.ends_at AS until
  FROM accounts_user u WHERE u.id = %(user)s
UNION ALL
SELECT 'patient', '', '', '', 0, NULL FROM accounts_patient p WHERE p.id = %(patient)s
UNION ALL
SELECT 'role', r.code, r.scope_ceiling, CAST(r.purposes_of_use AS text), r.version, a.ends_at
  FROM accounts_roleassignment a JOIN accounts_role r ON r.id = a.role_id
 WHERE a.user_id = %(user)s AND a.ended_at IS NULL AND (NOT a.needs_approval OR a.approved_at IS NOT NULL)
   AND a.starts_at <= %(now)s AND (a.ends_at IS NULL OR a.ends_at > %(now)s)
UNION ALL
SELECT 'care_team', CAST(m.care_team_id AS text), '', '', 0,
       CASE WHEN m.ends_at IS NULL OR t.ends_at < m.ends_at THEN t.ends_at ELSE m.ends_at END
  FROM accounts_careteammember m JOIN accounts_careteampatient t ON t.care_team_id = m.care_team_id
 WHERE m.user_id = %(user)s AND t.patient_id = %(patient)s
   AND m.starts_at <= %(now)s AND (m.ends_at IS NULL OR m.ends_at > %(now)s)
   AND t.starts_at <= %(now)s AND (t.ends_at IS NULL OR t.ends_at > %(now)s)
UNION ALL
SELECT 'access_grant', CAST(g.id AS text), g.scopes, g.purpose_of_use, 0, g.ends_at
  FROM accounts_patientaccessgrant g
 WHERE g.patient_id = %(patient)s AND g.state IN ('approved', 'active') AND g.grantee_user_id = %(user)s
   AND g.starts_at <= %(now)s AND g.ends_at > %(now)s
UNION ALL
SELECT 'access_grant', CAST(g.id AS text), g.scopes, g.purpose_of_use, 0,
       CASE WHEN m.ends_at IS NOT NULL AND m.ends_at < g.ends_at THEN m.ends_at ELSE g.ends_at END
  FROM accounts_patientaccessgrant g JOIN accounts_careteammember m ON m.care_team_id = g.grantee_care_team_id
 WHERE g.patient_id = %(patient)s AND g.state IN ('approved', 'active') AND m.user_id = %(user)s
   AND g.starts_at <= %(now)s AND g.ends_at > %(now)s
   AND m.starts_at <= %(now)s AND (m.ends_at IS NULL OR m.ends_at > %(now)s)
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """The person the facts are about, as the ledger names them."""

    pk: uuid.UUID
    username: str

    def get_username(self) -> str:
        return self.username


def gather(
    *, user: uuid.UUID, patient: uuid.UUID, client: ClientPolicy, now: datetime.datetime
) -> tuple[Facts, Subject]:
    """Return the facts about this person and this patient, and the person's name for the ledger. One statement."""
    parameters = {
        "user": uuid_parameter(user),
        "patient": uuid_parameter(patient),
        "now": timestamp_parameter(now),
    }
    with connection.cursor() as cursor:
        cursor.execute(FACTS, parameters)
        rows = cursor.fetchall()
    account: Account | None = None
    username = ""
    patient_exists = False
    roles: list[RoleInForce] = []
    care_teams: list[CareTeamTie] = []
    access_grants: list[AccessGrantTie] = []
    for kind, ref, label, detail, version, end in rows:
        until: Any = timestamp_from(end)
        if kind == "account":
            account, username = Account(label, until), detail
        elif kind == "patient":
            patient_exists = True
        elif kind == "role":
            roles.append(RoleInForce(ref, version, _scopes(label), _purposes(detail), until))
        elif kind == "care_team":
            care_teams.append(CareTeamTie(str(uuid_from(ref)), until))
        else:
            access_grants.append(AccessGrantTie(str(uuid_from(ref)), _scopes(label), detail, until))
    facts = Facts(account, patient_exists, client, tuple(roles), tuple(care_teams), tuple(access_grants))
    return facts, Subject(user, username)


@lru_cache(maxsize=1024)
def _scopes(text: str) -> tuple[smart.Scope, ...]:
    return smart.parse(text)


@lru_cache(maxsize=256)
def _purposes(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))
