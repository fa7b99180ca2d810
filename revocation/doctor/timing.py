"""How far the clocks are apart, and how long an answer takes."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Final

from revocation.doctor.finding import Finding, fine
from revocation.doctor.patient import Patient

#: Questions asked, and for how long at the most.
_QUESTIONS: Final = 200
_FEWEST: Final = 10
_LONGEST_SECONDS: Final = 2.0

#: What a new epoch forgives, and Redis' clock after a failover: see redis_denylist.open.
_CLOCKS_AGREE_SECONDS: Final = 1.0

#: The part of the timeout that the slowest answers may take before it is said.
_CLOSE: Final = 0.5


def latency_and_clock(patient: Patient, *, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Ask for the time again and again: how long that takes, and how far it is from this host's.

    The clock is compared in the quickest of the answers, at the middle of its round trip, so that the error is at most
    half of that.
    """
    took: list[float] = []
    quickest, ahead = math.inf, 0.0
    patient.client.time()  # opens the connection
    started = time.perf_counter()
    while len(took) < _QUESTIONS and (len(took) < _FEWEST or time.perf_counter() - started < _LONGEST_SECONDS):
        wall, asked = clock(), time.perf_counter()
        seconds, microseconds = patient.client.time()
        took.append(time.perf_counter() - asked)
        if took[-1] < quickest:
            quickest = took[-1]
            ahead = wall + quickest / 2 - (seconds + microseconds / 1e6)
    yield _latency(patient, sorted(took))
    yield _clock(patient, ahead, quickest / 2)


def _latency(patient: Patient, took: list[float]) -> Finding:
    timeout = patient.settings.timeout_seconds
    p50, p99 = (took[min(len(took) - 1, int(part * len(took)))] for part in (0.5, 0.99))
    told = (
        f"p50 {_ms(p50)}, p99 {_ms(p99)}, longest {_ms(took[-1])} over {len(took)} round trips; the timeout is "
        f"{_ms(timeout)}."
    )
    if p99 <= _CLOSE * timeout:
        return fine("latency", told)
    needed = max(0.001, math.ceil(4 * p99 * 1000) / 1000)
    return Finding(
        "latency",
        "problem" if p99 > timeout else "warning",
        told,
        "An answer that is later than the timeout is no answer: strict checks are 503, and followers stop.",
        f"bring the server closer, see what keeps it ({patient.mend('SLOWLOG GET 10')}), or export "
        f"REVOCATION_TIMEOUT={needed:g}",
    )


def _clock(patient: Patient, ahead: float, error: float) -> Finding:
    told = f"This host's clock is {round(ahead, 4) + 0.0:+.4f} s from Redis' (to within {error:.4f} s)."
    apart = max(0.0, abs(ahead) - error)
    if apart <= _CLOCKS_AGREE_SECONDS:
        return fine("clock", told)
    return Finding(
        "clock",
        "problem" if apart > patient.settings.leeway_seconds else "warning",
        told,
        "Cut-offs are Redis' time and expiry is this host's: too far apart, revoked tokens outlive their entries, or "
        "new ones are refused.",
        "set both by NTP (timedatectl set-ntp true)",
    )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
