"""Figures: the arithmetic over raw results. Ratios are taken within a round, percentiles are values that occurred."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from loadtest.results import Contestant, Cost, Propagation, Results


class Setting(NamedTuple):
    """The settings that contestants have in common while they are compared."""

    algorithm: str
    worker_class: str


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the rounds of a run."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """Over these values, in any order; None where there are none."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1]) if ordered else None

    @property
    def relative(self) -> float:
        """How far apart the rounds are: (most - least) / median, and 0 where the median is."""
        return (self.most - self.least) / self.median if self.median else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of the values that `percent` of them do not exceed (nearest rank), so one that occurred.

    Raises ValueError where there are no values, or for a percentage outside 0 to 100.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError(f"no percentile {percent} of {len(values)} values: 0 to 100, of one value or more")
    # Exact in integers where the percentage is one: in floats, 100 * 55 / 100 of some lengths is a hair above the rank.
    rank = math.ceil(round(percent * len(values) / 100, 9))
    return sorted(values)[max(rank, 1) - 1]


# Cost


def settings(results: Results) -> tuple[Setting, ...]:
    """Those in which costs were measured, in that order."""
    return tuple(dict.fromkeys(Setting(row.algorithm, row.worker_class) for row in results.cost))


def main_setting(results: Results) -> Setting | None:
    """The one to show where there is room for one: ES256 under gthread if it was measured, else the first."""
    measured = settings(results)
    preferred = Setting("ES256", "gthread")
    return preferred if preferred in measured else next(iter(measured), None)


def rounds(results: Results, contestant: Contestant, setting: Setting) -> dict[int, Cost]:
    """A contestant's rounds in which something was answered, by number."""
    return {
        row.round: row
        for row in results.cost
        if row.contestant == contestant and (row.algorithm, row.worker_class) == setting and row.requests > 0
    }


def cost(results: Results, contestant: Contestant, setting: Setting, figure: Callable[[Cost], float]) -> Spread | None:
    """A figure of each round, over the rounds; None where there is none."""
    return Spread.of(figure(row) for row in rounds(results, contestant, setting).values())


def main_cost(results: Results, contestant: Contestant, figure: Callable[[Cost], float]) -> Spread | None:
    """The same in the main setting."""
    setting = main_setting(results)
    return cost(results, contestant, setting, figure) if setting else None


def cpu_us(row: Cost) -> float:
    """CPU microseconds of the server per request."""
    return 1e6 * row.cpu_seconds / row.requests


def requests_per_second(row: Cost) -> float:
    """The requests that the generator got answered."""
    return row.requests / row.seconds


def redis_commands(row: Cost) -> float:
    """Redis commands per request."""
    return row.redis_commands / row.requests


def redis_bytes(row: Cost) -> float:
    """Bytes of Redis traffic per request, in and out."""
    return row.redis_bytes / row.requests


def ratio(results: Results, ours: Contestant, theirs: Contestant, setting: Setting) -> Spread | None:
    """Requests per CPU second of ours over those of theirs, both of the same round; above 1 ours costs less.

    A round in which one of them is missing, or was too short to cost anything, is left out.
    """
    mine, others = rounds(results, ours, setting), rounds(results, theirs, setting)
    return Spread.of(
        cpu_us(others[turn]) / cpu_us(mine[turn])
        for turn in mine
        if turn in others and mine[turn].cpu_seconds > 0 and others[turn].cpu_seconds > 0
    )


# Revocation


@dataclass(frozen=True, slots=True)
class Distribution:
    """The distribution of many durations, in milliseconds."""

    p50: float
    p99: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Distribution | None":
        """None where there are none."""
        if not values:
            return None
        return cls(percentile(values, 50), percentile(values, 99), max(values), len(values))


def everywhere(row: Propagation) -> list[float]:
    """From each acknowledgement to the last accept in any worker, in milliseconds."""
    return [max(by_worker) for by_worker in row.last_accept_ms if by_worker]


def kept(row: Propagation) -> bool | None:
    """Whether nothing was accepted that was sent later than the bound; None where nothing is promised or measured."""
    delays = everywhere(row)
    if row.bound_ms is None or not delays:
        return None
    return row.wrong_accepts == 0 and max(delays) <= row.bound_ms


# Scale


def per_entry(results: Results) -> tuple[float, float] | None:
    """Bytes that one entry takes in Redis and in a worker: what the largest list has over the smallest."""
    rows = sorted(results.scale, key=lambda row: row.entries)
    if not rows or rows[0].entries == rows[-1].entries:
        return None
    first, last = rows[0], rows[-1]
    entries = last.entries - first.entries
    return (last.redis_bytes - first.redis_bytes) / entries, (last.worker_bytes - first.worker_bytes) / entries


def revocations_per_second(results: Results, way: str) -> Spread | None:
    """The speed of revocations that are written one by one, or in bulk."""
    return Spread.of(row.revocations / row.seconds for row in results.revoking if row.way == way and row.seconds > 0)
