"""The trade: sessions, JWTs and the hybrid of both, what each is good at and what it costs, in measured figures."""

from dataclasses import dataclass
from typing import Final

from loadtest import figures
from loadtest.figures import Distribution, Setting
from loadtest.results import BadDay, Contestant, Propagation, Results
from loadtest.words import duration, number, share, size

#: Which contestant stands for which column.
COLUMNS: Final[dict[str, Contestant]] = {"sessions": "session", "JWTs": "textbook", "hybrid": "bounded"}

NOT_MEASURED: Final = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is so, the figure that says how much, and where in the results that stands."""

    words: str
    figure: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspect:
    """One row: a cell per column."""

    name: str
    cells: tuple[Cell, ...]


def trade(results: Results) -> tuple[Aspect, ...]:
    """The table, row by row. Where nothing was measured the cell says so."""
    return (_state(results), _work(results), _revocation(results), _scaling(results))


def _cell(words: str, found: str | None, *sources: str) -> Cell:
    return Cell(words=words, figure=found or NOT_MEASURED, sources=sources)


def _cost_source(contestant: Contestant, setting: Setting | None, fields: str) -> str:
    if setting is None:
        return f"cost[contestant={contestant}].{fields}"
    algorithm, worker_class = setting
    return f"cost[contestant={contestant}, algorithm={algorithm}, worker_class={worker_class}].{fields}"


def _state(results: Results) -> Aspect:
    setting = figures.main_setting(results)
    entry = figures.per_entry(results)

    def read(contestant: Contestant) -> str | None:
        spread = figures.cost(results, contestant, setting, figures.redis_bytes) if setting else None
        return f"{size(spread.median)} of Redis traffic per request" if spread else None

    def source(contestant: Contestant) -> str:
        return _cost_source(contestant, setting, "redis_bytes, requests")

    return Aspect(
        name="state",
        cells=(
            _cell("on the server", read("session"), source("session")),
            _cell("in the token", read("textbook"), source("textbook")),
            _cell(
                "in the token; on the server only what was revoked, while it could still be used",
                f"{size(entry[0])} in Redis and {size(entry[1])} in each worker per revocation" if entry else None,
                "scale[].entries, redis_bytes, worker_bytes",
            ),
        ),
    )


def _work(results: Results) -> Aspect:
    setting = figures.main_setting(results)

    def work(contestant: Contestant) -> str | None:
        cpu = figures.cost(results, contestant, setting, figures.cpu_us) if setting else None
        commands = figures.cost(results, contestant, setting, figures.redis_commands) if setting else None
        if cpu is None or commands is None:
            return None
        asked = f"{round(commands.median, 1):g}"
        return f"{number(cpu.median)} µs of CPU, {asked} Redis command{'' if asked == '1' else 's'}"

    words = {
        "session": "a lookup",
        "textbook": "a signature check",
        "bounded": "a look in memory; a signature check the first time",
    }
    return Aspect(
        name="work per request",
        cells=tuple(
            _cell(
                words[contestant],
                work(contestant),
                _cost_source(contestant, setting, "cpu_seconds, redis_commands, requests"),
            )
            for contestant in COLUMNS.values()
        ),
    )


def _revocation(results: Results) -> Aspect:
    def speed(contestant: Contestant) -> str | None:
        row = next((one for one in results.propagation if one.contestant == contestant), None)
        found = row and Distribution.of(figures.everywhere(row))
        return _refused(row, found) if row and found else None

    # The textbook asks nothing, as `max_staleness=inf` does: what is measured there is measured for both.
    forever = next((row for row in results.dial if row.max_staleness == float("inf")), None)
    if forever is None:
        never = None
    elif forever.refused_after_ms is None:
        never = "still accepted when the measurement ended"
    else:
        never = f"refused after {duration(forever.refused_after_ms / 1000)}"
    return Aspect(
        name="revocation",
        cells=(
            _cell(
                "instant and easy: delete it",
                speed("session"),
                "propagation[contestant=session].last_accept_ms, workers",
            ),
            _cell("hard: it works until it expires", never, "dial[max_staleness=inf].refused_after_ms"),
            _cell(
                "instant and easy, and every worker confirms it",
                speed("bounded"),
                "propagation[contestant=bounded].last_accept_ms, workers",
            ),
        ),
    )


def _refused(row: Propagation, found: Distribution) -> str:
    if not found.most:
        return f"never accepted after the acknowledgement: {found.count:,} revocations, {row.workers} workers"
    return (
        f"last accepted {duration(found.p50 / 1000)} (p50), {duration(found.p99 / 1000)} (p99) after, "
        f"in any of {row.workers} workers"
    )


def _scaling(results: Results) -> Aspect:
    def alone(contestant: Contestant) -> str | None:
        return _answered(
            next((row for row in results.bad_day if (row.contestant, row.fault) == (contestant, "dead")), None)
        )

    largest = max(results.scale, key=lambda row: row.entries, default=None)
    copied = None
    if largest is not None:
        copied = (
            f"{largest.entries:,} revocations: {number(largest.check_us)} µs per check, "
            f"copied in {duration(largest.catch_up_seconds)}"
        )
    words: dict[Contestant, str] = {
        "session": "needs a shared store, at every request",
        "textbook": "trivial: nothing is shared",
    }
    return Aspect(
        name="scaling",
        cells=(
            *(
                _cell(words[one], alone(one), f"bad_day[contestant={one}, fault=dead].answers")
                for one in ("session", "textbook")
            ),
            _cell(
                "each worker has a copy of what was revoked, and asks nobody",
                copied,
                "scale[].entries, check_us, catch_up_seconds",
            ),
        ),
    )


def _answered(row: BadDay | None) -> str | None:
    if row is None or not sum(row.answers.values()):
        return None
    return f"{share(row.answers.get('200', 0), sum(row.answers.values()))} of requests let in while Redis is dead"
