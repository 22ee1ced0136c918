"""The ledger's vocabulary is closed: what is added or changed shows up in review."""

import re
from pathlib import Path

from audit.events import EventType
from audit.models import Event

GOLDEN = Path(__file__).parent / "golden" / "events.txt"


def test_the_events_are_those_of_the_golden_list() -> None:
    lines = [f"{event.value}  {event.label}" for event in sorted(EventType, key=lambda event: event.value)]
    assert GOLDEN.read_text().splitlines() == lines


def test_names_have_the_form_app_object_verb_and_fit() -> None:
    longest = Event._meta.get_field("event").max_length
    for event in EventType:
        assert re.fullmatch(r"(accounts|tokens|audit):[a-z_]+:[a-z]+", event.value), event
        assert len(event.value) <= (longest or 0)
    assert len({event.label for event in EventType}) == len(EventType)
