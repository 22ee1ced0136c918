"""Signing in and out, changing a password, ending sessions: what is refused says nothing, and is recorded."""

import re
from typing import Any, ClassVar

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts.hashers import Argon2PasswordHasher
from accounts.models import User
from accounts.operations import sessions, users
from audit.events import EventType
from audit.models import Event
from tests.ledger_failure import failing_ledger
from tests.people import DAY, PASSWORD, People

pytestmark = pytest.mark.django_db
LOGIN = "/account/login/"
CHANGE = "/account/password/change/"
SESSIONS = "/account/sessions/"
NEW_PASSWORD = "a quite different long phrase"
OUTSIDE = (
    "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "http:evil.example",
    "javascript:alert(1)", "http://testserver/admin/", "http://127.0.0.1:8000/", " //evil.example", "/\t/evil.example",
    "///evil.example", "admin/", "\x00/", "https:///evil.example",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_throttle_left_over(db: None) -> None:
    cache.clear()


def sign_in(username: str, password: str = PASSWORD, client: Client | None = None, **fields: str) -> Any:
    """Send the form, as a browser that has just opened it."""
    return (client or Client()).post(LOGIN, {"login": username, "password": password, **fields})


def browser(username: str, password: str = PASSWORD) -> Client:
    """Return a browser that signed in by the form."""
    client = Client()
    assert sign_in(username, password, client).status_code == 302
    return client


def is_signed_in(client: Client) -> bool:
    return bool(client.get("/").status_code == 200)


def entries(event: EventType) -> list[Event]:
    return list(Event.objects.filter(event=event).order_by("pk"))


def standing(user: User, **fields: object) -> None:
    User.objects.filter(pk=user.pk).update(**fields)


def test_signing_in_leads_home_and_is_recorded(people: People) -> None:
    response = sign_in("  OKAFOR ")
    assert (response.status_code, response["Location"]) == (302, "/")
    (entry,) = entries(EventType.SIGN_IN)
    assert (entry.actor_label, entry.object_pk, entry.remote_addr) == (
        "okafor",
        str(people.okafor.pk),
        "127.0.0.1",
    )


def test_all_refusals_are_the_same_bytes_and_are_recorded(people: People) -> None:
    standing(people.lind, state="suspended")
    standing(people.ines, state="ended")
    standing(people.vera, ends_at=timezone.now() - DAY)
    attempts = [
        ("okafor", "wrong"),
        ("nobody", PASSWORD),
        ("lind", PASSWORD),
        ("ines", PASSWORD),
        ("vera", PASSWORD),
    ]
    pages = set()
    for username, password in attempts:
        response = sign_in(username, password)
        assert response.status_code == 200
        text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", response.content.decode())
        pages.add(text.replace(f'value="{username}"', ""))
    assert len(pages) == 1
    codes = [(entry.reason_code, entry.object_repr) for entry in entries(EventType.SIGN_IN_FAILED)]
    assert codes == [
        ("known_user", "okafor"),
        ("unknown_user", ""),
        ("known_user", "lind"),
        ("known_user", "ines"),
        ("known_user", "vera"),
    ]
    assert not entries(EventType.SIGN_IN)
    assert PASSWORD not in str([vars(entry) for entry in Event.objects.all()])


class CountingHasher(Argon2PasswordHasher):
    """The real hasher, which counts how often it works."""

    hashed: ClassVar[list[str]] = []

    def encode(self, *args: Any, **options: Any) -> str:
        self.hashed.append("encode")
        return super().encode(*args, **options)

    def verify(self, *args: Any, **options: Any) -> bool:
        self.hashed.append("verify")
        return super().verify(*args, **options)


@override_settings(PASSWORD_HASHERS=[f"{__name__}.CountingHasher"])
def test_all_refusals_take_one_hash_and_the_same_statements(people: People) -> None:
    for person in (people.okafor, people.lind, people.ines):
        person.set_password(PASSWORD)
        person.save()
    standing(people.lind, state="suspended")
    standing(people.ines, ends_at=timezone.now() - DAY)
    work = []
    for username in ("nobody", "okafor", "lind", "ines"):
        cache.clear()
        CountingHasher.hashed.clear()
        with CaptureQueriesContext(connection) as queries:
            assert sign_in(username, "wrong").status_code == 200
        work.append((len(CountingHasher.hashed), [query["sql"].split()[0] for query in queries]))
    assert work[0][0] == 1
    assert [work[0]] * 4 == work


@pytest.mark.parametrize("there", ["/admin/", "/account/sessions/", "/?x=1"])
def test_next_leads_to_a_path_of_ours(there: str, people: People) -> None:
    assert sign_in("okafor", next=there)["Location"] == there


@pytest.mark.parametrize("there", OUTSIDE)
def test_next_leads_nowhere_else(there: str, people: People) -> None:
    assert sign_in("okafor", next=there)["Location"] == "/"
    client = browser("okafor")
    assert client.get(LOGIN, {"next": there.replace("\x00", "")})["Location"] == "/"
    assert client.post("/account/logout/", {"next": there})["Location"] == LOGIN


def test_the_session_gets_a_new_key_at_signing_in(people: People) -> None:
    client = Client()
    session = client.session
    session["seen"] = True
    session.save()
    before = client.cookies[settings.SESSION_COOKIE_NAME].value
    sign_in("okafor", client=client)
    assert client.cookies[settings.SESSION_COOKIE_NAME].value != before
    assert not Session.objects.filter(pk=before).exists()


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(people: People) -> None:
    cookie = sign_in("okafor").cookies[settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert not cookie["max-age"]  # it ends with the browser


def test_a_form_without_its_token_changes_nothing(people: People) -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post(LOGIN, {"login": "okafor", "password": PASSWORD})
    assert response.status_code == 403
    assert "This form is out of date" in response.content.decode()
    assert not entries(EventType.SIGN_IN)


def test_too_many_failures_pause_a_name_even_for_the_right_password(people: People) -> None:
    for _ in range(10):
        sign_in("okafor", "wrong")
    response = sign_in("okafor")
    assert response.status_code == 200
    assert "Too many failed login attempts" in response.content.decode()
    entry = entries(EventType.SIGN_IN_FAILED)[-1]
    assert (entry.reason_code, entry.outcome) == ("too_many_attempts", 8)
    assert sign_in("lind").status_code == 302


@override_settings(ACCOUNT_RATE_LIMITS={"login": "2/m/ip"})
def test_too_many_forms_from_one_address_get_our_429(people: People) -> None:
    statuses = [sign_in("okafor", "wrong").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    response = sign_in("okafor")
    assert "Too many attempts" in response.content.decode()
    assert response["Retry-After"] == "60"
    assert response["X-Request-Id"] in response.content.decode()
    assert entries(EventType.SIGN_IN_FAILED)[-1].additional_data == {"page": "account_login"}


@pytest.mark.parametrize(
    "form",
    [
        {}, {"login": "okafor"}, {"password": PASSWORD}, {"login": "", "password": ""},
        {"login": "a\x00b", "password": PASSWORD}, {"login": "okafor", "password": "\x00"},
        {"login": "a" * 5000, "password": PASSWORD}, {"login": "okafor", "password": "x" * 200_000},
        {"login": ["okafor", "sam"], "password": PASSWORD + "x"}, {"login": "\u202eokafor", "password": "x"},
        {"login": "<script>alert(1)</script>", "password": "x"}, {"login": "okafor", "password": "x", "next": "\x00"},
    ],
)  # fmt: skip
def test_strange_forms_are_refused_on_the_form(form: dict[str, Any], people: People) -> None:
    response = Client().post(LOGIN, form)
    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()
    assert not entries(EventType.SIGN_IN)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\xfe\x00", "application/x-www-form-urlencoded"),
        (b"login=%FF%FE&password=%00", "application/x-www-form-urlencoded"),
        (b"login=a&password=b", "application/x-www-form-urlencoded; charset=no-such"),
        (b"not multipart", "multipart/form-data; boundary=x"),
        (b"not multipart", "multipart/form-data"),
        (b"{}", "application/json"),
        (b"x" * 1_100_000, "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(1100)), "application/x-www-form-urlencoded"),
    ],
)
def test_strange_bodies_are_no_server_error(body: bytes, content_type: str, people: People) -> None:
    client = Client(raise_request_exception=False)
    assert client.generic("POST", LOGIN, body, content_type=content_type).status_code in (200, 400)


def test_signing_out_needs_a_post_and_is_recorded(people: People) -> None:
    client = browser("okafor")
    assert client.get("/account/logout/").status_code == 200
    assert is_signed_in(client)
    client.post("/account/logout/")
    assert not is_signed_in(client)
    assert [entry.actor_label for entry in entries(EventType.SIGN_OUT)] == ["okafor"]


@pytest.mark.parametrize("change", ["suspend", "end"])
def test_a_session_stops_when_the_account_does(change: str, people: People) -> None:
    client = browser("okafor")
    getattr(users, change)(user=people.okafor, by=people.sam, reason="Left", now=timezone.now())
    assert not is_signed_in(client)


def test_a_session_stops_at_the_accounts_end(people: People) -> None:
    client = browser("okafor")
    standing(people.okafor, ends_at=timezone.now())
    assert not is_signed_in(client)


def change_password(client: Client, old: str = PASSWORD, new: str = NEW_PASSWORD, again: str = "") -> Any:
    return client.post(CHANGE, {"oldpassword": old, "password1": new, "password2": again or new})


def test_a_changed_password_ends_every_session_and_is_recorded_once(people: People) -> None:
    here, elsewhere = browser("okafor"), browser("okafor")
    response = change_password(here)
    assert (response.status_code, response["Location"]) == (302, LOGIN)
    assert not is_signed_in(here)
    assert not is_signed_in(elsewhere)
    (entry,) = entries(EventType.PASSWORD_CHANGED)
    assert (entry.actor_label, entry.additional_data) == ("okafor", {"method": "own"})
    assert NEW_PASSWORD not in str(vars(entry))
    assert sign_in("okafor").status_code == 200
    assert browser("okafor", NEW_PASSWORD)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"old": "wrong"}, "enter_current_password"),
        ({"new": "short"}, "password_too_short"),
        ({"new": "polniypizdec0211"}, "password_too_common"),
        ({"again": "another phrase altogether"}, "password_mismatch"),
    ],
)
def test_a_refused_password_changes_nothing_and_is_recorded(
    form: dict[str, str], code: str, people: People
) -> None:
    client = browser("okafor")
    response = change_password(client, **form)
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode() or "errorlist" in response.content.decode()
    assert is_signed_in(client)
    assert not entries(EventType.PASSWORD_CHANGED)
    (refused,) = entries(EventType.OPERATION_REFUSED)
    assert refused.additional_data == {"operation": "password_change"}
    assert refused.reason_code


def test_without_its_entry_the_password_stays(people: People) -> None:
    client = browser("okafor")
    client.raise_request_exception = False
    with failing_ledger():
        assert change_password(client).status_code >= 500
    people.okafor.refresh_from_db()
    assert people.okafor.check_password(PASSWORD)
    assert is_signed_in(client)


def test_without_its_entry_nobody_signs_in(people: People) -> None:
    client = Client(raise_request_exception=False)
    with failing_ledger():
        assert sign_in("okafor", client=client).status_code >= 500
    assert not is_signed_in(client)


def test_a_fresh_proof_is_asked_for_and_a_wrong_one_recorded(people: People) -> None:
    client = browser("okafor")
    assert client.post("/account/reauthenticate/", {"password": "wrong"}).status_code == 200
    assert entries(EventType.SIGN_IN_FAILED)[-1].object_repr == "okafor"
    response = client.post("/account/reauthenticate/", {"password": PASSWORD, "next": "/admin/"})
    assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_sessions_are_listed_and_others_can_be_ended(people: People) -> None:
    here, elsewhere, third = browser("okafor"), browser("okafor"), browser("okafor")
    numbers = re.findall(r'name="end" value="(\d+)"', here.get(SESSIONS).content.decode())
    assert len(numbers) == 2
    assert here.post(SESSIONS, {"end": numbers[0]}).status_code == 302
    assert [is_signed_in(client) for client in (here, elsewhere, third)].count(True) == 2
    here.post(SESSIONS, {"end": "others"})
    assert [is_signed_in(client) for client in (here, elsewhere, third)] == [True, False, False]
    assert [entry.additional_data["method"] for entry in entries(EventType.SIGN_OUT)] == [
        "from_another_session"
    ] * 2


def test_nobody_ends_somebody_elses_session(people: People) -> None:
    hers, his = browser("okafor"), browser("lind")
    browser("okafor")
    (number,) = re.findall(r'name="end" value="(\d+)"', hers.get(SESSIONS).content.decode())
    his.post(SESSIONS, {"end": number})
    assert len(re.findall(r'name="end" value="(\d+)"', hers.get(SESSIONS).content.decode())) == 1
    assert not entries(EventType.SIGN_OUT)


@pytest.mark.parametrize("end", ["", "x", "-1", "9" * 30, "\x00", "²"])
def test_a_session_that_is_no_number_is_a_400(end: str, people: People) -> None:
    assert browser("okafor").post(SESSIONS, {"end": end}).status_code == 400


def test_without_its_entry_no_session_ends(people: People) -> None:
    here, elsewhere = browser("okafor"), browser("okafor")
    here.raise_request_exception = False
    with failing_ledger():
        assert here.post(SESSIONS, {"end": "others"}).status_code >= 500
    assert is_signed_in(elsewhere)


def test_what_is_over_is_removed_from_both_lists(people: People) -> None:
    client, later = browser("okafor"), timezone.now() + 2 * DAY
    assert sessions.remove_ended(timezone.now()) == 0
    assert is_signed_in(client)
    assert sessions.remove_ended(later) == 1
    assert client.get("/").status_code == 302
    assert not people.okafor.usersession_set.exists()


def routes(patterns: list[Any], before: str = "") -> list[str]:
    """Return every address below /account/ that leads somewhere."""
    found: list[str] = []
    for pattern in patterns:
        address = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += routes(pattern.url_patterns, address)
        elif isinstance(pattern, URLPattern) and address.startswith("account/"):
            found.append(address.removeprefix("account/"))
    return found


def test_only_the_pages_we_mean_are_there() -> None:
    assert sorted(routes(get_resolver().url_patterns)) == [
        "inactive/", "login/", "logout/", "password/change/", "reauthenticate/", "sessions/", "signup/",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "email/",
        "confirm-email/",
        "password/reset/",
        "password/set/",
        "login/code/confirm/",
        "2fa/",
        "mfa/",
        "",
    ],
)
def test_allauths_other_pages_do_not_exist(address: str, people: People) -> None:
    assert Client().get(f"/account/{address}").status_code == 404
    assert browser("okafor").post(f"/account/{address}").status_code == 404


def test_nobody_signs_themselves_up(people: People) -> None:
    form = {"username": "mallory", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    for response in (Client().get("/account/signup/"), Client().post("/account/signup/", form)):
        assert "Accounts are given, not made" in response.content.decode()
    assert not User.objects.filter(username="mallory").exists()
