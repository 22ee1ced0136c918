"""The ledger's page over HTTP: who reads it, what a reading leaves behind, and what it makes of nonsense."""

import datetime
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit import ledger, search
from audit.events import EventType, Outcome
from audit.models import Event
from tests.accounts.portal import recorded, refusals, signed_in
from tests.ledger_failure import failing_ledger
from tests.people import DAY, People, make_user

LEDGER = "/admin/audit/event/"
PATIENT = "0b8e7f4c-1d2e-4f3a-8b9c-000000000001"


def note(event: EventType = EventType.TOKEN_REFRESHED, **said: Any) -> Event:
    """Write an entry and return it."""
    return Event.objects.get(event_id=ledger.record(event, **said))


def shown(client: Client, /, **filters: Any) -> list[dict[str, Any]]:
    """Return the lines that the page shows for a filter, without those about readings."""
    answer = client.get(LEDGER, filters)
    assert answer.status_code == 200
    return [line for line in answer.context["events"] if line["event"] != EventType.LEDGER_READ]


def keys(lines: list[dict[str, Any]]) -> list[int]:
    """Return the ids of lines."""
    return [line["id"] for line in lines]


@pytest.fixture
def ines(people: People) -> Client:
    """The compliance officer's browser."""
    return signed_in(people.ines)


@pytest.fixture
def superuser(people: People) -> Client:
    """The browser of an account that Django would let do anything."""
    return signed_in(make_user("root", is_superuser=True))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three."""
    monkeypatch.setattr(search, "PAGE", 3)


def addresses() -> list[str]:
    entry = Event.objects.order_by("pk").first()
    assert entry is not None
    return [LEDGER, f"{LEDGER}{entry.pk}/change/", f"{LEDGER}export/"]


def test_an_administrator_is_refused_and_the_refusal_is_recorded(people: People) -> None:
    client = signed_in(people.sam)
    for address in addresses():
        assert client.get(address).status_code == 403
    assert client.post(f"{LEDGER}export/", {"purpose": "audit"}).status_code == 403
    assert refusals("admin:audit_event_changelist") == [("sam", "not_permitted")]
    assert refusals("admin:audit_event_change") == [("sam", "not_permitted")]
    assert refusals("admin:audit_event_export") == [("sam", "not_permitted")] * 2
    assert not recorded(EventType.LEDGER_READ)
    assert not recorded(EventType.LEDGER_EXPORTED)


def test_a_superuser_is_refused(superuser: Client) -> None:
    for address in addresses():
        assert superuser.get(address).status_code == 403
    assert superuser.post(f"{LEDGER}export/", {"purpose": "audit"}).status_code == 403
    assert not recorded(EventType.LEDGER_READ)


def test_who_is_not_signed_in_gets_the_form_and_comes_back(people: People) -> None:
    answer = Client().get(LEDGER, follow=True)
    assert answer.redirect_chain[-1][0].startswith("/account/login/?next=")
    assert "admin/audit/event" in answer.redirect_chain[-1][0]


@pytest.mark.parametrize("last", ["add/", "{pk}/delete/", "{pk}/history/", "{pk}/", "autocomplete/"])
def test_the_admins_own_pages_do_not_exist(ines: Client, superuser: Client, last: str) -> None:
    address = LEDGER + last.format(pk=note().pk)
    for client in (ines, superuser):
        assert client.get(address).status_code == 404
        assert client.post(address, {"post": "yes"}).status_code == 404


def test_nothing_is_posted_to_the_ledger(ines: Client) -> None:
    entry = note()
    for address in (LEDGER, f"{LEDGER}{entry.pk}/change/"):
        for data in (
            {"reason": "other"},
            {"action": "delete_selected", "_selected_action": entry.pk, "post": "yes"},
        ):
            assert ines.post(address, data).status_code == 403
    assert Event.objects.get(pk=entry.pk).reason == ""


def test_the_newest_entries_come_first(ines: Client) -> None:
    first, second = note(), note()
    assert keys(shown(ines))[:2] == [second.pk, first.pk]


def test_a_reading_is_recorded_with_its_filter_before_it_is_shown(people: People, ines: Client) -> None:
    answer = ines.get(
        LEDGER, {"patient": PATIENT.upper(), "actor": "OKAFOR", "event": "accounts:session:start"}
    )
    entry = recorded(EventType.LEDGER_READ)[-1]
    assert entry.actor_label == "ines"
    assert entry.additional_data == {
        "filter": {"patient": PATIENT, "actor": str(people.okafor.pk), "event": "accounts:session:start"}
    }
    assert answer.status_code == 200
    assert ines.get(LEDGER).context["events"][0]["event"] == EventType.LEDGER_READ


def test_no_entry_no_reading(people: People, ines: Client) -> None:
    entry = note()
    ines.raise_request_exception = False
    with failing_ledger():
        for address in (LEDGER, f"{LEDGER}{entry.pk}/change/"):
            answer = ines.get(address)
            assert answer.status_code >= 500
            assert str(entry.event_id).encode() not in answer.content
            assert EventType.TOKEN_REFRESHED.label.encode() not in answer.content


def test_each_filter_finds_its_entries_and_no_others(people: People, ines: Client) -> None:
    request_id = str(uuid.uuid4())
    wanted = note(EventType.PATIENT_TOKEN_ISSUED, by=people.okafor, client="chart-app", patient=PATIENT)
    refused = note(EventType.TOKEN_REFUSED, outcome=Outcome.REFUSED, by=people.lind)
    from audit import context

    with context.use(context.Context(request_id=request_id)):
        traced = note()
    assert keys(shown(ines, actor="okafor")) == [wanted.pk]
    assert keys(shown(ines, actor=str(people.okafor.pk))) == [wanted.pk]
    assert keys(shown(ines, patient=PATIENT, event=wanted.event)) == [wanted.pk]
    assert keys(shown(ines, client="chart-app")) == [wanted.pk]
    assert keys(shown(ines, outcome="4", actor="lind")) == [refused.pk]
    assert keys(shown(ines, event=EventType.TOKEN_REFUSED.value)) == [refused.pk]
    assert keys(shown(ines, request_id=request_id)) == [traced.pk]
    assert shown(ines, patient=PATIENT, outcome="4") == []


def test_a_time_has_a_beginning_that_counts_and_an_end_that_does_not(ines: Client) -> None:
    noon = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    minute = datetime.timedelta(minutes=1)
    entries = [note(now=noon + number * minute) for number in range(4)]
    between = {"from": "2026-03-01T12:01", "to": "2026-03-01T12:03:00"}
    assert keys(shown(ines, **between)) == [entries[2].pk, entries[1].pk]
    assert shown(ines, **{"from": "2031-01-01T00:00"}) == []
    assert shown(ines, to="0001-01-01T00:00") == []


@pytest.mark.usefixtures("small_pages")
def test_older_and_newer_lead_through_everything_once(ines: Client, people: People) -> None:
    entries = [note(by=people.okafor).pk for _ in range(8)][::-1]
    pages, answer = [], ines.get(LEDGER, {"actor": "okafor"})
    assert answer.context["newer_url"] == ""
    while True:
        pages.append(keys(answer.context["events"]))
        if not answer.context["older_url"]:
            break
        answer = ines.get(answer.context["older_url"])
    assert pages == [entries[:3], entries[3:6], entries[6:]]
    for expected in (pages[1], pages[0]):
        answer = ines.get(answer.context["newer_url"])
        assert keys(answer.context["events"]) == expected


@pytest.mark.usefixtures("small_pages")
def test_what_has_no_index_is_looked_for_piece_by_piece(
    ines: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = note(client="chart-app")
    for _ in range(30):
        note()
    monkeypatch.setattr(search, "WINDOW", 10)
    answer = ines.get(LEDGER, {"client": "chart-app"})
    assert answer.context["events"] == []
    assert b"Go on with older events" in answer.content
    found, steps = [], 0
    while answer.context["older_url"] and not found:
        answer, steps = ines.get(answer.context["older_url"]), steps + 1
        found = keys(answer.context["events"])
    assert found == [wanted.pk]
    assert steps == 3
    upwards = ines.get(answer.context["newer_url"])
    assert upwards.context["events"] == []
    assert upwards.context["newer_url"]


@pytest.mark.parametrize(
    "query",
    [
        "event=nothing", "outcome=5", "outcome=x", "actor=nobody", "actor=%FF", "patient=Alvarez",
        "client=a+b", f"client={'x' * 65}", "request_id=1", "from=yesterday",
        "from=%FF", "to=2026-02-30T00:00", "from=2026-01-02T00:00&to=2026-01-01T00:00", "before=0", "before=x",
        f"after={2**63}", "colour=red", "event=&event=", "before=1&before=2",
        "patient__contains=1", "o=1", "p=1", "all=", "_popup=1", "q=x",
    ],
)  # fmt: skip
def test_a_filter_that_is_not_understood_is_said_on_the_page_and_reads_nothing(
    ines: Client, query: str
) -> None:
    entry = note()
    answer = ines.get(f"{LEDGER}?{query}")
    assert answer.status_code == 200
    assert answer.context["filter_form"].errors
    assert b"Nothing was read" in answer.content
    assert answer.context["events"] == []
    assert str(entry.pk) not in [line["id"] for line in answer.context["events"]]
    assert not recorded(EventType.LEDGER_READ)


@pytest.mark.parametrize("name", ["actor", "patient", "client", "event", "from", "after"])
def test_a_nul_reads_nothing(ines: Client, name: str) -> None:
    assert ines.get(f"{LEDGER}?{name}=%00").status_code in (200, 400)
    assert not recorded(EventType.LEDGER_READ)


def test_an_entry_is_shown_whole_with_before_and_after(people: People, ines: Client) -> None:
    entry = note(
        EventType.USER_UPDATED, by=people.sam, obj=people.lind, changes={"state": ["active", "suspended"]},
        details={"note": "<b>"}, reason="left",
    )  # fmt: skip
    page = ines.get(f"{LEDGER}{entry.pk}/change/")
    text = page.content.decode()
    assert page.context["changes"] == [{"field": "state", "before": "active", "after": "suspended"}]
    assert "<del>active</del>" in text
    assert "<ins>suspended</ins>" in text
    assert bytes(entry.leaf).hex() in text
    assert "<b>" not in text
    assert recorded(EventType.LEDGER_READ)[-1].additional_data == {"entry": str(entry.event_id)}


@pytest.mark.parametrize("key", [0, 2**63 - 1, 2**63, 10**40])
def test_an_entry_that_is_not_there_is_not_found(ines: Client, key: int) -> None:
    assert ines.get(f"{LEDGER}{key}/change/").status_code == 404


def test_a_page_takes_the_same_few_statements_however_long_the_ledger(
    ines: Client, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    filters = {"actor": "ines", "from": (timezone.now() - DAY).strftime("%Y-%m-%dT%H:%M")}
    with django_assert_max_num_queries(12) as few:
        ines.get(LEDGER, filters)
    for _ in range(120):
        note()
    with django_assert_num_queries(len(few)) as many:
        ines.get(LEDGER, filters)
    statements = " ".join(query["sql"].upper() for query in many)
    assert "OFFSET" not in statements
    assert "COUNT(" not in statements


@pytest.mark.parametrize(
    ("criteria", "index"),
    [
        (search.Criteria(actor="x"), "event_actor"),
        (search.Criteria(patient="x"), "event_patient"),
        (search.Criteria(event="x"), "event_event"),
        (search.Criteria(), "PRIMARY KEY"),
    ],
)
def test_a_page_is_found_through_an_index_in_its_order(
    db: None, criteria: search.Criteria, index: str
) -> None:
    entries = criteria.entries().filter(id__range=(1, 9)).order_by("-id")[:51]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            index = "audit_event_pkey" if index == "PRIMARY KEY" else index
            for setting in ("seqscan", "bitmapscan", "sort"):  # a few rows would not be worth an index
                cursor.execute(f"SET LOCAL enable_{setting} = off")
    plan = entries.explain()
    assert index in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def test_the_portal_leads_compliance_officers_and_nobody_else_to_the_ledger(
    people: People, ines: Client, superuser: Client
) -> None:
    assert reverse("admin:audit_event_changelist").encode() in ines.get("/admin/").content
    assert (
        reverse("admin:audit_event_changelist").encode() not in signed_in(people.sam).get("/admin/").content
    )
