"""Goals: what the project set out to reach, and where a run stands against it, met or not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from loadtest import figures
from loadtest.figures import Distribution, Setting, Spread
from loadtest.notation import ENTRANTS, duration, number
from loadtest.results import BadDay, Contestant, Propagation, Results

#: How long the servers of a bad day wait for one answer of Redis: the default of the library.
TIMEOUT_MS: Final = 100.0

#: What "flat" allows for: a million entries do not fit into a CPU's cache.
_FLAT: Final = 1.5

#: What a follower's beats add to the commands of the requests in the same seconds.
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

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure: what it is, what it should be, what it was."""

    figure: str
    target: str
    #: What was measured, and over what; None where it was not.
    measured: str | None
    met: bool | None
    #: Where the raw values are in the results.
    source: str


def goals(results: Results) -> tuple[Goal, ...]:
    """All of them, in the order of the design, whether they were measured or not."""
    return (*_costs(results), *_speed(results), *_scale(results), *_revoking(results), *_bad_day(results))


def _goal(
    figure: str,
    target: str,
    source: str,
    found: Found | None,
    *,
    text: Callable[[Found], str],
    met: Callable[[Found], bool],
) -> Goal:
    if found is None:
        return Goal(figure=figure, target=target, measured=None, met=None, source=source)
    return Goal(figure=figure, target=target, measured=text(found), met=met(found), source=source)


def _median_at_least(least: float) -> Callable[[Spread], bool]:
    return lambda found: found.median >= least


def _at_most(most: float) -> Callable[[float], bool]:
    return lambda found: found <= most


def _about(commands: int) -> Callable[[Spread], bool]:
    return lambda found: abs(found.median - commands) <= _BEATS


def _never(_: float) -> bool:
    return False


def _spread(found: Spread, unit: str) -> str:
    over_rounds = f" ({number(found.least)} to {number(found.most)})" if found.least != found.most else ""
    return f"{number(found.median)}{unit}{over_rounds}"


def _costs(results: Results) -> Iterator[Goal]:
    for worker_class in _WORKER_CLASSES:
        for ours, theirs, algorithm, least in _RATIOS:
            yield _goal(
                f"requests per CPU second, {ours} over {ENTRANTS[theirs].title}, {algorithm}, {worker_class}",
                f"≥ {least}x",
                f"cost[contestant={ours}|{theirs}, algorithm={algorithm}, worker_class={worker_class}].cpu_seconds, "
                "requests",
                figures.ratio(results, ours, theirs, Setting(algorithm, worker_class)),
                text=lambda found: _spread(found, "x"),
                met=_median_at_least(least),
            )
    setting = figures.main_setting(results)
    expected: tuple[tuple[Contestant, int], ...] = (("bounded", 0), ("strict", 1))
    for contestant, commands in expected:
        yield _goal(
            f"Redis commands per request, {contestant}",
            str(commands),
            f"cost[contestant={contestant}].redis_commands, requests",
            figures.cost(results, contestant, setting, figures.redis_commands) if setting else None,
            text=lambda found: f"{found.median:.3f}",
            met=_about(commands),
        )


def _speed(results: Results) -> Iterator[Goal]:
    rows = [row for row in results.propagation if row.contestant == "bounded"]
    workers = max((row.workers for row in rows), default=8)
    found = [one for row in rows if (one := Distribution.of(figures.everywhere(row)))]
    # Of several settings the slowest counts.
    for name, most, slowest in (
        ("p50", 2.0, max((one.p50 for one in found), default=None)),
        ("p99", 10.0, max((one.p99 for one in found), default=None)),
    ):
        yield _goal(
            f"acknowledged to refused in every one of {workers} workers, bounded, {name}",
            f"≤ {most:g} ms",
            "propagation[contestant=bounded].last_accept_ms",
            slowest,
            text=lambda found: f"{number(found)} ms",
            met=_at_most(most),
        )
    yield _goal(
        "accepts later than what is promised",
        "0",
        "propagation[].wrong_accepts, bound_ms, last_accept_ms",
        [row for row in results.propagation if figures.kept(row) is not None] or None,
        text=_late,
        met=lambda promised: all(figures.kept(row) for row in promised),
    )


def _late(promised: list[Propagation]) -> str:
    delays = [delay for row in promised for delay in figures.everywhere(row)]
    accepts = sum(row.wrong_accepts for row in promised)
    return f"{accepts:,} of {len(delays):,} revocations; the latest accept came {duration(max(delays) / 1000)} after"


def _scale(results: Results) -> Iterator[Goal]:
    rows = sorted(results.scale, key=lambda row: row.entries)
    over = f"with {rows[0].entries:,} to {rows[-1].entries:,} live entries" if rows else ""
    yield _goal(
        "one check in the follower",
        "≤ 2 µs",
        "scale[].check_us",
        Spread.of(row.check_us for row in rows),
        text=lambda found: f"{number(found.least)} to {number(found.most)} µs {over}",
        met=lambda found: found.most <= 2,
    )
    yield _goal(
        "the same check with the most entries, over the fewest",
        f"flat: ≤ {_FLAT}x",
        "scale[].check_us",
        rows[-1].check_us / rows[0].check_us if len(rows) > 1 and rows[0].check_us > 0 else None,
        text=lambda found: f"{number(found)}x {over}",
        met=lambda found: found <= _FLAT,
    )
    yield _goal(
        "catch-up of a fresh follower",
        "≥ 150,000 entries/s",
        "scale[].entries, catch_up_seconds, p99_idle_ms, p99_meanwhile_ms",
        # The largest: with few entries it is the start of a thread that is measured.
        next((row for row in reversed(rows) if row.entries and row.catch_up_seconds > 0), None),
        text=lambda row: (
            f"{number(row.entries / row.catch_up_seconds)} entries/s with {row.entries:,}; requests were served "
            f"meanwhile, p99 {number(row.p99_meanwhile_ms)} ms against {number(row.p99_idle_ms)} ms"
        ),
        met=lambda row: row.entries / row.catch_up_seconds >= 150_000,
    )
    yield _goal(
        "p99 of requests while a fresh follower catches up, over the p99 without one",
        f"≤ {_MEANWHILE:g}x",
        "scale[].p99_idle_ms, p99_meanwhile_ms",
        rows[-1].p99_meanwhile_ms / rows[-1].p99_idle_ms if rows and rows[-1].p99_idle_ms > 0 else None,
        text=lambda found: f"{number(found)}x {over}",
        met=_at_most(_MEANWHILE),
    )


def _revoking(results: Results) -> Iterator[Goal]:
    for way, words, least in (("one_by_one", "one by one", 5_000), ("bulk", "in bulk", 40_000)):
        yield _goal(
            f"revocations per second, {words}",
            f"≥ {least:,}/s",
            f"revoking[way={way}].revocations, seconds",
            figures.revocations_per_second(results, way),
            text=lambda found: _spread(found, "/s"),
            met=_median_at_least(least),
        )


def _bad_day(results: Results) -> Iterator[Goal]:
    rows = [row for row in results.bad_day if row.contestant == "strict" and row.fault in {"hung", "dead"}]
    unanswered = sum(row.answers.get("none", 0) for row in rows)
    limits: tuple[tuple[str, float, Callable[[BadDay], float]], ...] = (
        ("p99", TIMEOUT_MS + 20, lambda row: row.p99_ms),
        ("p50, when the gate is closed", 2.0, lambda row: row.p50_ms),
    )
    for name, most, of in limits:
        yield _goal(
            f"time to answer 503 while Redis hangs or is dead, strict, {name}",
            f"≤ {most:g} ms",
            "bad_day[contestant=strict, fault=hung|dead].answers, p50_ms, p99_ms",
            max(map(of, rows), default=None),
            text=lambda found: f"{number(found)} ms" + (f"; {unanswered:,} got no answer" if unanswered else ""),
            met=_never if unanswered else _at_most(most),
        )
