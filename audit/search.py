"""Find entries of the ledger, newest first, page by page, in a table of any length.

A page is a range of ids and nothing else: no OFFSET and no count. Every statement is bounded. Times become ids by two
look-ups in their index. Actor, patient and event have indexes that give a page in its order; what has none (outcome,
client, request) is looked for among WINDOW entries at a time, unless actor or patient has made the choice small, and
the page then says that older ones are left to search.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from audit.models import Event

PAGE = 50
WINDOW = 100_000
# An entry takes its time before its id, and others may come between: as many ids as any transaction could be late by.
SLACK = 20_000
CHUNK = 1000
# The condition of the index of patients, with a literal as the index has it: a parameter would not lead to it.
NAMES_A_PATIENT = ~Q(patient_ref=RawSQL("''", ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What is looked for; empty for everything. `since` counts, `until` does not."""

    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    event: str = ""
    outcome: int | None = None
    actor: str = ""
    patient: str = ""
    client: str = ""
    request_id: str = ""

    def entries(self) -> QuerySet[Event]:
        """Return the entries that fit, in no order."""
        wanted: dict[str, Any] = {
            "recorded_at__gte": self.since,
            "recorded_at__lt": self.until,
            "event": self.event,
            "outcome": self.outcome,
            "actor_ref": self.actor,
            "patient_ref": self.patient,
            "client_ref": self.client,
            "request_id": self.request_id,
        }
        found: QuerySet[Event] = Event.objects.filter(
            **{name: value for name, value in wanted.items() if value not in (None, "")}
        )
        return found.filter(NAMES_A_PATIENT) if self.patient else found

    def as_text(self) -> dict[str, str]:
        """Return what is set, as the ledger keeps it about a reading: opaque ids and codes, nothing typed freely."""
        named = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: value.isoformat() if isinstance(value, datetime.datetime) else str(value)
            for name, value in named.items()
            if value not in (None, "")
        }

    def window(self) -> int | None:
        """Return how many ids one statement may look through, or None where an index leads to the entries."""
        has_no_index = self.outcome is not None or self.client or self.request_id
        return WINDOW if has_no_index and not (self.actor or self.patient) else None

    def bounds(self) -> tuple[int, int]:
        """Return the lowest and the highest id that can fit; the first is above the second when none can."""
        ids = Event.objects.values_list("id", flat=True)
        low, high = ids.order_by("id").first() or 1, ids.order_by("-id").first() or 0
        if self.since is not None:
            first = ids.filter(recorded_at__gte=self.since).order_by("recorded_at").first()
            low = high + 1 if first is None else max(low, first - SLACK)
        if self.until is not None:
            last = ids.filter(recorded_at__lt=self.until).order_by("-recorded_at").first()
            high = 0 if last is None else min(high, last + SLACK)
        return low, high


class Page(NamedTuple):
    """Entries, newest first; `older` and `newer` are the ids that the next pages are before and after, if any."""

    entries: list[Event]
    older: int | None
    newer: int | None


def page(criteria: Criteria, *, before: int | None = None, after: int | None = None) -> Page:
    """Return the newest entries that fit, or those just before or just after an id. At most five statements."""
    low, high = criteria.bounds()
    if after is not None and low <= after < high:
        return _upwards(criteria, after + 1, high)
    top = high if before is None else min(high, before - 1)
    window = criteria.window()
    bottom = low if window is None else max(low, top - window + 1)
    found = list(criteria.entries().filter(id__range=(bottom, top)).order_by("-id")[: PAGE + 1])
    entries = found[:PAGE]
    older = entries[-1].pk if len(found) > PAGE else bottom if bottom > low and top >= low else None
    newest = entries[0].pk if entries else top
    return Page(entries, older, newest if low <= top < high else None)


def _upwards(criteria: Criteria, bottom: int, high: int) -> Page:
    window = criteria.window()
    top = high if window is None else min(high, bottom + window - 1)
    found = list(criteria.entries().filter(id__range=(bottom, top)).order_by("id")[: PAGE + 1])
    entries = found[:PAGE]
    newer = entries[-1].pk if len(found) > PAGE else top if top < high else None
    older = entries[0].pk if entries else bottom
    return Page(entries[::-1], older, newer)


def everything(criteria: Criteria, *, low: int, high: int) -> Iterator[list[dict[str, Any]]]:
    """Yield all entries that fit between two ids, oldest first, in chunks; each chunk is a statement of its own.

    No cursor and no transaction stay open between chunks, so that a slow reader holds up neither.
    """
    fitting = criteria.entries().order_by("id")
    window = criteria.window() or high
    while low <= high:
        top = min(high, low + window - 1)
        chunk = list(fitting.filter(id__range=(low, top)).values()[:CHUNK])
        if chunk:
            yield chunk
        low = chunk[-1]["id"] + 1 if len(chunk) == CHUNK else top + 1
