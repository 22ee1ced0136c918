"""The three passes over a subject: count what it asks of PostgreSQL, race one refresh token, time it.

Counting goes through a proxy and is never timed. Timing is in short rounds, interleaved by the caller,
because a shared machine drifts; medians of rounds and of per-round ratios are what may be compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from statistics import median

from bench.load import LANES, Requests, Sample, WrongAnswer, connect, exchange, receive, run
from bench.machine import tree_cpu_seconds
from bench.subjects.subject import RefreshSubject, Subject
from bench.wire import CountingProxy

WARM_UP_SECONDS = 0.3
COUNTING_WARM_UP = 100  # on every connection of the pool, statements are prepared by then
COUNTED = 20


@dataclass(frozen=True)
class Wire:
    """What one request asks of PostgreSQL: means over COUNTED requests, and the last request's statements."""

    statements: float
    round_trips: float
    commits: float
    texts: list[str]


@dataclass(frozen=True)
class Round:
    """One timed round."""

    throughput: float
    p50_ms: float
    p99_ms: float
    app_cpu_ms: float
    database_cpu_ms: float | None


@dataclass
class Measurement:
    """All that was found out about one subject."""

    subject: Subject
    wire: Wire | None = None
    successors: list[int] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    resident_mib: float = 0.0

    def median(self, figure: str) -> float | None:
        """Return the median over rounds of one of Round's figures; None when a round has none."""
        values = [getattr(one, figure) for one in self.rounds]
        return None if None in values else median(values)

    def ratio(self, other: Measurement, figure: str = "throughput") -> float:
        """Return the median of the per-round ratios of a figure to `other`'s."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        ratios: list[float] = [getattr(mine, figure) / getattr(theirs, figure) for mine, theirs in pairs]
        return median(ratios)


def count(subject: Subject) -> Wire:
    """Serve the subject through a counting proxy, one request at a time; leaves its server stopped."""
    server = subject.site.workshop.postgresql
    proxy = CountingProxy(server.host, server.port)
    try:
        subject.start(proxy.port)
        subject.prepare(1)
        repeat(subject, subject.site.port, COUNTING_WARM_UP)
        proxy.reset()
        repeat(subject, subject.site.port, COUNTED - 1)
        counts = proxy.reset()
        repeat(subject, subject.site.port, 1)
        last = proxy.reset()
    finally:
        subject.site.stop()
        proxy.stop()
    return Wire(
        (counts.statements + last.statements) / COUNTED,
        (counts.round_trips + last.round_trips) / COUNTED,
        (counts.commits + last.commits) / COUNTED,
        last.texts,
    )


def repeat(subject: Requests, port: int, times: int) -> None:
    """Send `times` requests of lane 0, one after the other."""
    with connect(port) as connection:
        for _ in range(times):
            subject.accept(0, *exchange(connection, subject.request(0)))


def race(subject: RefreshSubject, lane: int) -> int:
    """Present one refresh token LANES times at once; return how many different successors came back."""
    connections = [connect(subject.site.port) for _ in range(LANES)]
    try:
        request = subject.request(lane)
        for connection in connections:
            connection.sendall(request)
        successors = set()
        for connection in connections:
            status, body = receive(connection)
            if status == 200:
                successors.add(json.loads(body)["refresh"])
            elif status >= 500:
                raise WrongAnswer(f"{subject.name}: {status} in the race\n{subject.site.server.last_words()}")
    finally:
        for connection in connections:
            connection.close()
    return len(successors)


def time_one_round(subject: Subject, seconds: float) -> Round:
    """Drive all lanes at the subject: a warm-up, then `seconds` that count."""
    site = subject.site
    run(subject, site.port, WARM_UP_SECONDS)
    app, backends = tree_cpu_seconds(site.server.pid), site.database.backend_cpu_seconds()
    sample: Sample = run(subject, site.port, seconds)
    app = tree_cpu_seconds(site.server.pid) - app
    after = site.database.backend_cpu_seconds()
    answers = len(sample.latencies)
    database = sum(after[pid] - backends[pid] for pid in after if pid in backends) if backends else None
    return Round(
        throughput=sample.throughput,
        p50_ms=sample.percentile_ms(50),
        p99_ms=sample.percentile_ms(99),
        app_cpu_ms=app * 1000 / answers,
        database_cpu_ms=None if database is None else database * 1000 / answers,
    )
