"""`python -m bench`: install the subjects, count, race, time in interleaved rounds, report, clean up."""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from bench import report
from bench.database import PostgreSQL, Unusable
from bench.load import LANES
from bench.machine import description, resident_mib
from bench.measure import Measurement, count, race, time_one_round
from bench.subjects import line_up
from bench.subjects.subject import RefreshSubject, Workshop

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
RACES = 8


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="timed rounds for each subject (default 6)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds in a round (default 2)")
    parser.add_argument(
        "--only", metavar="WORD", help="time only subjects whose name contains WORD, beside the peer"
    )
    parser.add_argument("--quick", action="store_true", help="one short round; prints, writes nothing")
    parser.add_argument(
        "--statements", action="store_true", help="print the statements of one request of each subject"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 0.3
    return arguments


def say(sentence: str) -> None:
    """Tell the person at the terminal what is being done."""
    print(sentence, file=sys.stderr, flush=True)


def measure(arguments: argparse.Namespace, workshop: Workshop, cleanup: ExitStack) -> list[Measurement]:
    """Run all passes; what is started is left on `cleanup`."""
    measurements = [Measurement(subject) for subject in line_up(workshop)]
    if arguments.only:
        measurements = measurements[:1] + [
            one for one in measurements[1:] if arguments.only in one.subject.name
        ]
    for site in {one.subject.site for one in measurements}:
        cleanup.callback(site.remove)

    for one in measurements:
        say(f"counting    {one.subject.name}")
        one.wire = count(one.subject)
        if arguments.statements:
            print(f"\n{one.subject.name}:", *one.wire.texts, sep="\n  ")
    for one in measurements:
        one.subject.start()
        one.subject.prepare(LANES)
        if isinstance(one.subject, RefreshSubject):
            say(f"racing      {one.subject.name}")
            one.successors = [race(one.subject, lane) for lane in range(RACES)]
            one.subject.prepare(LANES)
    for number in range(arguments.rounds):
        say(f"round {number + 1} of {arguments.rounds}")
        first = number % len(
            measurements
        )  # so that no subject always follows the same neighbour's checkpoint
        for one in measurements[first:] + measurements[:first]:
            one.rounds.append(time_one_round(one.subject, arguments.seconds))
    for one in measurements:
        one.resident_mib = resident_mib(one.subject.site.server.pid)
    return measurements


def interrupted(number: int, frame: FrameType | None) -> None:
    """Treat a request to end like Ctrl-C, once: the clean-up that follows is not interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Run the bench; return the exit status."""
    arguments = parse_arguments()
    if not Path("/proc/self/stat").exists():
        say("The bench reads CPU and memory from /proc, so it needs Linux.")
        return 2
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    try:
        postgresql = PostgreSQL(durable=not arguments.quick)
        with ExitStack() as cleanup:
            folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="wardkey-bench-"))
            workshop = Workshop(postgresql, Path(folder), f"wardkey_bench_{os.getpid()}")
            measurements = measure(arguments, workshop, cleanup)
    except Unusable as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("Interrupted; databases dropped, servers ended.")
        return 130
    print(report.terminal(measurements))
    if not (arguments.quick or arguments.only):
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        PAGE.parent.mkdir(exist_ok=True)
        machine = description(postgresql.version)
        PAGE.write_text(report.page(measurements, date, machine, arguments.rounds, arguments.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
