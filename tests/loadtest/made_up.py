"""Results that were never measured: plausible ones of a whole run, for tests of what is made of results."""

import random
from dataclasses import replace
from functools import cache
from typing import Any, Final

from loadtest.results import (
    BadDay,
    Contestant,
    Cost,
    Dial,
    Fault,
    Generator,
    Latencies,
    Machine,
    Propagation,
    Results,
    Revoking,
    Scale,
)

#: CPU microseconds per request with ES256, Redis commands and bytes per request.
_CONTESTANTS: Final[dict[Contestant, tuple[float, float, float]]] = {
    "none": (230, 0, 0),
    "session": (395, 2, 830),
    "textbook": (380, 0, 0),
    "stateless": (246, 0, 0),
    "bounded": (251, 0.004, 0.6),
    "strict": (345, 1, 640),
    "jwt_extended": (622, 1, 120),
    "introspection": (1310, 1, 700),
}

_FAULTS: Final[dict[Fault, float]] = {"healthy": 0, "5_ms_away": 5, "50_ms_away": 50, "hung": 101, "dead": 1.2}


def made_up(*, seed: int = 1, **changes: Any) -> Results:
    """The same for the same seed, with some fields as the test wants them."""
    return replace(_whole(seed), **changes)


@cache
def _whole(seed: int) -> Results:
    dice = random.Random(seed)
    whole: dict[str, Any] = {
        "profile": "full",
        "started_at": "2026-11-24T12:00:00Z",
        "elapsed_seconds": 1432.0,
        "interrupted": False,
        "command": "python -m loadtest --full",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "machine": Machine(
            system="Linux 6.12 x86_64", cpu="Made-up CPU at 3 GHz", cores=2, memory_bytes=8_200_000_000, pinned=True
        ),
        "versions": {
            "python": "3.13.5",
            "redis_server": "Valkey 9.1.0",
            "flask": "3.1.2",
            "pyjwt": "2.15.0",
            "redis": "8.1.0",
            "gunicorn": "27.0.1",
            "locust": "2.42.0",
            "flask_jwt_extended": "4.7.1",
            "flask_session": "0.8.0",
        },
        "generator": Generator(name="locust", note="One process, four users, no pause."),
        "cost": _cost(dice),
        "propagation": _propagation(dice),
        "scale": tuple(
            Scale(
                entries=entries,
                check_us=0.8 + 0.1 * index,
                redis_bytes=1_000_000 + 420 * entries,
                worker_bytes=310 * entries,
                catch_up_seconds=0.004 + entries / 210_000,
                p99_idle_ms=3.1,
                p99_meanwhile_ms=3.2 + index * 2.3,
            )
            for index, entries in enumerate((0, 10_000, 100_000, 1_000_000))
        ),
        "revoking": (
            Revoking(way="one_by_one", revocations=20_000, seconds=3.4),
            Revoking(way="bulk", revocations=200_000, seconds=5.2),
        ),
        "bad_day": tuple(_bad_day(contestant, fault) for contestant in _CONTESTANTS for fault in _FAULTS),
        "dial": tuple(
            Dial(
                max_staleness=staleness,
                cpu_us=345 if staleness == 0 else 246 if staleness == float("inf") else 251,
                redis_commands=1 if staleness == 0 else 0,
                refused_after_ms=None if staleness == float("inf") else 0.0 if staleness == 0 else 1.4,
                answers_without_redis_seconds=staleness,
            )
            for staleness in (0, 0.05, 0.25, 1, 10, float("inf"))
        ),
    }
    return Results(**whole)


def made_up_cost(**changes: Any) -> Cost:
    """A round of 1,000 requests in 1 s, of which the server spent half."""
    plain: dict[str, Any] = {
        "contestant": "bounded",
        "algorithm": "ES256",
        "worker_class": "gthread",
        "round": 0,
        "seconds": 1.0,
        "requests": 1000,
        "failures": 0,
        "cpu_seconds": 0.5,
        "latencies_ms": Latencies(p50=1.0, p95=2.0, p99=3.0),
        "redis_commands": 0,
        "redis_bytes": 0,
        "memory_bytes": 60_000_000,
    }
    return Cost(**(plain | changes))


def made_up_propagation(*delays: tuple[float, ...], **changes: Any) -> Propagation:
    """Revocations, each with its last accept per worker."""
    plain: dict[str, Any] = {
        "contestant": "bounded",
        "algorithm": "ES256",
        "worker_class": "gthread",
        "workers": 8,
        "load_rps": 900.0,
        "last_accept_ms": delays,
        "receipt_ms": (),
        "bound_ms": 1000.0,
        "wrong_accepts": 0,
    }
    return Propagation(**(plain | changes))


def _cost(dice: random.Random) -> tuple[Cost, ...]:
    rows = []
    for algorithm in ("ES256", "HS256"):
        for worker_class in ("gthread", "gevent"):
            for number in range(5):
                for name, (cpu, commands, bytes_) in _CONTESTANTS.items():
                    checked = 100 if name in {"textbook", "jwt_extended"} and algorithm == "HS256" else 0
                    us = (cpu - checked) * dice.uniform(0.97, 1.05) * (0.9 if worker_class == "gevent" else 1)
                    requests = int(dice.uniform(8000, 9000))
                    rows.append(
                        made_up_cost(
                            contestant=name,
                            algorithm=algorithm,
                            worker_class=worker_class,
                            round=number,
                            seconds=4.0,
                            requests=requests,
                            cpu_seconds=requests * us / 1e6,
                            latencies_ms=Latencies(p50=us / 300, p95=us / 150, p99=us / 90),
                            redis_commands=int(requests * commands),
                            redis_bytes=int(requests * bytes_),
                            memory_bytes=int(dice.uniform(60e6, 70e6)),
                        )
                    )
    return tuple(rows)


def _propagation(dice: random.Random) -> tuple[Propagation, ...]:
    typical: dict[Contestant, float] = {"bounded": 1.1, "strict": 0, "session": 0, "jwt_extended": 0}
    return tuple(
        made_up_propagation(
            *(tuple(max(0.0, dice.lognormvariate(0, 0.6) * ms - 0.02) for _ in range(8)) for _ in range(200)),
            contestant=name,
            receipt_ms=tuple(dice.lognormvariate(0.6, 0.4) for _ in range(40)) if name in {"bounded", "strict"} else (),
            bound_ms={"bounded": 1000.0, "strict": 0.0}.get(name),
        )
        for name, ms in typical.items()
    )


def _bad_day(contestant: Contestant, fault: Fault) -> BadDay:
    asks = contestant not in {"none", "stateless", "textbook", "bounded"}
    broken = fault in {"hung", "dead"}
    refusal = "none" if contestant in {"session", "jwt_extended"} and fault == "hung" else "500"
    answers = {"200": 2000, "503": 0, "none": 0}
    if broken and asks:
        answers = {"200": 0, "503": 900 if contestant == "strict" else 0, "none": 0}
        if contestant != "strict":
            answers[refusal] = 40
        if contestant == "introspection":
            answers |= {"200": 30, "503": 9}
    if broken and contestant == "bounded":
        answers = {"200": 600, "503": 1400, "none": 0}
    away = _FAULTS[fault] if asks else 0
    return BadDay(
        contestant=contestant,
        fault=fault,
        answers=answers,
        p50_ms=1.1 + (away if not broken else 0),
        p99_ms=3.2 + away,
        well_again_seconds=(0.4 if asks else 0.01) if broken else None,
    )
