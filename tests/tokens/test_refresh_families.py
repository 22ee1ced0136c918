"""One winner, whatever comes at once: rotation, grace, reuse and revocation of refresh families."""

import datetime
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from accounts.hashers import Argon2PasswordHasher
from accounts.models import User
from accounts.operations import users
from audit.events import EventType, Outcome
from audit.models import Event
from tests.ledger_failure import failing_ledger
from tests.people import PASSWORD, People
from tokens import issuing, refresh_families, refresh_tokens
from tokens.errors import InvalidGrant
from tokens.models import Client, RefreshFamily

pytestmark = pytest.mark.django_db
GRACE = datetime.timedelta(seconds=settings.REFRESH_GRACE_SECONDS)
SECOND = datetime.timedelta(seconds=1)


@pytest.fixture
def now() -> datetime.datetime:
    return timezone.now()


@pytest.fixture
def first(cast: People, now: datetime.datetime) -> str:
    """The first refresh token of Dr Okafor's sign-in."""
    return issuing.sign_in(user=cast.okafor, amr="pwd", acr="aal1", now=now).refresh


def refresh(presented: str, now: datetime.datetime) -> str:
    return issuing.refresh(presented=presented, now=now).refresh


def refusal(presented: str, now: datetime.datetime) -> str:
    with pytest.raises(InvalidGrant) as refused:
        refresh(presented, now)
    return refused.value.reason


def events(*kinds: EventType) -> list[str]:
    return [event for event in Event.objects.order_by("id").values_list("event", flat=True) if event in kinds]


def test_a_refresh_token_is_used_up(first: str, now: datetime.datetime) -> None:
    second = refresh(first, now)
    assert second != first
    later = now + GRACE + SECOND
    assert refusal(first, later) == "reuse"
    assert refusal(second, later) == "family_revoked"
    reused = Event.objects.get(event=EventType.TOKEN_REUSED)
    assert (reused.outcome, reused.session_ref) == (Outcome.SERIOUS, str(RefreshFamily.objects.get().pk))


def test_a_long_chain_goes_on_and_on(first: str, now: datetime.datetime) -> None:
    seen, token = {first}, first
    for number in range(1, 30):
        token = refresh(token, now + number * SECOND)
        assert token not in seen
        seen.add(token)
    family = RefreshFamily.objects.get()
    assert family.generation == refresh_tokens.parse(token).generation == 29


def test_a_repeat_within_the_grace_gets_the_same_successor_and_lengthens_nothing(
    first: str, now: datetime.datetime
) -> None:
    second = refresh(first, now)
    before = RefreshFamily.objects.values().get()
    for seconds in (0, 3, settings.REFRESH_GRACE_SECONDS):
        assert refresh(first, now + seconds * SECOND) == second
    assert RefreshFamily.objects.values().get() == before
    assert len(events(EventType.TOKEN_REPEATED)) == 3
    assert refusal(first, now + GRACE + datetime.timedelta(microseconds=1)) == "reuse"


def test_each_repeat_has_a_jti_of_its_own_in_the_ledger(first: str, now: datetime.datetime) -> None:
    for _ in range(3):
        refresh(first, now)
    jtis = Event.objects.exclude(jti="").values_list("jti", flat=True)
    assert len(set(jtis)) == 4


def test_the_token_before_the_last_ends_the_family_even_within_the_grace(
    first: str, now: datetime.datetime
) -> None:
    third = refresh(refresh(first, now), now)
    assert refusal(first, now) == "reuse"
    assert refusal(third, now) == "family_revoked"


def test_the_grace_is_no_way_around_expiry(first: str, now: datetime.datetime) -> None:
    second = refresh(first, now)
    RefreshFamily.objects.update(expires_at=now + SECOND)
    assert refusal(first, now + SECOND) == "family_expired"
    assert refusal(second, now + SECOND) == "family_expired"
    assert RefreshFamily.objects.get().revoked_at is None


def test_idleness_ends_a_family_and_use_renews_it(first: str, now: datetime.datetime) -> None:
    idle = datetime.timedelta(seconds=settings.REFRESH_IDLE_SECONDS)
    second = refresh(first, now + idle - SECOND)
    third = refresh(second, now + 2 * idle - 3 * SECOND)
    assert refusal(third, now + 3 * idle) == "family_expired"


def test_no_use_renews_a_family_beyond_its_absolute_end(first: str, now: datetime.datetime) -> None:
    end = now + datetime.timedelta(seconds=settings.REFRESH_ABSOLUTE_SECONDS)
    RefreshFamily.objects.update(idle_expires_at=end + SECOND)
    second = refresh(first, end - 2 * SECOND)
    assert refusal(second, end) == "family_expired"


def suspend(cast: People, now: datetime.datetime) -> None:
    users.suspend(user=cast.okafor, by=cast.sam, reason="leave", now=now)


def end(cast: People, now: datetime.datetime) -> None:
    users.end(user=cast.okafor, by=cast.sam, reason="left", now=now)


def end_by_date(cast: People, now: datetime.datetime) -> None:
    User.objects.filter(pk=cast.okafor.pk).update(ends_at=now)


@pytest.mark.parametrize("happens", [suspend, end, end_by_date], ids=lambda act: act.__name__)
@pytest.mark.parametrize("within_grace", [False, True])
def test_a_use_while_the_account_may_do_nothing_ends_the_family_for_good(
    cast: People, first: str, now: datetime.datetime, happens: Callable[..., None], within_grace: bool
) -> None:
    successor = refresh(first, now) if within_grace else ""
    before = RefreshFamily.objects.values("generation", "current_digest").get()
    happens(cast, now)
    assert refusal(first, now).startswith("account_")
    family = RefreshFamily.objects.get()
    assert family.revoked_at == now
    assert RefreshFamily.objects.values("generation", "current_digest").get() == before, "nothing was rotated"
    User.objects.filter(pk=cast.okafor.pk).update(state=User.State.ACTIVE, ends_at=None)
    assert refusal(successor or first, now) == "family_revoked"
    kinds = (EventType.TOKEN_REFRESHED, EventType.TOKEN_REPEATED, EventType.REFRESH_FAMILY_REVOKED)
    refreshed = [EventType.TOKEN_REFRESHED] if within_grace else []
    assert events(*kinds) == [*refreshed, EventType.REFRESH_FAMILY_REVOKED]


@pytest.mark.parametrize("within_grace", [False, True])
def test_a_client_that_is_off_for_a_moment_signs_nobody_out(
    first: str, now: datetime.datetime, within_grace: bool
) -> None:
    expected = refresh(first, now) if within_grace else None
    Client.objects.update(is_active=False)
    assert refusal(first, now) == "client_not_active"
    assert RefreshFamily.objects.get().generation == int(within_grace)
    Client.objects.update(is_active=True)
    assert refresh(first, now) == (expected or refresh(first, now))


@pytest.mark.django_db(transaction=True)
def test_without_an_entry_in_the_ledger_nothing_moves(
    cast: People, first: str, now: datetime.datetime
) -> None:
    before = RefreshFamily.objects.values().get()
    with failing_ledger():
        for act in (
            lambda: refresh(first, now),
            lambda: refresh_families.revoke(RefreshFamily.objects.get().pk, reason="x", now=now),
            lambda: issuing.sign_in(user=cast.okafor, amr="pwd", acr="aal1", now=now),
        ):
            with pytest.raises(DatabaseError):
                act()
    assert RefreshFamily.objects.values().get() == before
    second = refresh(first, now)
    with failing_ledger():
        with pytest.raises(DatabaseError):
            refresh(first, now)
        with pytest.raises(DatabaseError):
            refresh(first, now + GRACE + SECOND)
    assert RefreshFamily.objects.get().revoked_at is None, "reuse could not be recorded, so it did not happen"
    assert refresh(second, now)


def test_a_changed_password_ends_every_family_of_this_person_and_of_nobody_else(
    cast: People, first: str, now: datetime.datetime
) -> None:
    second = issuing.sign_in(user=cast.okafor, amr="pwd", acr="aal1", now=now).refresh
    other = issuing.sign_in(user=cast.lind, amr="pwd", acr="aal1", now=now).refresh
    cast.okafor.set_password("a new horse battery staple")
    cast.okafor.save()
    assert {refusal(token, now) for token in (first, second)} == {"family_revoked"}
    assert set(
        RefreshFamily.objects.filter(user=cast.okafor).values_list("revocation_reason", flat=True)
    ) == {"password_changed"}
    assert len(events(EventType.REFRESH_FAMILY_REVOKED)) == 2
    assert refresh(other, now)


def test_a_change_of_anything_else_or_of_the_hasher_ends_no_family(
    cast: People, first: str, now: datetime.datetime
) -> None:
    cast.okafor.email = "okafor@hospital.example"
    cast.okafor.save()
    old = Argon2PasswordHasher()
    old.time_cost = 1
    cast.okafor.password = old.encode(PASSWORD, "saltsaltsaltsalt")
    cast.okafor.save()
    assert cast.okafor.check_password(PASSWORD)
    assert "t=2" in User.objects.get(pk=cast.okafor.pk).password, "moved to the current hasher"
    assert refresh(first, now)


def test_families_go_a_week_after_their_last_possible_use(
    cast: People, first: str, now: datetime.datetime
) -> None:
    week = datetime.timedelta(days=7)
    expires = RefreshFamily.objects.get().expires_at
    assert refresh_families.remove_ended(expires + week) == 0
    assert refresh_families.remove_ended(expires + week + SECOND) == 1
    assert refusal(first, now) == "family_unknown"


def test_revoking_twice_is_recorded_once(first: str, now: datetime.datetime) -> None:
    key = RefreshFamily.objects.get().pk
    assert refresh_families.revoke(key, reason="x" * 100, now=now)
    assert not refresh_families.revoke(key, reason="x", now=now)
    assert events(EventType.REFRESH_FAMILY_REVOKED) == [EventType.REFRESH_FAMILY_REVOKED]


# At once, on PostgreSQL, where writers do not queue.


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run all at the same moment, each on a connection of its own; return what each returned or refused with."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            barrier.wait()
            return act()
        except InvalidGrant as refused:
            return refused.reason
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [each.result() for each in [pool.submit(run, act) for act in acts]]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_twenty_refreshes_at_once_give_one_successor(first: str) -> None:
    successors = at_once(*[lambda: refresh(first, timezone.now())] * 20)
    assert len(set(successors)) == 1
    assert RefreshFamily.objects.get().generation == 1
    assert len(events(EventType.TOKEN_REFRESHED)) == 1
    assert len(events(EventType.TOKEN_REPEATED)) == 19


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_twenty_revocations_at_once_are_one(first: str) -> None:
    ended = at_once(*[lambda: issuing.revoke(token=first, now=timezone.now())] * 20)
    assert ended.count(True) == 1
    assert len(events(EventType.REFRESH_FAMILY_REVOKED)) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_refreshes_and_a_revocation_at_once_leave_nothing_that_works(first: str) -> None:
    def revoke() -> bool:
        return issuing.revoke(token=first, now=timezone.now())

    results = at_once(*[lambda: refresh(first, timezone.now())] * 9, revoke)
    assert results[-1] is True
    successors = {result for result in results[:-1] if result != "family_revoked"}
    assert len(successors) <= 1
    for token in (first, *successors):
        assert refusal(token, timezone.now()) == "family_revoked"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_refreshes_and_a_suspension_at_once_leave_nothing_that_works(cast: People, first: str) -> None:
    results = at_once(*[lambda: refresh(first, timezone.now())] * 9, lambda: suspend(cast, timezone.now()))
    tokens = {first, *(result for result in results[:-1] if len(result) == refresh_tokens.TEXT_LENGTH)}
    assert len(tokens) <= 2
    for token in tokens:
        assert refusal(token, timezone.now()) in ("account_not_active", "family_revoked")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_refreshes_and_a_new_password_at_once_leave_nothing_that_works(cast: People, first: str) -> None:
    def change_password() -> None:
        cast.okafor.set_password("a new horse battery staple")
        cast.okafor.save()

    results = at_once(*[lambda: refresh(first, timezone.now())] * 9, change_password)
    tokens = {first, *(result for result in results[:-1] if len(result) == refresh_tokens.TEXT_LENGTH)}
    assert {refusal(token, timezone.now()) for token in tokens} == {"family_revoked"}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_sixteen_uses_of_a_stale_token_at_once_end_the_family_once(first: str) -> None:
    refresh(first, timezone.now())
    stale = timezone.now() + GRACE + SECOND
    reasons = at_once(*[lambda: refresh(first, stale)] * 16)
    assert sorted(reasons) == ["family_revoked"] * 15 + ["reuse"]
    assert len(events(EventType.TOKEN_REUSED)) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_current_token_and_the_one_before_at_once_give_one_line(first: str) -> None:
    second = refresh(first, timezone.now())
    results = at_once(*[lambda: refresh(first, timezone.now()), lambda: refresh(second, timezone.now())] * 4)
    assert len({result for result in results if len(result) == refresh_tokens.TEXT_LENGTH} - {second}) <= 1
    assert RefreshFamily.objects.get().generation <= 2
