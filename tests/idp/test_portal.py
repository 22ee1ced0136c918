"""The portal: who enters, what its home says to whom, and that it says it with few statements."""

import datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import PatientAccessGrant, Role, User
from accounts.operations import access_grants, role_assignments
from audit import ledger
from audit.events import EventType, Outcome
from audit.models import Event
from idp import attention
from tests.accounts.portal import refusals, signed_in
from tests.people import DAY, PHI, SCOPES, People, make_patient, make_user
from tokens.models import SigningKey

HOME = "/admin/"
HOUR = datetime.timedelta(hours=1)
pytestmark = pytest.mark.usefixtures("signing_keys")


def home(person: User) -> dict[str, Any]:
    """Return the figures on a person's home page."""
    cards: dict[str, Any] = signed_in(person).get(HOME).context["attention"]
    return cards


def ask(people: People, *, to: User | None = None, days: int = 5) -> PatientAccessGrant:
    """Ask for access to Rosa."""
    now = timezone.now()
    return access_grants.request(
        patient=people.rosa, grantee_user=to or people.lind, scopes=SCOPES, ends_at=now + days * DAY,
        reason="Second opinion", by=people.sam, now=now,
    )  # fmt: skip


def failed(now: datetime.datetime) -> None:
    ledger.record(EventType.SIGN_IN_FAILED, outcome=Outcome.REFUSED, now=now)


# Who enters


def test_who_is_not_signed_in_gets_the_sign_in_form_and_comes_back() -> None:
    for url in (HOME, "/admin/audit/", "/admin/accounts/user/", "/admin/login/?next=/admin/"):
        answer = Client().get(url, follow=True)
        assert answer.status_code == 200
        assert answer.redirect_chain[-1][0].startswith("/account/login/?next=/admin/")
        assert "login" not in answer.redirect_chain[-1][0].partition("next=")[2]
    assert Client().get("/admin/login/").headers["Location"] == "/account/login/?next=/admin/"


def test_who_may_not_enter_is_refused_at_the_page_they_asked_for(people: People) -> None:
    client = signed_in(people.okafor)
    for url in (HOME, "/admin/audit/", "/admin/audit/event/", "/admin/accounts/user/", "/admin/jsi18n/"):
        answer = client.get(url)
        assert answer.status_code == 403
        assert "Wardkey" in answer.content.decode()
    assert refusals("admin:index") == [("okafor", "not_permitted")]
    assert refusals("admin:audit_event_changelist") == [("okafor", "not_permitted")]


def test_the_admins_own_doors_lead_to_the_one_sign_in(people: People) -> None:
    client = signed_in(people.sam)
    assert client.get("/admin/login/").headers["Location"] == HOME
    assert client.get("/admin/login/?next=https://example.org/").headers["Location"] == HOME
    assert client.get("/admin/password_change/").headers["Location"] == "/account/password/change/"
    assert client.post("/admin/password_change/").headers["Location"] == "/account/password/change/"
    assert client.get("/admin/password_change/done/").headers["Location"] == HOME
    assert client.post("/admin/logout/").headers["Location"] == "/account/logout/"


def test_a_password_posted_to_the_admins_own_form_signs_nobody_in(people: People) -> None:
    client = Client()
    client.post("/admin/login/", {"username": "sam", "password": "correct horse battery staple"})
    assert client.get(HOME).status_code == 302


def test_no_record_has_a_link_that_leads_around_its_permissions(people: People) -> None:
    assert signed_in(people.sam).get("/admin/r/1/%00/").status_code in (400, 404)
    assert signed_in(people.sam).get("/admin/r/1/1/").status_code == 404


# What the home says


def test_the_home_has_the_portals_own_name_and_says_so_when_nothing_waits(people: People) -> None:
    text = signed_in(people.sam).get(HOME).content.decode()
    assert "Django" not in text
    assert "Wardkey portal" in text
    assert "No request is waiting for a decision." in text
    assert "No access grant ends within 14 days." in text


def test_requests_wait_on_the_home_of_who_may_see_grants(people: People) -> None:
    waiting = ask(people)
    card = home(people.sam)["requests_waiting"]
    assert card["count"] == 1
    assert [row["url"] for row in card["rows"]] == [
        f"/admin/accounts/patientaccessgrant/{waiting.pk}/change/"
    ]
    listed = signed_in(people.sam).get(card["url"]).context["cl"].result_list
    assert list(listed) == [waiting]


def test_grants_that_end_within_a_fortnight_are_shown_soonest_first(people: People) -> None:
    later = access_grants.approve(grant=ask(people, days=9), by=people.vera, now=timezone.now())
    nurse = make_user("nurse", role="clinician")
    sooner = access_grants.approve(grant=ask(people, to=nurse, days=2), by=people.vera, now=timezone.now())
    rows = home(people.sam)["grants_ending"]["rows"]
    assert [str(grant.pk) in row["url"] for grant, row in zip((sooner, later), rows, strict=True)] == [
        True,
        True,
    ]
    assert str(people.grant.pk) not in str(rows)  # thirty days


def test_a_grant_that_has_ended_is_not_ending(people: People) -> None:
    now = timezone.now()
    PatientAccessGrant.objects.filter(pk=people.grant.pk).update(starts_at=now - 2 * HOUR, ends_at=now - HOUR)
    assert home(people.sam)["grants_ending"]["count"] == 0


def test_patients_are_named_only_to_who_may_open_them(people: People) -> None:
    ask(people)
    role = people.ines.role_assignments.get().role
    assert "Alvarez, Rosa" in signed_in(people.ines).get(HOME).content.decode()
    role.permissions.remove(role.permissions.get(codename="view_patient"))
    text = signed_in(people.ines).get(HOME).content.decode()
    assert not [word for word in PHI if word in text]
    assert str(people.rosa.pk) in text


def test_each_card_needs_its_permission(people: People) -> None:
    role = people.ines.role_assignments.get().role
    everything = {
        "requests_waiting", "grants_ending", "signing_keys_ok", "signing_keys", "failed_sign_ins_today",
        "failed_sign_ins_by_hour", "refusals_today",
    }  # fmt: skip
    assert set(home(people.ines)) == everything
    assert set(home(people.sam)) == everything | {"assignments_waiting"}
    role.permissions.remove(role.permissions.get(codename="view_patientaccessgrant"))
    assert set(home(people.ines)) == everything - {"requests_waiting", "grants_ending"}
    role.permissions.remove(role.permissions.get(codename="view_signingkey"))
    assert set(home(people.ines)) == {"failed_sign_ins_today", "failed_sign_ins_by_hour", "refusals_today"}
    role.permissions.remove(role.permissions.get(codename="view_event"))
    assert home(people.ines) == {}
    text = signed_in(people.ines).get(HOME).content.decode()
    assert "Failed sign-ins" not in text
    assert "Signing keys" not in text


def test_a_role_waits_on_the_home_of_who_could_approve_it(people: People) -> None:
    administrator = Role.objects.get(code="administrator")
    waits = role_assignments.assign(
        user=people.lind, role=administrator, reason="New job", by=people.sam, now=timezone.now()
    )
    card = home(people.vera)["assignments_waiting"]
    assert (card["count"], [row["person_label"] for row in card["rows"]]) == (1, [people.lind])
    assert "assigned by Sam Whitfield" in signed_in(people.vera).get(HOME).content.decode()
    listed = signed_in(people.vera).get(card["url"]).context["cl"].result_list
    assert list(listed) == [waits]
    assert home(people.sam)["assignments_waiting"]["count"] == 0  # nobody approves their own
    assert "Roles waiting for approval" not in signed_in(people.sam).get(HOME).content.decode()
    role_assignments.approve(assignment=waits, by=people.vera, now=timezone.now())
    assert home(people.vera)["assignments_waiting"]["count"] == 0


def test_keys_are_in_order_until_one_is_missing_or_too_old(people: People) -> None:
    figures = home(people.sam)
    assert figures["signing_keys_ok"] is True
    assert {key["algorithm"] for key in figures["signing_keys"]} == {"ES256", "RS256"}
    key = SigningKey.objects.get(algorithm="ES256")
    SigningKey.objects.filter(pk=key.pk).update(activated_at=timezone.now() - 31 * DAY)
    assert home(people.sam)["signing_keys_ok"] is False
    SigningKey.objects.filter(pk=key.pk).update(state="retired", private_key=None)
    assert home(people.sam)["signing_keys_ok"] is False
    assert "Needs a look" in signed_in(people.sam).get(HOME).content.decode()


def test_failures_of_today_are_counted_by_hour_and_those_of_yesterday_are_not(people: People) -> None:
    noon = datetime.datetime(2026, 3, 2, 12, 30, tzinfo=datetime.UTC)
    for hours in (-13, 0, -1, -1, -12):
        failed(noon + hours * HOUR)
    ledger.record(EventType.TOKEN_REFUSED, outcome=Outcome.REFUSED, now=noon)
    ledger.record(EventType.TOKEN_REFUSED, outcome=Outcome.REFUSED, now=noon - 20 * HOUR)
    figures = attention.today(noon)
    assert figures["failed_sign_ins_today"] == 4
    assert {hour: count for hour, count in enumerate(figures["failed_sign_ins_by_hour"]) if count} == {
        0: 1,
        11: 2,
        12: 1,
    }
    assert figures["refusals_today"] == 1


def test_an_account_that_failed_to_sign_in_is_not_named_on_the_home(people: People) -> None:
    Client().post("/account/login/", {"login": "okafor", "password": "wrong"})
    page = signed_in(people.sam).get(HOME)
    assert page.context["attention"]["failed_sign_ins_today"] == 1
    assert "okafor" not in page.content.decode()


def test_the_ledger_has_it_when_the_cards_name_patients(people: People) -> None:
    ask(people)
    assert people.rosa.identification in signed_in(people.sam).get(HOME).content.decode()
    [entry] = Event.objects.filter(event=EventType.PATIENT_SEARCHED)
    assert entry.actor_label == "sam"
    assert entry.additional_data == {
        "page": "admin:index",
        "shown": len(home(people.sam)["grants_ending"]["rows"]) + 1,
    }


# What it costs


def test_counts_stop_where_they_would_be_of_no_use(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "MOST", 3)
    monkeypatch.setattr(attention, "MOST_EVENTS", 3)
    for number in range(7):
        ask(people, to=make_user(f"nurse-{number}"))
        failed(timezone.now())
    figures = home(people.sam)
    assert figures["requests_waiting"]["count"] == "3+"
    assert len(figures["requests_waiting"]["rows"]) == attention.ROWS
    assert figures["failed_sign_ins_today"] == "3+"
    assert "3+ waiting" in signed_in(people.sam).get(HOME).content.decode()


def test_a_longer_history_takes_no_more_statements(
    people: People, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(people.sam)
    ask(people)
    with django_assert_max_num_queries(18) as few:
        client.get(HOME)
    for number in range(8):
        patient = make_patient(f"MRN-1{number:05}", "Quill", "Nan", "1960-01-01")
        nurse = make_user(f"nurse-{number}")
        access_grants.request(
            patient=patient, grantee_user=nurse, scopes=SCOPES, ends_at=timezone.now() + 3 * DAY, reason="x",
            by=people.sam, now=timezone.now(),
        )  # fmt: skip
        failed(timezone.now())
    with django_assert_num_queries(len(few)) as many:
        client.get(HOME)
    for query in many:
        if "patientaccessgrant" in query["sql"] or 'FROM "audit_event"' in query["sql"]:
            assert "LIMIT" in query["sql"]


def test_the_cards_find_grants_through_their_index_in_its_order(people: People) -> None:
    client = signed_in(people.sam)
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as captured:
        client.get(HOME)
        selects = [query["sql"] for query in captured if 'FROM "accounts_patientaccessgrant"' in query["sql"]]
        assert len(selects) == 4
        if connection.vendor == "postgresql":
            for setting in ("seqscan", "bitmapscan", "sort"):  # a few rows would not be worth an index
                cursor.execute(f"SET LOCAL enable_{setting} = off")
        for sql in selects:
            cursor.execute(("EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN ") + sql)
            plan = str(cursor.fetchall())
            assert "access_grant_state_end" in plan
            assert "Sort" not in plan
            assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("app", ["accounts", "tokens", "audit"])
def test_each_floor_has_its_page_of_models(people: People, app: str) -> None:
    page = signed_in(people.ines).get(f"/admin/{app}/")
    assert page.status_code == 200
    assert "attention" not in page.context or not page.context["attention"]
