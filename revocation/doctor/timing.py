"""Timing: how long the server takes to answer, and how far its clock is from this host's."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Final

from revocation.doctor.finding import Finding, fine
from revocation.doctor.server import ExaminedServer
from revocation.redis.protocol import CLOCKS_DIFFER_MS

#: How many questions the doctor asks: as many as fit into the longest time, but never fewer than the fewest.
_QUESTIONS: Final = 200
_FEWEST: Final = 10
_LONGEST_SECONDS: Final = 2.0

#: The part of the timeout that the slowest answers may take before the doctor warns.
_CLOSE: Final = 0.5


def latency_and_clock(server: ExaminedServer, *, now: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Ask the server for its time again and again, and compare that with this host's clock.

    The quickest answer gives the difference of the clocks: the doctor takes the middle of that round trip, so that the
    error is at most half of the round trip.
    """
    took: list[float] = []
    quickest, ahead = math.inf, 0.0
    server.client.time()  # opens the connection
    started = time.perf_counter()
    while len(took) < _QUESTIONS and (len(took) < _FEWEST or time.perf_counter() - started < _LONGEST_SECONDS):
        wall, asked = now(), time.perf_counter()
        seconds, microseconds = server.client.time()
        took.append(time.perf_counter() - asked)
        if took[-1] < quickest:
            quickest = took[-1]
            ahead = wall + quickest / 2 - (seconds + microseconds / 1e6)
    yield _latency(server, sorted(took))
    yield _clock(server, ahead, quickest / 2)


def clock(server: ExaminedServer) -> Iterator[Finding]:
    """Compare the server's clock with this host's in one round trip, as well as that can tell."""
    wall, asked = time.time(), time.perf_counter()
    seconds, microseconds = server.client.time()
    took = time.perf_counter() - asked
    yield _clock(server, wall + took / 2 - (seconds + microseconds / 1e6), took / 2)


def _latency(server: ExaminedServer, took: list[float]) -> Finding:
    timeout = server.settings.timeout_seconds
    p50, p99 = (took[min(len(took) - 1, int(part * len(took)))] for part in (0.5, 0.99))
    summary = (
        f"p50 {_ms(p50)}, p99 {_ms(p99)}, longest {_ms(took[-1])} over {len(took)} round trips; the timeout is "
        f"{_ms(timeout)}."
    )
    if p99 <= _CLOSE * timeout:
        return fine("latency", summary)
    needed = max(0.001, math.ceil(4 * p99 * 1000) / 1000)
    return Finding(
        "latency",
        "problem" if p99 > timeout else "warning",
        summary,
        "An answer that comes after the timeout counts as none: strict checks are 503, and followers stop.",
        f"bring the server closer, see what slows it down ({server.mend('SLOWLOG', 'GET', '10')}), or export "
        f"REVOCATION_TIMEOUT={needed:g}",
    )


def _clock(server: ExaminedServer, ahead: float, error: float) -> Finding:
    difference = f"This host's clock is {round(ahead, 4) + 0.0:+.4f} s from Redis' (to within {error:.4f} s)."
    apart = max(0.0, abs(ahead) - error)
    if 1000 * apart <= CLOCKS_DIFFER_MS:
        return fine("clock", difference)
    return Finding(
        "clock",
        "problem" if apart > server.settings.leeway_seconds else "warning",
        difference,
        "Redis' clock sets the cut-offs and this host's clock decides about expiry: where they differ, revoked tokens "
        "outlive their entries, or this host refuses new tokens.",
        "set both clocks by NTP (timedatectl set-ntp true)",
    )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
