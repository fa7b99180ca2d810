"""Goals: what the project set out to reach, and where a run stands against it, met or not."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from loadtest import figures
from loadtest.figures import Distribution, Setting, Spread
from loadtest.notation import ENTRANTS, duration, number
from loadtest.results import Contestant, Propagation, Results

#: How long the servers of a bad day wait for one answer of Redis: the default of the library.
TIMEOUT_MS: Final = 100.0

#: A check counts as flat up to this growth: a million entries do not fit into a CPU's cache.
_FLAT: Final = 1.5

#: A follower's beats add this much to the commands per request of the same seconds.
_BEATS: Final = 0.05

#: Ours, theirs, algorithm, least ratio of requests per CPU second.
_RATIOS: Final[tuple[tuple[Contestant, Contestant, str, float], ...]] = (
    ("bounded", "textbook", "ES256", 1.45),
    ("bounded", "textbook", "HS256", 1.1),
    ("bounded", "none", "ES256", 0.93),
    ("bounded", "none", "HS256", 0.93),
    ("strict", "textbook", "ES256", 1.05),
    ("bounded", "jwt_extended", "ES256", 2.3),
    ("strict", "jwt_extended", "ES256", 1.6),
)

_WORKER_CLASSES: Final = ("gthread", "gevent")

#: How much longer the slowest requests may take while a follower catches up.
_MEANWHILE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure: what it is, what it should be, what it was."""

    figure: str
    target: str
    #: Where the raw values are in the results.
    source: str
    #: The text says what was measured, and over what; it is None where nothing was.
    measured: str | None = None
    met: bool | None = None


def goals(results: Results) -> tuple[Goal, ...]:
    """All of them, in the order of the design, whether they were measured or not."""
    return (*_costs(results), *_speed(results), *_scale(results), *_revoking(results), *_bad_day(results))


def _goal(
    figure: str,
    target: str,
    source: str,
    value: float | None,
    text: str,
    *,
    least: float = -math.inf,
    most: float = math.inf,
) -> Goal:
    """The goal, met where the value is from least to most; the text stands for a value that was measured."""
    return Goal(figure, target, source) if value is None else Goal(figure, target, source, text, least <= value <= most)


def _median(spread: Spread | None) -> float | None:
    return None if spread is None else spread.median


def _text(measured: Spread | float | None, unit: str) -> str:
    if isinstance(measured, Spread):
        over_rounds = f" ({number(measured.least)} to {number(measured.most)})" if measured.relative else ""
        return f"{number(measured.median)}{unit}{over_rounds}"
    return "" if measured is None else f"{number(measured)}{unit}"


def _costs(results: Results) -> Iterator[Goal]:
    for worker_class in _WORKER_CLASSES:
        for ours, theirs, algorithm, least in _RATIOS:
            ratio = figures.ratio(results, ours, theirs, Setting(algorithm, worker_class))
            yield _goal(
                f"requests per CPU second, {ours} over {ENTRANTS[theirs].title}, {algorithm}, {worker_class}",
                f"≥ {least}x",
                f"cost[contestant={ours}|{theirs}, algorithm={algorithm}, worker_class={worker_class}].cpu_seconds, "
                "requests",
                _median(ratio),
                _text(ratio, "x"),
                least=least,
            )
    expected: dict[Contestant, int] = {"bounded": 0, "strict": 1}
    for contestant, commands in expected.items():
        asked = _median(figures.main_cost(results, contestant, figures.redis_commands))
        yield _goal(
            f"Redis commands per request, {contestant}",
            str(commands),
            f"cost[contestant={contestant}].redis_commands, requests",
            asked,
            f"{asked or 0:.3f}",
            least=commands - _BEATS,
            most=commands + _BEATS,
        )


def _speed(results: Results) -> Iterator[Goal]:
    rows = [row for row in results.propagation if row.contestant == "bounded"]
    workers = max((row.workers for row in rows), default=8)
    delays = [delay for row in rows if (delay := Distribution.of(figures.everywhere(row)))]
    # The slowest of several settings counts.
    for name, most, slowest in (
        ("p50", 2.0, max((delay.p50 for delay in delays), default=None)),
        ("p99", 10.0, max((delay.p99 for delay in delays), default=None)),
    ):
        yield _goal(
            f"acknowledged to refused in every one of {workers} workers, bounded, {name}",
            f"≤ {most:g} ms",
            "propagation[contestant=bounded].last_accept_ms",
            slowest,
            _text(slowest, " ms"),
            most=most,
        )
    promised = [row for row in results.propagation if figures.kept(row) is not None]
    yield _goal(
        "accepts later than what is promised",
        "0",
        "propagation[].wrong_accepts, bound_ms, last_accept_ms",
        sum(not figures.kept(row) for row in promised) if promised else None,
        _late(promised),
        most=0,
    )


def _late(promised: list[Propagation]) -> str:
    delays = [delay for row in promised for delay in figures.everywhere(row)]
    accepts, latest = sum(row.wrong_accepts for row in promised), max(delays, default=0.0)
    return f"{accepts:,} of {len(delays):,} revocations; the latest accept came {duration(latest / 1000)} after"


def _scale(results: Results) -> Iterator[Goal]:
    rows = sorted(results.scale, key=lambda row: row.entries)
    over = f"with {rows[0].entries:,} to {rows[-1].entries:,} live entries" if rows else ""
    check = Spread.of(row.check_us for row in rows)
    yield _goal(
        "one check in the follower",
        "≤ 2 µs",
        "scale[].check_us",
        check.most if check else None,
        f"{number(check.least)} to {number(check.most)} µs {over}" if check else "",
        most=2,
    )
    growth = rows[-1].check_us / rows[0].check_us if len(rows) > 1 and rows[0].check_us > 0 else None
    yield _goal(
        "the same check with the most entries, over the fewest",
        f"flat: ≤ {_FLAT}x",
        "scale[].check_us",
        growth,
        _text(growth, f"x {over}"),
        most=_FLAT,
    )
    # The largest counts: with few entries it is the start of a thread that is measured.
    largest = next((row for row in reversed(rows) if row.entries and row.catch_up_seconds > 0), None)
    speed = largest.entries / largest.catch_up_seconds if largest else None
    meanwhile = largest and (
        f"{_text(speed, ' entries/s')} with {largest.entries:,}; requests were served meanwhile, p99 "
        f"{number(largest.p99_meanwhile_ms)} ms against {number(largest.p99_idle_ms)} ms"
    )
    yield _goal(
        "catch-up of a fresh follower",
        "≥ 150,000 entries/s",
        "scale[].entries, catch_up_seconds, p99_idle_ms, p99_meanwhile_ms",
        speed,
        str(meanwhile),
        least=150_000,
    )
    slowdown = rows[-1].p99_meanwhile_ms / rows[-1].p99_idle_ms if rows and rows[-1].p99_idle_ms > 0 else None
    yield _goal(
        "p99 of requests while a fresh follower catches up, over the p99 without one",
        f"≤ {_MEANWHILE:g}x",
        "scale[].p99_idle_ms, p99_meanwhile_ms",
        slowdown,
        _text(slowdown, f"x {over}"),
        most=_MEANWHILE,
    )


def _revoking(results: Results) -> Iterator[Goal]:
    for way, words, least in (("one_by_one", "one by one", 5_000), ("bulk", "in bulk", 40_000)):
        speed = figures.revocations_per_second(results, way)
        yield _goal(
            f"revocations per second, {words}",
            f"≥ {least:,}/s",
            f"revoking[way={way}].revocations, seconds",
            _median(speed),
            _text(speed, "/s"),
            least=least,
        )


def _bad_day(results: Results) -> Iterator[Goal]:
    rows = [row for row in results.bad_day if row.contestant == "strict" and row.fault in {"hung", "dead"}]
    unanswered = sum(row.answers.get("none", 0) for row in rows)
    for name, most, slowest in (
        ("p99", TIMEOUT_MS + 20, max((row.p99_ms for row in rows), default=None)),
        ("p50, when the gate is closed", 2.0, max((row.p50_ms for row in rows), default=None)),
    ):
        yield _goal(
            f"time to answer 503 while Redis hangs or is dead, strict, {name}",
            f"≤ {most:g} ms",
            "bad_day[contestant=strict, fault=hung|dead].answers, p50_ms, p99_ms",
            slowest,
            _text(slowest, " ms") + (f"; {unanswered:,} got no answer" if unanswered else ""),
            # A request that was never answered misses the goal, however soon the others were.
            most=-math.inf if unanswered else most,
        )
