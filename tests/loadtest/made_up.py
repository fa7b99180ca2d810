"""Results that nobody measured, whole and plausible."""

from dataclasses import replace
from typing import Any, Final

from loadtest.contestants import BOUNDED, NAMES, POSITIONS, REVOCABLE, Name
from loadtest.population import MIXES
from loadtest.results import (
    Accepted,
    Added,
    Asked,
    Held,
    Imported,
    InProcess,
    Machine,
    Outage,
    Results,
    Size,
    Spread,
    Turn,
    Verified,
)

#: CPU microseconds of a request, where its token was not seen before.
COST: Final[dict[Name, float]] = dict(zip(NAMES, (200, 320, 310, 500, 280, 900, 330, 318, 315), strict=True))


def spread(median: float) -> Spread:
    return Spread(median=median, lower=median - 0.5, upper=median + 0.5)


def turn(name: Name, **changes: Any) -> Turn:
    """One turn, at the cost above."""
    made = Turn(
        contestant=name,
        workers=1,
        mix="1",
        round=0,
        requests=1000,
        seconds=1.0,
        cpu_seconds=COST[name] / 1000,
        redis_cpu_seconds=0.02 if name in REVOCABLE else 0.001,
        hits=0,
        misses=1000 if name in POSITIONS else 0,
        p50_ms=3.0,
        p99_ms=9.0,
    )
    return replace(made, **changes)


def accepted(name: Name, **changes: Any) -> Accepted:
    made = Accepted(
        contestant=name,
        workers=8,
        fault="none",
        revocations=100,
        p50_ms=0.0,
        p99_ms=3.5 if name == "bounded" else 0.0,
        most_ms=4.0 if name == "bounded" else 0.0,
        own_ms=0.0,
        bound_ms={"strict": 0.0, "bounded": 1000.0}.get(name),
        late=0,
    )
    return replace(made, **changes)


def made_up(**changes: Any) -> Results:
    """A whole run; `changes` replace parts of it."""
    seen = {"strict": 0.7, "bounded": 0.65, "stateless": 0.64}
    results = Results(
        profile="full",
        started_at="2026-11-27T12:00:00Z",
        elapsed_seconds=400.0,
        interrupted=False,
        commit="0123456789ab",
        machine=Machine(system="Linux 6", cpu="a CPU", cores=2, driver="wrk", load_average=0.1),
        versions={"Python": "3.11.7", "Valkey": "9.1.2"},
        turns=tuple(
            turn(
                name,
                workers=workers,
                mix=mix,
                round=number,
                cpu_seconds=(COST[name] + number) / 1000 * (1.0 if mix == "1" else seen.get(name, 1.0)),
                hits=0 if mix == "1" else 900,
                misses=100,
            )
            for workers in (1, 8)
            for number in range(2)
            for mix in MIXES
            for name in NAMES
        ),
        in_process=(
            InProcess(
                rounds=100,
                added=tuple(
                    Added(
                        contestant=name,
                        first=spread(COST[name] - 200),
                        again=spread((COST[name] - 200) * seen.get(name, 1)),
                    )
                    for name in NAMES
                    if name not in ("none", "introspection")
                ),
                mget=spread(80),
            ),
        ),
        verified=tuple(
            Verified(algorithm=each, ours=spread(60), pyjwt=spread(100), joserfc=spread(90))
            for each in ("ES256", "RS256", "EdDSA", "HS256")
        ),
        accepted=(
            *(accepted(name) for name in NAMES if name in REVOCABLE),
            *(accepted(name, fault=fault, most_ms=0.0) for name in BOUNDED for fault in ("hung", "dead")),
        ),
        outages=tuple(
            Outage(
                contestant=name,
                fault=fault,
                answers={"200": 100} if fault == "none" or name not in REVOCABLE else {"503": 90, "none": 10},
                p50_ms=2.0,
                p99_ms=20.0,
                let_in_seconds=1.0,
                well_again_seconds=0.02 if name != "session" else None,
            )
            for fault in ("none", "5 ms away", "hung", "dead")
            for name in NAMES
        ),
        held=tuple(
            Held(contestant=name, fault=fault, steps=500, p99_ms=0.4, most_ms=0.9)
            for name in BOUNDED
            for fault in ("none", "hung")
        ),
        sizes=tuple(
            Size(
                entries=entries,
                revoked_per_second=14_000.0 if entries else 0.0,
                look_up_us=1.5,
                catch_up_seconds=0.01 + entries / 100_000,
                redis_bytes=500 * entries,
                worker_bytes=200 * entries,
            )
            for entries in (0, 10_000)
        ),
        imported=(Imported(cpu_seconds=0.19, modules=230),),
        asked=(
            Asked(act="refresh", median=2, most=4),
            Asked(act="revoke with receipt", median=2, most=9),
            Asked(act="admin search", median=2, most=2),
        ),
    )
    return replace(results, **changes)
