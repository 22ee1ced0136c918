"""Signing in over the API: nobody learns whether a name exists, and nobody guesses without end."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.core.cache import cache
from django.db import connection
from django.test import override_settings

from accounts.hashers import Argon2PasswordHasher
from accounts.models import User
from audit.events import EventType
from audit.models import Event
from tests.people import PASSWORD, People
from tests.tokens import calls
from tokens.models import RefreshFamily

pytestmark = pytest.mark.django_db
WORK: list[str] = []


class CountedHasher(Argon2PasswordHasher):
    """The hasher in use, which also counts."""

    def encode(self, password: str, salt: str) -> str:
        WORK.append("encode")
        return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        WORK.append("verify")
        return super().verify(password, encoded)


@pytest.fixture(autouse=True)
def _no_attempts_yet() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()  # the database cache has no model, so no flush empties it


def attempt(username: str = "okafor", password: str = "wrong") -> Any:  # noqa: S107 (it is wrong)
    return calls.post(calls.OBTAIN, {"username": username, "password": password})


def test_the_right_password_opens_a_family(cast: People) -> None:
    answer = calls.obtain()
    assert answer.keys() == {"access", "refresh", "token_type", "expires_in"}
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 600)
    assert RefreshFamily.objects.get().user == cast.okafor
    assert Event.objects.get(event=EventType.BASE_TOKEN_ISSUED).actor_label == "okafor"


def prepare(cast: People, how: str) -> str:
    """Bring about a reason to refuse; return the username to try with."""
    if how in ("suspended", "pending", "ended"):
        User.objects.filter(pk=cast.okafor.pk).update(state=how)
    if how == "without a password":
        cast.okafor.set_unusable_password()
        cast.okafor.save()
    return "nobody" if how == "unknown" else "okafor"


REASONS = ["unknown", "wrong password", "suspended", "pending", "ended", "without a password"]


@pytest.mark.parametrize("how", REASONS)
def test_every_failed_sign_in_has_the_same_bytes_and_one_entry(cast: People, how: str) -> None:
    username = prepare(cast, how)
    before = Event.objects.count()
    response = attempt(username, "wrong" if how == "wrong password" else PASSWORD)
    expected = (
        b'{"code":"invalid_credentials","detail":"The username or the password is not right, '
        b'or the account may not sign in."}'
    )
    assert (response.status_code, response.content) == (401, expected)
    assert Event.objects.count() == before + 1
    entry = Event.objects.latest()
    assert entry.event == EventType.SIGN_IN_FAILED
    assert "nobody" not in str(vars(entry))


@pytest.mark.parametrize("how", REASONS)
@override_settings(PASSWORD_HASHERS=[f"{__name__}.CountedHasher"])
def test_every_failed_sign_in_is_the_same_work(cast: People, how: str) -> None:
    username = prepare(cast, how)
    hashers.get_hashers.cache_clear()
    hashers.get_hashers_by_algorithm.cache_clear()
    WORK.clear()
    attempt(username, PASSWORD if how in ("suspended", "ended") else "wrong")
    assert len(WORK) == 1


@pytest.mark.parametrize(
    "password", ["", " ", "\u200d", "a\nb", "x" * 1024, "\U0001f468\u200d\u2695\ufe0f", "\xa0"]
)
def test_a_password_may_hold_any_character(cast: People, password: str) -> None:
    response = attempt(password=password)
    assert response.status_code == (401 if password else 400)
    if password:
        cast.okafor.set_password(password)
        cast.okafor.save()
        assert attempt(password=password).status_code == 200


@pytest.mark.parametrize("password", ["\x00", "a\x00b", "\ud800", "x" * 1025])
def test_a_password_that_cannot_be_one_is_a_400(cast: People, password: str) -> None:
    assert attempt(password=password).status_code == 400


def test_the_eleventh_failure_has_to_wait_even_with_the_right_password(cast: People) -> None:
    assert [attempt().status_code for _ in range(10)] == [401] * 10
    before = Event.objects.count()
    response = attempt(password=PASSWORD)
    assert (response.status_code, response.json()["code"]) == (429, "too_many_attempts")
    assert int(response["Retry-After"]) > 0
    assert Event.objects.count() == before + 1
    assert attempt("lind", PASSWORD).status_code == 200, "others are not locked out"


def from_address(address: str, password: str = "wrong") -> int:  # noqa: S107 (it is wrong)
    body = {"username": "okafor", "password": password}
    return int(calls.post(calls.OBTAIN, body, REMOTE_ADDR=address).status_code)


def test_guesses_from_one_address_lock_nobody_out_at_another(cast: People) -> None:
    assert [from_address("192.0.2.1") for _ in range(11)] == [401] * 10 + [429]
    assert from_address("192.0.2.2", PASSWORD) == 200


def test_a_hundred_guesses_are_the_end_wherever_they_come_from(cast: People) -> None:
    codes = [from_address(f"192.0.2.{number // 10}") for number in range(100)]
    assert codes == [401] * 100
    assert from_address("198.51.100.1", PASSWORD) == 429


def test_another_spelling_of_the_name_is_no_new_attempt(cast: People) -> None:
    spellings = [
        "okafor",
        "OKAFOR",
        " okafor ",
        "\uff4f\uff4b\uff41\uff46\uff4f\uff52",
        "o\uff4bafor",
        "ok\u24d0for",
    ]
    assert all(User.normalize_username(spelling) == "okafor" for spelling in spellings)
    codes = [attempt(spelling).status_code for spelling in spellings * 3]
    assert codes == [401] * 10 + [429] * 8


def test_successes_do_not_count_and_do_not_wipe_failures_away(cast: People) -> None:
    for _ in range(9):
        assert attempt().status_code == 401
        assert attempt(password=PASSWORD).status_code == 200
    assert attempt().status_code == 401
    assert attempt().status_code == 429


@pytest.mark.django_db(transaction=True)
def test_twelve_guesses_at_once_are_ten(cast: People) -> None:
    def guess(_: int) -> int:
        try:
            status: int = attempt().status_code
            return status
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        codes = sorted(pool.map(guess, range(12)))
    assert set(codes) <= {401, 429}
    assert codes.count(401) <= 10
    assert attempt(password=PASSWORD).status_code == (429 if codes.count(401) == 10 else 200)
