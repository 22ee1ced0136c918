"""The ledger as CSV (RFC 4180, UTF-8), streamed: as much memory for a million entries as for a thousand.

The export is in the ledger, with filter and purpose, before the first byte is made: begin() commits that entry on its
own. The rows follow when the view has returned, a chunk for each statement, oldest first, up to the newest entry that
there was when the export began; no transaction stays open meanwhile.

A file is whole exactly if its last record says so: TRAILER in the first column and the number of entries in the second.
When the database fails midway, that record is missing. It is the only sign that can be relied upon: a server may end a
response that broke off as it ends one that is whole (granian does).

Cells that a spreadsheet would take for a formula get an apostrophe in front (OWASP, CSV injection).
"""

import csv
import datetime
import json
from collections.abc import Iterator
from typing import Any

from django.db import transaction

from audit import ledger, search
from audit.context import Person
from audit.events import EventType
from audit.search import Criteria

COLUMNS = (*ledger.FIELDS_V1, "leaf")
TRAILER = "end of export"
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Line:
    """What csv.writer takes for a file: it hands back each record that is written to it."""

    def write(self, record: str) -> str:
        """Return the record."""
        return record


def begin(*, criteria: Criteria, purpose: str, by: Person, now: datetime.datetime) -> Iterator[bytes]:
    """Record the export in a transaction of its own and return the file in pieces, none of which is made yet."""
    with transaction.atomic(durable=True):
        low, high = criteria.bounds()
        ledger.record(
            EventType.LEDGER_EXPORTED,
            by=by,
            reason=purpose,
            details={"filter": criteria.as_text(), "format": "csv", "through": high},
            now=now,
        )
    return _file(criteria, low, high)


def _file(criteria: Criteria, low: int, high: int) -> Iterator[bytes]:
    writer = csv.writer(Line())
    yield writer.writerow(COLUMNS).encode()
    count = 0
    for chunk in search.everything(criteria, low=low, high=high):
        count += len(chunk)
        records = [writer.writerow([cell(entry[name]) for name in COLUMNS]) for entry in chunk]
        yield "".join(records).encode()
    yield writer.writerow([TRAILER, count, *[""] * (len(COLUMNS) - 2)]).encode()


def cell(value: Any) -> str:
    """Return a value as the file has it: times in UTC (ISO 8601), bytes in hexadecimal, structures as JSON."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    text = value if isinstance(value, str) else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
