"""The home: whom one may see, why and until when; and that a name is shown only after the ledger knows."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import user_agents
from accounts.access import reach
from accounts.models import User
from accounts.operations import access_grants
from audit.events import EventType
from audit.models import Event
from tests.accounts.portal import signed_in
from tests.accounts.test_reach import ward_of
from tests.ledger_failure import failing_ledger
from tests.people import DAY, PHI, People
from tests.tokens.calls import obtain

pytestmark = pytest.mark.django_db


def shown(client: Client, **form: str) -> str:
    """Return the home's text, by POST when a form is sent."""
    response = client.post("/", form) if form else client.get("/")
    assert response.status_code == 200
    return response.content.decode()


def searches() -> list[Event]:
    """Return the entries about what the home showed, oldest first."""
    return list(Event.objects.filter(event=EventType.PATIENT_SEARCHED).order_by("pk"))


def test_nobody_sees_it_without_signing_in(people: People) -> None:
    response = Client().get("/")
    assert (response.status_code, response["Location"]) == (302, "/account/login/?next=/")
    assert Client().post("/", {"q": "MRN-000001"}).status_code == 302


def test_it_says_whom_why_and_until_when(people: People) -> None:
    page = shown(signed_in(people.okafor))
    assert "Rosa Alvarez" in page
    assert "14 Mar 1958" in page
    assert "MRN-000001" in page
    assert "Access grant, approved by Vera Nowak" in page
    assert "Treatment" in page
    assert f"{people.grant.ends_at:%H:%M}" in page
    assert "Amir" not in page


def test_whoever_has_no_patient_is_told_how_to_get_one(people: People) -> None:
    page = shown(signed_in(people.lind))
    assert "No patient is open to you yet" in page
    assert not any(phi in page for phi in PHI)


def test_a_search_finds_only_ones_own_patients(people: People) -> None:
    client = signed_in(people.okafor)
    assert "Rosa Alvarez" in shown(client, q=" mrn-000001 ")
    for number in ("MRN-000002", "MRN-0000", "nothing", "x" * 5000, "\x00", "ü\ufffd", "' OR 1=1 --"):
        page = shown(client, q=number)
        assert "None of your patients has this record number" in page
        assert not any(phi in page.replace(number, "") for phi in PHI)


def test_a_search_in_the_address_is_not_a_search(people: People) -> None:
    page = signed_in(people.okafor).get("/", {"q": "MRN-000002", "after": "x"}).content.decode()
    assert "Rosa Alvarez" in page
    assert "MRN-000002" not in page
    assert 'method="get"' not in page


def test_what_was_shown_is_recorded_without_what_was_typed(people: People) -> None:
    client = signed_in(people.okafor)
    shown(client)
    shown(client, q="MRN-000001")
    shown(client, q="MRN-000002")
    told = [(entry.actor_label, entry.patient_ref, entry.additional_data) for entry in searches()]
    page = {"page": "home"}
    assert told == [
        ("okafor", "", page | {"by_record_number": False, "shown": 1}),
        ("okafor", str(people.rosa.pk), page | {"by_record_number": True, "shown": 1}),
        ("okafor", "", page | {"by_record_number": True, "shown": 0}),
    ]


def test_no_entry_no_names(people: People) -> None:
    client = signed_in(people.okafor)
    client.raise_request_exception = False
    with failing_ledger():
        response = client.get("/")
    assert response.status_code >= 500
    assert not any(phi in response.content.decode() for phi in PHI)


def test_a_revoked_grant_is_gone_at_the_next_look(people: People) -> None:
    client = signed_in(people.okafor)
    assert "Rosa" in shown(client)
    access_grants.revoke(grant=people.grant, by=people.vera, reason="Moved", now=timezone.now())
    assert "Rosa" not in shown(client)


@pytest.mark.parametrize("after", ["x", "1", "00000000-0000-0000-0000-00000000000g", "\x00", "a" * 9000])
def test_a_broken_position_is_a_400(after: str, people: People) -> None:
    response = signed_in(people.okafor).post("/", {"after": after})
    assert response.status_code == 400
    assert after not in response.content.decode() or len(after) < 3


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_refused(method: str, people: People) -> None:
    assert signed_in(people.okafor).generic(method, "/").status_code == 405


def test_more_patients_come_by_post_and_none_twice(people: People) -> None:
    ward_of(people.lind, reach.PAGE + 5, timezone.now())
    client = signed_in(people.lind)
    first = shown(client)
    position = re.search(r'name="after" value="([^"]+)"', first)
    assert position
    second = shown(client, after=position[1])
    numbers = [re.findall(r"SYN-\d+-\d+", page) for page in (first, second)]
    assert [len(found) for found in numbers] == [reach.PAGE, 5]
    assert len(set(numbers[0] + numbers[1])) == reach.PAGE + 5
    assert "More patients" not in second


def test_thousands_of_patients_take_a_bounded_number_of_statements(people: People) -> None:
    ward_of(people.okafor, 5000, timezone.now())
    client = signed_in(people.okafor)
    with CaptureQueriesContext(connection) as queries:
        shown(client)
    assert len(queries) <= 16, "\n".join(query["sql"] for query in queries)


def test_an_account_that_ends_soon_says_so(people: People) -> None:
    client = signed_in(people.okafor)
    assert "Your account ends on" not in shown(client)
    User.objects.filter(pk=people.okafor.pk).update(ends_at=timezone.now() + 10 * DAY)
    assert "Your account ends on" in shown(client)
    User.objects.filter(pk=people.okafor.pk).update(ends_at=timezone.now() + 60 * DAY)
    assert "Your account ends on" not in shown(client)


def test_a_sign_in_by_an_application_shows_too(people: People, signing_keys: None) -> None:
    client = signed_in(people.okafor)
    assert "in an application" not in shown(client)
    obtain("okafor")
    assert shown(client).count("in an application") == 1
    assert "in an application" not in shown(signed_in(people.lind))


def test_recent_sign_ins_are_ones_own(people: People) -> None:
    client = Client(
        headers={"user-agent": "Mozilla/5.0 (Windows NT 10.0; rv:130.0) Gecko/20100101 Firefox/130.0"}
    )
    client.post("/account/login/", {"login": "lind", "password": "wrong"})
    client.post("/account/login/", {"login": "okafor", "password": "wrong"})
    client.post("/account/login/", {"login": "okafor", "password": "correct horse battery staple"})
    page = shown(client)
    assert page.count("Firefox on Windows") == 2
    assert page.count("wrong password") == 1


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 14) AppleWebKit/605 Version/17 Safari/605",
            "Safari on macOS",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17 like Mac OS X) CriOS/130 Safari/604", "Chrome on iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/130.0 Safari/537.36", "Chrome on Linux"),
        ("curl/8.1", "Unknown program"),
        ("", "Unknown program"),
    ],
)
def test_a_device_has_a_name_that_people_know(agent: str, words: str) -> None:
    assert user_agents.describe(agent) == words
