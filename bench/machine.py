"""What the machine says about itself and about our processes, read from Linux's /proc.

CPU seconds are user plus system time and have the kernel's granularity (usually 10 ms), so read them over a
second or more. Never reports a host name or a path: the result is published in docs/performance.md.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def process_tree(pid: int) -> list[int]:
    """Return `pid` and all its living descendants."""
    tree = [pid]
    for parent in tree:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                tree += [int(child) for child in children.read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue
    return tree


def cpu_seconds(pid: int, command: str | None = None) -> float | None:
    """Return the CPU time `pid` has used; None when it is gone or does not run `command`."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, fields = stat.partition(" (")[2].rpartition(") ")
    if command is not None and name != command:
        return None
    after_name = fields.split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS_PER_SECOND


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU time used by `pid` and its living descendants together."""
    return sum(cpu_seconds(member) or 0.0 for member in process_tree(pid))


def resident_mib(pid: int) -> float:
    """Return the resident memory, in MiB, of the largest process in the tree of `pid` (the web worker)."""
    sizes = [0]
    for member in process_tree(pid):
        try:
            status = Path(f"/proc/{member}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        sizes += [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")]
    return max(sizes) / 1024


def description(postgresql_version: str) -> str:
    """Return one line: cores and the versions that matter."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"PostgreSQL {postgresql_version}, Django {version('django')}, granian {version('granian')}, "
        f"psycopg {version('psycopg')}"
    )
