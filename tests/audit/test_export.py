"""The ledger as CSV: who may have it, what it leaves behind, what is in it, and that it never grows in memory."""

import csv
import datetime
import io
import tracemalloc
import uuid
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from audit import export, ledger, search
from audit.events import EventType
from audit.models import Event
from audit.search import Criteria
from tests.accounts.portal import recorded, signed_in
from tests.ledger_failure import failing_ledger
from tests.people import People

EXPORT = "/admin/audit/event/export/"
MANY = 20_000


def rows_of(pieces: Any) -> list[list[str]]:
    """Return the records of a file that came in pieces."""
    return list(csv.reader(io.StringIO(b"".join(pieces).decode(), newline=""), strict=True))


def test_the_file_has_a_header_every_entry_and_a_record_that_says_it_is_whole(people: People) -> None:
    entry = Event.objects.get(
        event_id=ledger.record(EventType.SIGN_OUT, by=people.okafor, details={"b": 1, "a": 2})
    )
    client = signed_in(people.ines)
    before = Event.objects.count()
    answer = client.post(EXPORT, {"purpose": "Case 7"})
    rows = rows_of(answer.streaming_content)
    assert answer["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer["Cache-Control"].count("no-store") == 1
    assert tuple(rows[0]) == export.COLUMNS
    assert rows[0][:3] == ["event_id", "version", "recorded_at"]
    assert rows[-1][:2] == ["end of export", str(before)]
    assert len(rows) == before + 2
    assert {len(row) for row in rows} == {len(export.COLUMNS)}
    line = next(dict(zip(rows[0], row, strict=True)) for row in rows if row[0] == str(entry.event_id))
    moment = datetime.datetime.fromisoformat(line["recorded_at"])
    assert line["recorded_at"].endswith("Z")
    assert moment == entry.recorded_at
    assert (line["actor_label"], line["additional_data"]) == ("okafor", '{"a":2,"b":1}')
    assert line["leaf"] == bytes(entry.leaf).hex()


def test_records_end_as_rfc_4180_says(people: People) -> None:
    file = b"".join(signed_in(people.ines).post(EXPORT, {"purpose": "Case 7"}).streaming_content)
    assert file.endswith(b"\r\n")
    assert file.count(b"\n") == file.count(b"\r\n") == len(rows_of([file]))


def test_the_file_is_named_by_its_time_alone(people: People) -> None:
    answer = signed_in(people.ines).post(EXPORT, {"purpose": "Case 7", "patient": str(people.rosa.pk)})
    name = answer["Content-Disposition"].partition("filename=")[2].strip('"')
    datetime.datetime.strptime(name, "wardkey-ledger-%Y%m%dT%H%M%SZ.csv").replace(tzinfo=datetime.UTC)
    rows_of(answer.streaming_content)


def test_the_export_is_recorded_with_filter_and_purpose_before_the_first_byte(people: People) -> None:
    answer = signed_in(people.ines).post(EXPORT, {"purpose": "Case 7", "actor": "okafor"})
    entry = recorded(EventType.LEDGER_EXPORTED)[-1]
    assert (entry.actor_label, entry.reason) == ("ines", "Case 7")
    assert entry.additional_data is not None
    assert entry.additional_data["filter"] == {"actor": str(people.okafor.pk)}
    rows = rows_of(answer.streaming_content)
    actor = rows[0].index("actor_label")
    assert {row[actor] for row in rows[1:-1]} <= {"okafor"}


def test_no_entry_no_export(people: People) -> None:
    client = signed_in(people.ines)
    client.raise_request_exception = False
    with failing_ledger():
        answer = client.post(EXPORT, {"purpose": "Case 7"})
        assert answer.status_code >= 500
        assert not answer.streaming
    assert not recorded(EventType.LEDGER_EXPORTED)


@pytest.mark.parametrize(
    "posted",
    [
        {}, {"purpose": "  "}, {"purpose": "x" * 201}, {"purpose": "a\x00b"}, {"purpose": "Case", "event": "x"},
        {"purpose": "Case", "patient": "Alvarez"}, {"purpose": "Case", "colour": "red"}, {"purpose": ["a", "b"]},
    ],
)  # fmt: skip
def test_what_the_export_does_not_understand_is_said_on_the_page(
    people: People, posted: dict[str, Any]
) -> None:
    answer = signed_in(people.ines).post(EXPORT, posted)
    assert answer.status_code == 200
    assert answer.context["export_form"].errors or answer.context["filter_form"].errors
    assert not recorded(EventType.LEDGER_EXPORTED)


def test_an_export_is_posted_with_its_csrf_token_and_a_get_leads_to_the_page(people: People) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.ines)
    assert client.post(EXPORT, {"purpose": "Case 7"}).status_code == 403
    assert client.get(EXPORT).headers["Location"] == "/admin/audit/event/"
    assert not recorded(EventType.LEDGER_EXPORTED)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(start: str) -> None:
    assert export.cell(f"{start}HYPERLINK(1)") == f"'{start}HYPERLINK(1)"


@pytest.mark.parametrize("text", ["", "a=1", " =1", 'with "quotes", commas', "two\r\nlines", "Ünï"])
def test_any_other_cell_comes_back_as_it_was(people: People, text: str) -> None:
    client = signed_in(people.ines)
    ledger.record(EventType.USER_SUSPENDED, by=people.sam, reason=text)
    rows = rows_of(client.post(EXPORT, {"purpose": "Case 7"}).streaming_content)
    assert rows[-2][rows[0].index("reason")] == text


@pytest.fixture
def many(people: People) -> None:
    """A ledger of MANY entries and a few."""
    now = timezone.now()
    Event.objects.bulk_create(
        [
            Event(
                event_id=uuid.uuid4(), recorded_at=now, event="tokens:refresh_token:refresh", leaf=b"\1" * 32
            )
            for _ in range(MANY)
        ],
        batch_size=500,
    )


@pytest.mark.usefixtures("many")
def test_twenty_thousand_entries_stream_in_chunks_and_in_little_memory(
    people: People, django_assert_max_num_queries: Any
) -> None:
    pieces = export.begin(criteria=Criteria(), purpose="Case 7", by=people.ines, now=timezone.now())
    with django_assert_max_num_queries(1):
        next(pieces), next(pieces)
    tracemalloc.start()
    size, count = 0, 0
    for piece in pieces:
        size, count = size + len(piece), count + 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count >= MANY // search.CHUNK
    assert size > 3_000_000
    assert peak < 8_000_000  # a chunk and its rows; the whole file as rows takes 60 MB


@pytest.mark.usefixtures("many")
def test_twenty_thousand_entries_are_all_there_once_in_order(people: People) -> None:
    rows = rows_of(signed_in(people.ines).post(EXPORT, {"purpose": "Case 7"}).streaming_content)
    stored = [str(key) for key in Event.objects.order_by("id").values_list("event_id", flat=True)]
    assert [row[0] for row in rows[1:-1]] == stored[:-1]  # all but the export's own
    assert rows[-1][1] == str(len(stored) - 1)


@pytest.mark.usefixtures("many")
def test_a_filter_without_an_index_is_exported_whole_by_bounded_statements(
    people: People, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr(search, "WINDOW", 5000)
    found = ledger.record(EventType.SIGN_OUT, client="chart-app")
    pieces = export.begin(
        criteria=Criteria(client="chart-app"), purpose="Case 7", by=people.ines, now=timezone.now()
    )
    low, high = Criteria().bounds()
    with django_assert_max_num_queries((high - low) // 5000 + 2):
        rows = rows_of(pieces)
    assert [row[0] for row in rows[1:]] == [str(found), "end of export"]


@pytest.mark.usefixtures("many")
def test_a_database_that_goes_away_midway_leaves_no_file_that_looks_whole(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = signed_in(people.ines).post(EXPORT, {"purpose": "Case 7"})
    got: list[bytes] = []
    entries = Criteria.entries

    def away(criteria: Criteria) -> Any:
        raise OperationalError("the database is away")

    stream = iter(answer.streaming_content)
    got += [next(stream)]
    monkeypatch.setattr(Criteria, "entries", away)
    with pytest.raises(OperationalError):
        got += list(stream)
    monkeypatch.setattr(Criteria, "entries", entries)
    assert export.TRAILER.encode() not in b"".join(got)
