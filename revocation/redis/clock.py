"""The clock that staleness is measured with."""

import time

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def boottime() -> float:
    """Seconds that nothing sets back and that go on while the machine sleeps, where the system has such a clock.

    The monotonic clock stands still in sleep: a laptop that wakes up would take its knowledge for fresh.
    """
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
