"""From measurements to the table on the terminal and docs/performance.md, targets judged as they came out.

The page is generated from `page.md`: edit that, not docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load import LANES
from bench.measure import COUNTED, WARM_UP_SECONDS, Measurement
from bench.server import THREADS

TEMPLATE = Path(__file__).with_name("page.md")

PEER = "simplejwt 5.5.1 + blacklist"
FLOOR_C = "floor C: 1 prepared statement + sign"
PATIENT_FLOOR = "floor: verify + SELECT + INSERT + sign"
WARDKEY_REFRESH = "Wardkey: refresh"
WARDKEY_PATIENT = "Wardkey: patient token"

COLUMNS = [
    "subject", "tokens/s", "x simplejwt", "p50 ms", "p99 ms", "SQL statements", "round trips", "commits",
    "app CPU ms", "database CPU ms", "web process MiB", f"successors of one token used {LANES} times at once",
]  # fmt: skip
SHORT_COLUMNS = [
    "subject", "tokens/s", "ratio", "p50", "p99", "SQL", "trips", "commits", "app ms",
    "db ms", "MiB", "succ.",
]  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One line of the issue's targets: what was wanted, and how to read it off the measurements."""

    work: str
    wanted: str
    figure: Callable[[dict[str, Measurement]], float]
    is_met: Callable[[float], bool]


def of_wire(name: str, figure: str) -> Callable[[dict[str, Measurement]], float]:
    """Read one of Wire's figures of a subject."""
    return lambda all_of_them: float(getattr(all_of_them[name].wire, figure))


def of_ratio(name: str, other: str) -> Callable[[dict[str, Measurement]], float]:
    """Read the ratio of two subjects' throughput."""
    return lambda all_of_them: all_of_them[name].ratio(all_of_them[other])


TARGETS = [
    Target("refresh", f"at least 5 times {PEER}", of_ratio(WARDKEY_REFRESH, PEER), lambda x: x >= 5),
    Target("refresh", "at least 0.6 of floor C", of_ratio(WARDKEY_REFRESH, FLOOR_C), lambda x: x >= 0.6),
    Target("refresh", "at most 4 round trips", of_wire(WARDKEY_REFRESH, "round_trips"), lambda x: x <= 4),
    Target(
        "refresh", "under 1.2 ms of app CPU",
        lambda m: m[WARDKEY_REFRESH].median("app_cpu_ms") or 0.0, lambda x: x < 1.2,
    ),
    Target(
        "refresh", f"exactly 1 successor of one token used {LANES} times at once",
        lambda m: max(m[WARDKEY_REFRESH].successors), lambda x: x == 1,
    ),
    Target(
        "patient token", "at least 0.6 of its floor",
        of_ratio(WARDKEY_PATIENT, PATIENT_FLOOR), lambda x: x >= 0.6,
    ),
    Target(
        "patient token", "at most 6 round trips",
        of_wire(WARDKEY_PATIENT, "round_trips"), lambda x: x <= 6,
    ),
    Target(
        "web process", "under 120 MiB resident",
        lambda m: max(m[WARDKEY_REFRESH].resident_mib, m[WARDKEY_PATIENT].resident_mib), lambda x: x < 120,
    ),
]  # fmt: skip


def number(value: float | None, digits: int = 1) -> str:
    """Write a figure with `digits` decimals, without trailing zeros; a dash when it could not be had."""
    if value is None:
        return "-"
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def row(measurement: Measurement, peer: Measurement) -> list[str]:
    """Return one subject's row under COLUMNS."""
    wire, successors = measurement.wire, measurement.successors
    spread = f"{min(successors)} to {max(successors)}" if successors else "-"
    return [
        measurement.subject.name,
        number(measurement.median("throughput"), 0),
        number(measurement.ratio(peer), 2),
        number(measurement.median("p50_ms")),
        number(measurement.median("p99_ms")),
        number(wire.statements if wire else None),
        number(wire.round_trips if wire else None),
        number(wire.commits if wire else None),
        number(measurement.median("app_cpu_ms"), 2),
        number(measurement.median("database_cpu_ms"), 2),
        number(measurement.resident_mib, 0),
        str(successors[0]) if len(set(successors)) == 1 else spread,
    ]


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out for a terminal: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = []
    for cells in [columns, *rows]:
        numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        lines.append("  ".join([cells[0].ljust(widths[0]), *numbers]))
    return "\n".join(lines)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out as a Markdown table."""
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def judged(measurements: dict[str, Measurement]) -> list[list[str]]:
    """Return a row for each target whose subjects were measured: work, target, measured, met or not."""
    rows = []
    for target in TARGETS:
        try:
            figure = target.figure(measurements)
        except KeyError:
            continue
        rows.append(
            [target.work, target.wanted, number(figure, 2), "yes" if target.is_met(figure) else "**no**"]
        )
    return rows


def terminal(measurements: Sequence[Measurement]) -> str:
    """Return what is printed at the end."""
    peer = measurements[0]
    table = text_table(SHORT_COLUMNS, [row(one, peer) for one in measurements])
    targets = judged({one.subject.name: one for one in measurements})
    verdicts = [
        f"{'met' if met == 'yes' else 'NOT MET':8} {work}: {wanted}: {is_}"
        for work, wanted, is_, met in targets
    ]
    return "\n".join([table, "", *verdicts])


def page(measurements: Sequence[Measurement], date: str, machine: str, rounds: int, seconds: float) -> str:
    """Return docs/performance.md."""
    peer = measurements[0]
    targets = judged({one.subject.name: one for one in measurements})
    table = markdown_table(COLUMNS, [row(one, peer) for one in measurements])
    verdicts = (
        markdown_table(["work", "target", "measured", "met"], targets)
        if targets
        else "Wardkey was not measured."
    )
    return TEMPLATE.read_text().format(
        date=date,
        machine=machine,
        table=table,
        rounds=rounds,
        seconds=number(seconds),
        verdicts=verdicts,
        threads=THREADS,
        lanes=LANES,
        warm_up=number(WARM_UP_SECONDS),
        counted=COUNTED,
    )
