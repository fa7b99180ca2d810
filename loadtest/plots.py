"""Plots: rows of marks that the report's template draws as SVG, so that the page needs no script.

Every mark is a line. Its horizontal places are percentages and its vertical places are pixels below the top of its row,
so the text of a plot keeps its size on a phone.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from loadtest.figures import Spread

#: The logarithmic axis of durations: powers of ten of a second, evenly apart. Its ends stand for all beyond them.
TICKS: Final = {-4: "0.1 ms", -2: "10 ms", 0: "1 s", 2: "for ever"}

#: Where bars and the axis lie below the top of their row.
_BAR: Final = 24
_AXIS: Final = 30

_BINS: Final = 48


class Mark(NamedTuple):
    """One line, with the class of the page's style that colours it."""

    style: str
    left: float
    right: float
    top: float
    bottom: float
    thickness: float


class Row(NamedTuple):
    """A name and its figures as text, above the marks: a reader who does not see the marks reads the text."""

    name: str
    text: str
    marks: Sequence[Mark]


class Bar(NamedTuple):
    """A length that `bars` draws, with whiskers where single rounds differ."""

    name: str
    text: str
    style: str
    value: float
    spread: Spread | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture, and one sentence that says what to see in it."""

    title: str
    see: str
    rows: Sequence[Row]
    #: Whether the durations of its rows stand on the logarithmic axis.
    ticks: bool = False


def bars(drawn: Sequence[Bar]) -> tuple[Row, ...]:
    """Lengths from zero on one scale."""
    longest = max((bar.spread.most if bar.spread else bar.value for bar in drawn), default=0.0) or 1.0
    return tuple(Row(bar.name, bar.text, tuple(_bar(bar, 100 / longest))) for bar in drawn)


def _bar(bar: Bar, scale: float) -> Iterator[Mark]:
    yield Mark("track", 0, 100, _BAR, _BAR, 8)
    yield Mark(bar.style, 0, scale * bar.value, _BAR, _BAR, 8)
    if bar.spread and bar.spread.least < bar.spread.most:
        least, most = scale * bar.spread.least, scale * bar.spread.most
        yield Mark("whisker", least, most, _BAR, _BAR, 1)
        yield from (Mark("whisker", end, end, _BAR - 3, _BAR + 3, 1) for end in (least, most))


def shares(parts: Mapping[str, float]) -> Iterator[Mark]:
    """The parts of a whole side by side, by their styles."""
    left = 0.0
    for style, part in parts.items():
        right = left + 100 * part / sum(parts.values())
        if part:
            yield Mark(style, left, right, _BAR, _BAR, 8)
        left = right


def dot(seconds: float) -> Iterator[Mark]:
    """One duration on the axis; hollow where it has no end."""
    at = _place(seconds)
    yield Mark("rule", 0, 100, _AXIS, _AXIS, 1)
    yield Mark("ours dot", at, at, _AXIS, _AXIS, 10)
    if math.isinf(seconds):
        yield Mark("hole dot", at, at, _AXIS, _AXIS, 6)


def histogram(style: str, seconds: Sequence[float], *, bound: float | None) -> Iterator[Mark]:
    """Many durations on the axis, by the share of them in each bin, and the bound that is promised for them."""
    counts = Counter(min(int(_place(value) * _BINS / 100), _BINS - 1) for value in seconds)
    yield Mark("rule", 0, 100, _AXIS, _AXIS, 1)
    for bin_, count in sorted(counts.items()):
        # Square roots keep one value among thousands visible.
        height = max(1.0, 11 * math.sqrt(count / max(counts.values())))
        left, middle = 100 * bin_ / _BINS, _AXIS - height / 2
        yield Mark(style, left, left + 92 / _BINS, middle, middle, height)
    if bound:
        yield Mark("bound", _place(bound), _place(bound), _AXIS - 11, _AXIS + 4, 2)


def _place(seconds: float) -> float:
    low, high = min(TICKS), max(TICKS)
    if seconds <= 10.0**low:
        return 0.0
    return 100.0 * min((math.log10(seconds) - low) / (high - low), 1.0)
