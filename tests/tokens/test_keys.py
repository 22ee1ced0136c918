"""Rotation through the four states by the clock, and the emergency; one rotation whoever asks, each step recorded."""

import datetime
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from accounts.operations.refusals import Refused
from audit.events import EventType, Outcome
from audit.models import Event, Job
from tests.ledger_failure import failing_ledger
from tests.people import People
from tokens import key_ring, keys, tasks
from tokens.models import KeyRingEpoch, SigningKey

pytestmark = pytest.mark.django_db
SECOND = datetime.timedelta(seconds=1)
POLICY = keys.policy()
KEY_EVENTS = [event for event in EventType if event.startswith("tokens:signing_key:")]


@pytest.fixture
def now() -> datetime.datetime:
    return timezone.now()


def states() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"ES256": [], "RS256": []}
    for algorithm, state in SigningKey.objects.order_by("created_at").values_list("algorithm", "state"):
        found[algorithm].append(state)
    return found


def both(*expected: str) -> dict[str, list[str]]:
    return {"ES256": list(expected), "RS256": list(expected)}


def test_the_first_keys_sign_at_once(now: datetime.datetime) -> None:
    keys.rotate(now=now)
    assert states() == both("active")
    assert keys.rotate(now=now) == []


def test_a_key_goes_through_its_four_states_by_the_clock(now: datetime.datetime) -> None:
    keys.rotate(now=now)
    due = now + POLICY.signs - POLICY.published_before
    assert keys.rotate(now=due - SECOND) == []
    keys.rotate(now=due)
    assert states() == both("active", "pending")
    assert keys.rotate(now=due + POLICY.published_before - SECOND) == []
    signing = {alg: signer.kid for alg, signer in key_ring.current().signers.items()}
    changed = due + POLICY.published_before
    keys.rotate(now=changed)
    assert states() == both("retiring", "active")
    assert set(signing.values()) < key_ring.current().verifiers.keys(), "what they signed still verifies"
    assert keys.rotate(now=changed + POLICY.verifies_after - SECOND) == []
    keys.rotate(now=changed + POLICY.verifies_after)
    assert states() == both("retired", "active")
    for key in SigningKey.objects.filter(state="retired"):
        assert key.private_key is None
        assert key.public_jwk["kid"] == key.kid, "the public part stays, so that old proofs can be checked"
        assert key.kid not in key_ring.current().jwks.decode()


def test_the_next_key_is_published_for_longer_than_caches_live_and_the_last_for_longer_than_tokens() -> None:
    assert (
        POLICY.published_before.total_seconds()
        >= settings.JWKS_MAX_AGE_SECONDS + settings.KEY_RING_POLL_SECONDS
    )
    longest = max(settings.BASE_TOKEN_SECONDS, settings.PATIENT_TOKEN_SECONDS)
    assert POLICY.verifies_after.total_seconds() > longest + settings.KEY_RING_POLL_SECONDS


def test_each_step_is_in_the_ledger_and_moves_the_epoch(now: datetime.datetime) -> None:
    keys.rotate(now=now)
    epoch = KeyRingEpoch.objects.get().epoch
    keys.rotate(now=now, hurry=True, skip_wait=True)
    assert KeyRingEpoch.objects.get().epoch == epoch + 1
    recorded = list(Event.objects.filter(event__in=KEY_EVENTS).values_list("event", flat=True))
    assert sorted(recorded) == sorted(
        [EventType.SIGNING_KEY_CREATED, EventType.SIGNING_KEY_ACTIVATED] * 4
        + [EventType.SIGNING_KEY_RETIRING] * 2
    )
    text = str(list(Event.objects.values()))
    assert not [key for key in SigningKey.objects.all() if key.private_key["c"] in text]


@pytest.mark.django_db(transaction=True)
def test_without_an_entry_in_the_ledger_no_key_moves(signing_keys: None, now: datetime.datetime) -> None:
    before = list(SigningKey.objects.order_by("kid").values())
    with failing_ledger():
        with pytest.raises(DatabaseError):
            keys.rotate(now=now, hurry=True, skip_wait=True)
        with pytest.raises(DatabaseError):
            keys.revoke(kid=before[0]["kid"], reason="leaked", by=None, now=now)
    assert list(SigningKey.objects.order_by("kid").values()) == before


@pytest.mark.parametrize("with_pending", [False, True])
def test_a_compromised_key_is_out_at_once_and_another_signs(
    signing_keys: None, now: datetime.datetime, with_pending: bool
) -> None:
    compromised = key_ring.current().signer("ES256").kid
    if with_pending:
        keys.rotate(now=now, hurry=True)
    keys.revoke(kid=compromised, reason="leaked", by=None, now=now)
    ring = key_ring.current()
    assert compromised not in ring.verifiers
    assert compromised not in ring.jwks.decode()
    assert ring.signer("ES256").kid != compromised
    assert states()["ES256"] == ["revoked", "active"]
    revoked = SigningKey.objects.get(pk=compromised)
    assert (revoked.private_key, revoked.revocation_reason) == (None, "leaked")
    entry = Event.objects.get(event=EventType.SIGNING_KEY_REVOKED)
    assert (entry.outcome, entry.reason, entry.object_pk) == (Outcome.SERIOUS, "leaked", compromised)


@pytest.mark.parametrize("state", ["pending", "retiring", "retired"])
def test_a_key_in_any_state_can_be_revoked_and_what_signs_stays(
    signing_keys: None, now: datetime.datetime, state: str
) -> None:
    if state == "pending":
        keys.rotate(now=now, hurry=True)
    else:
        keys.rotate(now=now, hurry=True, skip_wait=True)
    if state == "retired":
        keys.rotate(now=now + POLICY.verifies_after)
    signing = SigningKey.objects.get(algorithm="ES256", state="active").kid
    kid = SigningKey.objects.get(algorithm="ES256", state=state).kid
    keys.revoke(kid=kid, reason="leaked", by=None, now=now)
    assert SigningKey.objects.get(pk=kid).state == "revoked"
    assert key_ring.current().signer("ES256").kid == signing
    assert kid not in key_ring.current().verifiers


@pytest.mark.parametrize(
    ("kid", "reason", "by", "code"),
    [
        ("ours", "leaked", "okafor", "not_permitted"),
        ("ours", "leaked", "ines", "not_permitted"),
        ("ours", "  ", "sam", "reason_missing"),
        ("theirs", "leaked", "sam", "unknown_key"),
        ("revoked", "leaked", "sam", "wrong_state"),
    ],
)
def test_a_revocation_that_may_not_happen_changes_nothing_and_is_recorded(
    cast: People, now: datetime.datetime, kid: str, reason: str, by: str, code: str
) -> None:
    ours = key_ring.current().signer("RS256").kid
    gone = key_ring.current().signer("ES256").kid
    keys.revoke(kid=gone, reason="before", by=None, now=now)
    kid = {"ours": ours, "revoked": gone}.get(kid, kid)
    before = list(SigningKey.objects.order_by("kid").values())
    with pytest.raises(CommandError):
        call_command("revoke_signing_key", kid, reason=reason, by=by)
    assert list(SigningKey.objects.order_by("kid").values()) == before
    entry = Event.objects.latest()
    assert (entry.event, entry.reason_code, entry.actor_label) == (EventType.OPERATION_REFUSED, code, by)
    assert entry.additional_data == {"operation": "keys.revoke"}


def test_no_key_is_called_what_a_command_takes_for_an_option(cast: People, now: datetime.datetime) -> None:
    for _ in range(300):  # one thumbprint in 64 begins with a hyphen
        keys.revoke(kid=key_ring.current().signer("ES256").kid, reason="test", by=None, now=now)
    assert not SigningKey.objects.filter(kid__startswith="-").exists()


def test_the_commands_do_what_the_operations_do(cast: People, capsys: pytest.CaptureFixture[str]) -> None:
    before = key_ring.current().signer("ES256").kid
    call_command("rotate_signing_keys", hurry=True, skip_wait=True, by="sam")
    assert key_ring.current().signer("ES256").kid != before
    call_command("revoke_signing_key", before, reason="leaked", by="sam")
    assert SigningKey.objects.get(pk=before).state == "revoked"
    entry = Event.objects.get(event=EventType.SIGNING_KEY_REVOKED)
    assert entry.actor_label == "sam"
    assert entry.user_agent.startswith("manage.py revoke_signing_key")
    assert "4 steps" in capsys.readouterr().out


def test_ensure_makes_what_is_missing_and_nothing_else(now: datetime.datetime) -> None:
    call_command("rotate_signing_keys", ensure=True, verbosity=0)
    assert states() == both("active")
    call_command("rotate_signing_keys", ensure=True, verbosity=0)
    assert states() == both("active")


def test_rotating_is_for_administrators_and_a_refusal_is_recorded(
    cast: People, now: datetime.datetime
) -> None:
    with pytest.raises(Refused):
        keys.rotate(now=now, by=cast.okafor, hurry=True)
    with pytest.raises(CommandError):
        call_command("rotate_signing_keys", hurry=True, by="okafor")
    assert states() == both("active")
    entry = Event.objects.latest()
    assert (entry.event, entry.reason_code, entry.actor_label) == (
        EventType.OPERATION_REFUSED, "not_permitted", "okafor",
    )  # fmt: skip
    for arguments in ({"skip_wait": True}, {"by": "nobody"}):
        with pytest.raises(CommandError):
            call_command("rotate_signing_keys", **arguments)


def test_impossible_states_are_refused_by_the_database(signing_keys: None) -> None:
    key = SigningKey.objects.get(algorithm="ES256")
    for changed in ({"state": "retired"}, {"private_key": None}, {"algorithm": "HS256"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            SigningKey.objects.filter(pk=key.pk).update(**changed)
    copy = {"algorithm": "ES256", "public_jwk": {}, "private_key": key.private_key}
    SigningKey.objects.create(kid="x", state="pending", **copy)
    for state in ("active", "pending"):
        with pytest.raises(IntegrityError), transaction.atomic():
            SigningKey.objects.create(kid="y", state=state, **copy)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_eight_rotations_at_once_make_one_key_of_each_algorithm(now: datetime.datetime) -> None:
    barrier = threading.Barrier(8)

    def rotate() -> int:
        try:
            barrier.wait()
            return len(keys.rotate(now=now, hurry=True))
        finally:
            connection.close()

    for _ in range(2):
        with ThreadPoolExecutor(8) as pool:
            steps = [each.result() for each in [pool.submit(rotate) for _ in range(8)]]
    assert states()["ES256"].count("active") == states()["RS256"].count("active") == 1
    assert SigningKey.objects.count() == 4
    assert sum(steps) == 0, "the next keys are waiting already"


def test_a_periodic_rotation_happens_once_in_its_minute() -> None:
    assert tasks.rotate_signing_keys(slot="1")
    assert not tasks.rotate_signing_keys(slot="1")
    assert states() == both("active")
    assert Job.objects.get().state == Job.State.DONE
    assert tasks.remove_ended_refresh_families(slot="1")
