"""Figures: the arithmetic over results. Ratios are taken within a round, percentiles are values that occurred."""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from loadtest.contestants import LIFETIME_SECONDS, REVOCABLE, Name
from loadtest.population import Mix
from loadtest.results import Added, Outage, Results, Turn

#: A point of the comparison: so many workers, and so many requests per token.
Point = tuple[int, Mix]

TITLES: Final[Mapping[Name, str]] = {
    "none": "no authentication",
    "stateless": "ours, inf (no check)",
    "bounded": "ours, 1.0",
    "strict": "ours, 0",
    "textbook": "textbook, PyJWT",
    "joserfc": "textbook, joserfc",
    "session": "server-side session",
    "jwt_extended": "flask-jwt-extended",
    "introspection": "introspection",
}

#: A load average above this, before a run, means that others were at work on the machine. What has just ended still
#: stands in the average of a minute.
QUIET_LOAD: Final = 1.5

#: The point that is shown where there is room for one.
MAIN: Final[Point] = (1, "20")


def number(value: float) -> str:
    """Three significant digits, thousands apart: 0.0123, 1.20, 252, 12,300."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    # The value is rounded first: 9.999 has one digit before the point until it is 10.0.
    rounded = float(f"{value:.2e}")
    return f"{rounded:,.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"


def points(results: Results) -> list[Point]:
    """Those that were measured, in that order."""
    return list(dict.fromkeys((turn.workers, turn.mix) for turn in results.turns))


def turns(results: Results, name: Name, point: Point) -> dict[int, Turn]:
    """A contestant's turns at a point, by round."""
    return {
        turn.round: turn
        for turn in results.turns
        if turn.contestant == name and (turn.workers, turn.mix) == point and turn.requests
    }


def median(results: Results, name: Name, point: Point, figure: Callable[[Turn], float]) -> float | None:
    """A figure of each turn, over the rounds; None where nothing was measured."""
    values = [figure(turn) for turn in turns(results, name, point).values()]
    return statistics.median(values) if values else None


def cpu_us(turn: Turn) -> float:
    """CPU microseconds of the server per request."""
    return 1e6 * turn.cpu_seconds / turn.requests


def per_cpu_second(turn: Turn) -> float:
    """Requests per CPU second of the server."""
    return turn.requests / turn.cpu_seconds


def redis_cpu_us(turn: Turn) -> float:
    """CPU microseconds of Redis per request."""
    return 1e6 * turn.redis_cpu_seconds / turn.requests


def p99_ms(turn: Turn) -> float:
    """The 99th percentile of response times."""
    return turn.p99_ms


@dataclass(frozen=True, slots=True, order=True)
class Ratio:
    """A ratio over the rounds of a run: how far they lie apart says what one of them is worth."""

    median: float
    least: float
    most: float
    rounds: int

    def __str__(self) -> str:
        """The median and the range of all rounds; one round has none."""
        spread = "one round" if self.rounds == 1 else f"{self.least:.2f} to {self.most:.2f}"
        return f"{self.median:.2f} ({spread})"


def ratio(results: Results, ours: Name, theirs: Name, point: Point) -> Ratio | None:
    """Requests per CPU second of ours over theirs in the same round, above 1 where ours costs less.

    None where there are no rounds.
    """
    mine, others = turns(results, ours, point), turns(results, theirs, point)
    every = sorted(cpu_us(others[turn]) / cpu_us(mine[turn]) for turn in mine.keys() & others.keys())
    return Ratio(statistics.median(every), every[0], every[-1], len(every)) if every else None


def hit_rate(results: Results, point: Point) -> float | None:
    """The share of requests whose token the cache of its worker held, of the bounded check."""
    return median(results, "bounded", point, lambda turn: turn.hits / max(1, turn.hits + turn.misses))


def added(results: Results, name: Name) -> Added | None:
    """What a contestant adds to a route in process."""
    return next((row for each in results.in_process for row in each.added if row.contestant == name), None)


def accepted_ms(results: Results, name: Name) -> float | None:
    """How long a revoked token is accepted while all is well: p99 in any worker, or its whole life."""
    if name not in REVOCABLE:
        return None if name == "none" else 1000.0 * LIFETIME_SECONDS
    return next((row.p99_ms for row in results.accepted if row.contestant == name and row.fault == "none"), None)


def accepted_for(results: Results, name: Name) -> str:
    """The same in words, with what is promised."""
    ms = accepted_ms(results, name)
    if ms is None or name not in REVOCABLE:
        return "" if ms is None else "its whole life"
    bound = next((row.bound_ms for row in results.accepted if row.contestant == name), None)
    return f"{number(ms)} ms" + (f", at most {number(bound)} ms" if bound else "")


def outage(results: Results, name: Name, fault: str) -> Outage | None:
    """What a contestant answered under a fault."""
    return next((row for row in results.outages if (row.contestant, row.fault) == (name, fault)), None)


def spelled(point: Point) -> str:
    """A point in words."""
    workers, mix = point
    requests = "Zipf" if mix == "zipf" else f"{mix} per token"
    return f"{requests}, {workers} worker{'s' if workers > 1 else ''}"
