"""Goals: the figures to reach, and where a run stands against them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from loadtest import figures
from loadtest.contestants import Name
from loadtest.figures import TITLES, number
from loadtest.population import MIXES, Mix
from loadtest.results import Results

#: A figure as a number, and in words; None where it was not measured.
Measured = tuple[float, str] | None

_GLUE: Final = "The decision itself takes a few microseconds; the rest is the way through Flask to the view and back."
_CLIENT: Final = "The rest is redis-py's: packing a request, lending a connection, parsing the answer."
_SERVER: Final = (
    "A new token costs its signature and a place in the cache, and beats of followers weigh most on idle workers."
)
_SHARED: Final = " Others were at work on this machine: measure again when it is quiet."
_LOOP: Final = (
    "A step computes and waits for nothing, so what is missing is time in which other processes had the core."
)
_TRIPS: Final = "A receipt asks again where a follower is late; anything else is one more question than needed."
_FAULT: Final = "This is a fault: a request was let in later than promised."


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, what it should be, what it was, and why it is not met."""

    figure: str
    target: str
    measured: str | None
    met: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    figure: str
    least: float | None
    most: float | None
    unit: str
    measured: Callable[[Results], Measured]
    why: str

    def goal(self, results: Results) -> Goal:
        target = f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}" if self.most else "0"
        found = self.measured(results)
        if found is None:
            return Goal(self.figure, target + self.unit, None, None, "")
        met = (self.least is None or found[0] >= self.least) and (self.most is None or found[0] <= self.most)
        why = self.why + (_SHARED if results.machine.load_average > figures.QUIET_LOAD else "")
        return Goal(self.figure, target + self.unit, found[1], met, "" if met else why)


def goals(results: Results) -> Iterator[Goal]:
    """Every one of them, whether it was measured or not."""
    for wanted in _WANTED:
        yield wanted.goal(results)


def _added(name: Name) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        row = figures.added(results, name)
        if row is None:
            return None
        return row.again.median, f"{row.again.median:.1f} µs ({row.again.lower:.1f} to {row.again.upper:.1f})"

    return measured


def _beyond_stateless(results: Results) -> Measured:
    strict, stateless = figures.added(results, "strict"), figures.added(results, "stateless")
    if not strict or not stateless:
        return None
    mget = results.in_process[0].mget.median
    share = (strict.again.median - stateless.again.median) / mget
    return share, f"{share:.2f} of {mget:.1f} µs"


def _first_seen(algorithm: str) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        row = next((row for row in results.verified if row.algorithm == algorithm), None)
        if row is None:
            return None
        share = row.ours.median / row.pyjwt.median
        return share, f"{share:.2f} ({row.ours.median:.1f} over {row.pyjwt.median:.1f} µs)"

    return measured


def _least_ratio(ours: Name, theirs: Name, mixes: tuple[Mix, ...]) -> Callable[[Results], Measured]:
    """The least over all numbers of workers and these mixes."""

    def measured(results: Results) -> Measured:
        found = [
            (ratio, figures.spelled(point))
            for point in figures.points(results)
            if point[1] in mixes and (ratio := figures.ratio(results, ours, theirs, point))
        ]
        if not found:
            return None
        worst, where = min(found)
        return worst.median, f"{worst}: {where}"

    return measured


def _propagation(results: Results) -> Measured:
    row = next((row for row in results.accepted if (row.contestant, row.fault) == ("bounded", "none")), None)
    if row is None:
        return None
    times = f"{number(row.p99_ms)} ms (p50 {number(row.p50_ms)})"
    return row.p99_ms, f"{times} over {row.revocations:,} revocations and {row.workers} workers"


def _late(results: Results) -> Measured:
    rows = [row for row in results.accepted if row.bound_ms is not None]
    if not rows:
        return None
    late, faults = sum(row.late for row in rows), ", ".join(dict.fromkeys(row.fault for row in rows))
    return late, f"{late} over {sum(row.revocations for row in rows):,} revocations (faults: {faults})"


def _own(results: Results) -> Measured:
    own = [row.own_ms for row in results.accepted if row.contestant == "bounded"]
    return (max(own), f"{number(max(own))} ms") if own else None


def _held(results: Results) -> Measured:
    if not results.held:
        return None
    worst = max(results.held, key=lambda row: row.p99_ms)
    where = f"{worst.contestant}, fault of Redis: {worst.fault}"
    return worst.p99_ms, f"{number(worst.p99_ms)} ms (at most {number(worst.most_ms)}): {where}"


def _imported(results: Results) -> Measured:
    row = next(iter(results.imported), None)
    return (row.cpu_seconds, f"{number(row.cpu_seconds)} s, {row.modules} modules") if row else None


def _asked(act: str) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        row = next((row for row in results.asked if row.act == act), None)
        return (row.median, f"{row.median} (at most {row.most})") if row else None

    return measured


_OFTEN: Final[tuple[Mix, ...]] = ("20", "100", "zipf")

#: Ours, theirs, at which mixes in words, which those are, and the least ratio.
_RATIOS: Final[tuple[tuple[Name, Name, str, tuple[Mix, ...], float], ...]] = (
    ("bounded", "textbook", "any mix of tokens", MIXES, 1.0),
    ("bounded", "textbook", "20 requests per token", ("20",), 1.5),
    ("strict", "textbook", "20 or more requests per token, and Zipf", _OFTEN, 1.3),
    ("strict", "jwt_extended", "the same", _OFTEN, 2.0),
    ("bounded", "jwt_extended", "the same", _OFTEN, 2.6),
)

_WANTED: Final = (
    _Wanted("CPU added to a Flask route, token seen before, inf", None, 12, " µs", _added("stateless"), _GLUE),
    _Wanted("the same, 1.0", None, 15, " µs", _added("bounded"), _GLUE),
    _Wanted("the same, 0", None, 110, " µs", _added("strict"), _CLIENT),
    _Wanted("0 beyond inf, over one `client.mget` of redis-py", None, 0.6, "", _beyond_stateless, _CLIENT),
    *(
        _Wanted(f"new token over `jwt.decode`, {algorithm}", None, most, "", _first_seen(algorithm), _SERVER)
        for algorithm, most in (("ES256", 1.0), ("RS256", 1.0), ("EdDSA", 1.0), ("HS256", 0.75))
    ),
    *(
        _Wanted(
            f"{TITLES[ours]} over {TITLES[theirs]}, requests per CPU second, {words}, the least",
            least,
            None,
            "",
            _least_ratio(ours, theirs, mixes),
            _SERVER,
        )
        for ours, theirs, words, mixes, least in _RATIOS
    ),
    _Wanted(
        "acknowledged to refused by every worker, p99",
        None,
        5,
        " ms",
        _propagation,
        "There are more workers than cores, so a worker waits for a core before it can learn anything.",
    ),
    _Wanted("accepts later than promised, 0 and 1.0", None, 0, "", _late, _FAULT),
    _Wanted("last accept of the process that revoked", None, 0, " ms", _own, _FAULT),
    _Wanted(
        "event loop held by a step of a decision, 0 and 1.0, also while Redis hangs, p99", None, 2, " ms", _held, _LOOP
    ),
    *(
        _Wanted(f"round trips to Redis, {act}", None, most, "", _asked(act), _TRIPS)
        for act, most in (("refresh", 2), ("revoke with receipt", 2), ("admin search", 4))
    ),
    _Wanted("`import revocation`, CPU", None, 0.2, " s", _imported, "Most of it is redis-py's and cryptography's."),
)
