"""Comparison: the two tables of the report and the README, in measured figures.

The trade says what sessions, JWTs and the hybrid of both are each good at, and what that costs. The costs say what a
request costs with each contestant.
"""

import math
from dataclasses import dataclass
from typing import Final

from loadtest import figures
from loadtest.figures import Distribution, Setting
from loadtest.notation import ENTRANTS, duration, number, share, size
from loadtest.results import Contestant, Results

#: Which contestant stands for which column of the trade.
COLUMNS: Final[dict[str, Contestant]] = {"sessions": "session", "JWTs": "textbook", "hybrid": "bounded"}

NOT_MEASURED: Final = "not measured"


@dataclass(frozen=True, slots=True)
class Cell:
    """A statement, the figure that says how much, and where in the results that stands."""

    words: str
    figure: str
    source: str


@dataclass(frozen=True, slots=True)
class Aspect:
    """One row of the trade: a cell per column."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The table of costs: its caption, head and rows."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def trade(results: Results) -> tuple[Aspect, ...]:
    """The trade, row by row. A cell for which nothing was measured says so."""
    return (_state(results), _work(results), _revocation(results), _scaling(results))


def _cell(words: str, figure: str | None, source: str) -> Cell:
    return Cell(words, figure or NOT_MEASURED, source)


def _cost_source(results: Results, contestant: Contestant, fields: str) -> str:
    setting = figures.main_setting(results)
    where = f", algorithm={setting.algorithm}, worker_class={setting.worker_class}" if setting else ""
    return f"cost[contestant={contestant}{where}].{fields}"


def _state(results: Results) -> Aspect:
    def stored(contestant: Contestant, words: str) -> Cell:
        spread = figures.main_cost(results, contestant, figures.redis_bytes)
        figure = f"{size(spread.median)} of Redis traffic per request" if spread else None
        return _cell(words, figure, _cost_source(results, contestant, "redis_bytes, requests"))

    entry = figures.per_entry(results)
    hybrid = _cell(
        "in the token; on the server only what was revoked, while it could still be used",
        f"{size(entry[0])} in Redis and {size(entry[1])} in each worker per revocation" if entry else None,
        "scale[].entries, redis_bytes, worker_bytes",
    )
    return Aspect("state", (stored("session", "on the server"), stored("textbook", "in the token"), hybrid))


def _work(results: Results) -> Aspect:
    def work(contestant: Contestant, words: str) -> Cell:
        cpu = figures.main_cost(results, contestant, figures.cpu_us)
        commands = figures.main_cost(results, contestant, figures.redis_commands)
        asked = f"{round(commands.median, 1):g}" if commands else ""
        figure = f"{number(cpu.median)} µs of CPU, {asked} Redis command{'' if asked == '1' else 's'}" if cpu else None
        return _cell(words, figure, _cost_source(results, contestant, "cpu_seconds, redis_commands, requests"))

    cells = (
        work("session", "a lookup"),
        work("textbook", "a signature check"),
        work("bounded", "a look in memory; a signature check the first time"),
    )
    return Aspect("work per request", cells)


def _revocation(results: Results) -> Aspect:
    def refused(contestant: Contestant, words: str) -> Cell:
        row = next((row for row in results.propagation if row.contestant == contestant), None)
        delay = Distribution.of(figures.everywhere(row)) if row else None
        figure = None
        if row and delay:
            figure = (
                f"last accepted {duration(delay.p50 / 1000)} (p50), {duration(delay.p99 / 1000)} (p99) after, "
                f"in any of {row.workers} workers"
                if delay.most
                else f"never accepted after the acknowledgement: {delay.count:,} revocations, {row.workers} workers"
            )
        return _cell(words, figure, f"propagation[contestant={contestant}].last_accept_ms, workers")

    # The textbook asks nothing, as `max_staleness=inf` does: what is measured there is measured for both.
    forever = next((row for row in results.dial if row.max_staleness == math.inf), None)
    never = None
    if forever:
        ms = forever.refused_after_ms
        never = "still accepted when the measurement ended" if ms is None else f"refused after {duration(ms / 1000)}"
    cells = (
        refused("session", "instant and easy: delete it"),
        _cell("hard: it works until it expires", never, "dial[max_staleness=inf].refused_after_ms"),
        refused("bounded", "instant and easy, and every worker confirms it"),
    )
    return Aspect("revocation", cells)


def _scaling(results: Results) -> Aspect:
    def alone(contestant: Contestant, words: str) -> Cell:
        dead = (row.answers for row in results.bad_day if (row.contestant, row.fault) == (contestant, "dead"))
        answers = next(dead, {})
        let_in = share(answers.get("200", 0), sum(answers.values())) if any(answers.values()) else None
        figure = f"{let_in} of requests let in while Redis is dead" if let_in else None
        return _cell(words, figure, f"bad_day[contestant={contestant}, fault=dead].answers")

    largest = max(results.scale, key=lambda row: row.entries, default=None)
    copied = None
    if largest:
        check, catch_up = number(largest.check_us), duration(largest.catch_up_seconds)
        copied = f"{largest.entries:,} revocations: {check} µs per check, copied in {catch_up}"
    cells = (
        alone("session", "needs a shared store, at every request"),
        alone("textbook", "trivial: nothing is shared"),
        _cell(
            "each worker has a copy of what was revoked, and asks nobody",
            copied,
            "scale[].entries, check_us, catch_up_seconds",
        ),
    )
    return Aspect("scaling", cells)


def costs(results: Results) -> Costs | None:
    """The table of costs; None where nothing was measured for it."""
    main = figures.main_setting(results)
    if main is None:
        return None
    # The other worker class tells the same story; the plots of the report have it.
    settings = [setting for setting in figures.settings(results) if setting.worker_class == main.worker_class]
    return Costs(
        caption=f"CPU microseconds of the server per request under {main.worker_class}, median of the rounds (least "
        f"to most); the last three columns are of {main.algorithm}:",
        head=("", "what it does", *(setting.algorithm for setting in settings), "Redis commands", "p99", "memory"),
        rows=tuple(
            (
                entrant.title,
                entrant.does,
                *(_cpu(results, name, setting) for setting in settings),
                *_aside(results, name),
            )
            for name, entrant in ENTRANTS.items()
        ),
    )


def _cpu(results: Results, contestant: Contestant, setting: Setting) -> str:
    spread = figures.cost(results, contestant, setting, figures.cpu_us)
    return f"{number(spread.median)} ({number(spread.least)} to {number(spread.most)})" if spread else NOT_MEASURED


def _aside(results: Results, contestant: Contestant) -> tuple[str, str, str]:
    commands = figures.main_cost(results, contestant, figures.redis_commands)
    latency = figures.main_cost(results, contestant, lambda row: row.latencies_ms.p99)
    memory = figures.main_cost(results, contestant, lambda row: row.memory_bytes)
    if commands is None or latency is None or memory is None:
        return "", "", ""
    return f"{round(commands.median, 1):g}", f"{number(latency.median)} ms", size(memory.median)
