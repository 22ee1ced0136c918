"""What a token costs: statements are counted and not timed, so that nothing but the code moves these numbers.

Targets: a refresh takes at most 4 round trips to the database and a patient token at most 6, BEGIN and COMMIT counted.
The key ring looks at its epoch every few seconds at most, so it is warm here as it is in use.
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import PatientAccessGrant
from tests.people import PASSWORD, SCOPES, People
from tests.tokens import calls
from tests.tokens.test_issuing import OBSERVATIONS, SECOND, claims_of, patient_token, sign_in
from tokens import issuing, key_ring

pytestmark = pytest.mark.django_db(transaction=True)
BEGIN = "BEGIN" if connection.vendor == "postgresql" else "BEGIN IMMEDIATE"


def statements(work: Callable[[], Any]) -> list[str]:
    """Return the first words of the statements that reach the database, BEGIN and COMMIT included."""
    key_ring.current()
    with CaptureQueriesContext(connection) as captured:
        work()
    return [" ".join(query["sql"].replace('"', "").split()[:3]) for query in captured.captured_queries]


def test_sign_in_takes_five_round_trips(cast: People) -> None:
    assert [text.split()[0] for text in statements(lambda: sign_in(cast.okafor))] == [
        "BEGIN", "SELECT", "INSERT", "INSERT", "COMMIT"
    ]  # fmt: skip


def test_a_refresh_takes_four_round_trips(cast: People) -> None:
    issued = sign_in(cast.okafor)
    assert statements(lambda: issuing.refresh(presented=issued.refresh, now=timezone.now())) == [
        BEGIN,
        "UPDATE tokens_refreshfamily SET",
        "INSERT INTO audit_event",
        "COMMIT",
    ]


def test_a_patient_token_takes_three_round_trips(cast: People) -> None:
    base = claims_of(sign_in(cast.okafor).access)
    assert statements(
        lambda: issuing.for_patient(base=base, patient=str(cast.rosa.pk), now=timezone.now(), **OBSERVATIONS)
    ) == [
        "SELECT user_id, scope,",  # the sign-in behind the base token, its account and its client
        "SELECT 'account' AS",  # roles, care teams and access grants
        "INSERT INTO audit_event",  # the only write: a transaction of its own
    ]


def test_verifying_takes_one_round_trip_and_for_a_patient_token_two(cast: People) -> None:
    base = sign_in(cast.okafor).access
    given = patient_token(base, cast.rosa.pk).access
    assert statements(lambda: issuing.check(token=base, now=timezone.now())) == ["SELECT user_id, scope,"]
    assert statements(lambda: issuing.check(token=given, now=timezone.now())) == [
        "SELECT user_id, scope,", "SELECT 'account' AS",
    ]  # fmt: skip


def test_revoking_takes_five_round_trips(cast: People) -> None:
    issued = sign_in(cast.okafor)
    sent = statements(lambda: issuing.revoke(token=issued.refresh, now=timezone.now()))
    assert [text.split()[0] for text in sent] == ["BEGIN", "SELECT", "UPDATE", "INSERT", "COMMIT"]


@pytest.mark.parametrize("path", [calls.OBTAIN, calls.REFRESH, calls.PATIENT])
def test_nothing_around_the_operation_asks_the_database(cast: People, path: str) -> None:
    """The whole request through every middleware costs what the operation costs."""
    issued = calls.obtain()
    body = {
        calls.OBTAIN: {"username": "okafor", "password": PASSWORD},
        calls.REFRESH: {"refresh": issued["refresh"]},
        calls.PATIENT: {
            "patient": str(cast.rosa.pk),
            "purpose_of_use": "TREAT",
            "scope": "patient/Observation.rs",
        },
    }[path]
    bearer = issued["access"] if path == calls.PATIENT else ""
    sent = statements(lambda: calls.post(path, body, bearer=bearer))
    sent = [text for text in sent if "wardkey_cache" not in text and "SAVEPOINT" not in text]
    if path != calls.OBTAIN:  # which looks the user up, and keeps its throttle in the cache
        assert len(sent) == {calls.REFRESH: 4, calls.PATIENT: 3}[path], sent


@pytest.mark.postgresql
def test_a_patient_token_walks_indexes_whatever_the_number_of_grants(cast: People) -> None:
    base = claims_of(sign_in(cast.okafor).access)
    now = timezone.now()
    PatientAccessGrant.objects.bulk_create(
        [
            PatientAccessGrant(
                patient=patient, grantee_user=grantee, scopes=SCOPES, purpose_of_use="TREAT",
                starts_at=now - 9 * SECOND, ends_at=now - SECOND, reason="x", state="expired", requested_by=cast.sam,
            )
            for patient, grantee in [(cast.amir, cast.okafor), (cast.rosa, cast.lind)] * 2000
        ],
        batch_size=1000,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as captured:
        issuing.for_patient(
            base=base,
            patient=str(cast.rosa.pk),
            purpose_of_use="TREAT",
            scope="patient/Observation.rs",
            now=now,
        )
    plans = ""
    for query in captured.captured_queries:
        if query["sql"].lstrip().startswith("SELECT"):
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN " + query["sql"])
                plans += " / ".join(row[0] for row in cursor.fetchall())
    assert "on accounts_patientaccessgrant" in plans
    assert "Seq Scan on accounts_patientaccessgrant" not in plans
