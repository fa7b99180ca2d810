"""What each position of the dial costs, and what it gives."""

import math
from collections.abc import Callable
from typing import Final

from loadtest import plots
from loadtest.chapters.chapter import Chapter, Plot
from loadtest.plots import MILLISECONDS, Bar, Dots, LogAxis
from loadtest.results import Dial, Results
from loadtest.words import duration, listed, number

_SECONDS: Final = LogAxis(-2, 2, {-2: "10 ms", -1: "100 ms", 0: "1 s", 1: "10 s", 2: "for ever"})


def chapter(results: Results) -> Chapter:
    """Its plots; none where nothing was measured."""
    rows = sorted(results.dial, key=lambda row: row.max_staleness)
    return Chapter(
        name="dial",
        title="The dial",
        question="What each position of `max_staleness` costs, how soon it refuses, and how long it goes on while "
        "Redis hangs.",
        plots=(_cost(rows), _refused(rows), _alone(rows)) if rows else (),
    )


def _cost(rows: list[Dial]) -> Plot:
    bars = [
        Bar(
            name=_position(row),
            text=f"{number(row.cpu_us)} µs, {row.redis_commands:.2f} Redis commands",
            style="ours",
            value=row.cpu_us,
        )
        for row in rows
    ]
    kinds = {
        "strict": [row.cpu_us for row in rows if row.max_staleness == 0],
        "bounded": [row.cpu_us for row in _bounded(rows)],
        "stateless": [row.cpu_us for row in rows if math.isinf(row.max_staleness)],
    }
    spans = [f"{kind} {_from_to(found, number)} µs" for kind, found in kinds.items() if found]
    return Plot(
        see=f"CPU time per request: {listed(spans)}.",
        picture=plots.bars(bars, name="dial-cost", title="CPU time per request, by max_staleness"),
    )


def _refused(rows: list[Dial]) -> Plot:
    delays = [row.refused_after_ms for row in _bounded(rows) if row.refused_after_ms is not None]
    see = "How soon a revoked token is refused after the acknowledgement."
    if delays:
        see = (
            "Whatever the bound, a revoked token is refused "
            f"{_from_to([delay / 1000 for delay in delays], duration)} after the acknowledgement while Redis is well."
        )
    return Plot(
        see=see,
        picture=plots.dots(
            [_dot(row, row.refused_after_ms, never="when it expires", in_seconds=0.001) for row in rows],
            axis=MILLISECONDS,
            name="dial-refused",
            title="From acknowledgement to refusal, by max_staleness",
        ),
    )


def _alone(rows: list[Dial]) -> Plot:
    said = [
        f"for {duration(row.answers_without_redis_seconds)} at {_position(row)}"
        for row in _bounded(rows)
        if math.isfinite(row.answers_without_redis_seconds)
    ]
    return Plot(
        see=f"While Redis hangs, good tokens are let in {listed(said)}."
        if said
        else "How long good tokens are let in while Redis hangs.",
        picture=plots.dots(
            [_dot(row, row.answers_without_redis_seconds, never="for ever", in_seconds=1.0) for row in rows],
            axis=_SECONDS,
            name="dial-alone",
            title="How long good tokens are let in while Redis hangs, by max_staleness",
        ),
    )


def _dot(row: Dial, value: float | None, *, never: str, in_seconds: float) -> Dots:
    """One value; hollow, and at the end of the axis, where it is infinite."""
    finite = value is not None and math.isfinite(value)
    return Dots(
        name=_position(row),
        text=duration(value * in_seconds) if value is not None and finite else never,
        style="ours" if finite else "open",
        values=(value if value is not None else math.inf,),
    )


def _bounded(rows: list[Dial]) -> list[Dial]:
    return [row for row in rows if 0 < row.max_staleness < math.inf]


def _from_to(values: list[float], write: Callable[[float], str]) -> str:
    least, most = write(min(values)), write(max(values))
    return least if least == most else f"{least} to {most}"


def _position(row: Dial) -> str:
    return "inf" if math.isinf(row.max_staleness) else f"{row.max_staleness:g} s"
