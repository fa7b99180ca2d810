"""Processes: the CPU time that the operating system charges to them, and the cores that they run on."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: Those that this process may use. Where there are two, servers leave the last to whatever else runs.
CORES: Final = tuple(sorted(os.sched_getaffinity(0)))
SERVER_CORES: Final = frozenset(CORES[:-1] or CORES)


def family(pid: int) -> Iterator[int]:
    """A process and all that come from it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def cpu_seconds(*pids: int) -> float:
    """User and system time of these processes and of all that come from them, with all their threads.

    The clock is that of clock_getcpuclockid(3), which counts nanoseconds, where /proc counts in hundredths of a second.
    """
    return sum(time.clock_gettime((~each << 3) | 2) for pid in pids for each in family(pid))


def memory_bytes(pid: int) -> int:
    """What a process alone has in memory."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def keep_to_server_cores(pid: int) -> None:
    """Keep a process, and all that come from it, to the cores of servers."""
    for each in family(pid):
        for task in Path(f"/proc/{each}/task").iterdir():
            os.sched_setaffinity(int(task.name), SERVER_CORES)
