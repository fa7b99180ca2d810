"""Processes: what the operating system accounts to them, and which core they run on."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")

#: Those that this process may use. Where there are two, servers have the first and the generator the last.
CORES: Final = tuple(sorted(os.sched_getaffinity(0)))

#: Whether there are two to tell apart.
PINNED: Final = len(CORES) > 1


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes, all their threads, ended ones included."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def memory_bytes(pid: int) -> int:
    """Memory of a process, with its share of what it shares; all that is resident where the system does not say."""
    directory = Path(f"/proc/{pid}")
    try:
        lines = (directory / "smaps_rollup").read_text().splitlines()
    except OSError:
        return int((directory / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def pin(pids: Iterable[int], core: int) -> None:
    """Keep these processes to one core, with all the threads that they have."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})
