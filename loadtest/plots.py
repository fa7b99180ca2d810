"""Plots: small SVG that needs no script. Places are in percent and text is not scaled, so a phone shows the same plot.

Each row is a line of text, a name and its figures, above its mark. Colours are classes; the page has the styles.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from markupsafe import Markup

_ROW: Final = 40
_MARK: Final = 20
_BINS: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What every row has."""

    name: str
    #: Its figures as text: who does not see the mark reads them.
    text: str
    #: A class of the page's style.
    style: str = "peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar(Row):
    """A length, and from where to where it was in single rounds."""

    value: float
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Row):
    """A whole in parts: style and amount of each."""

    parts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots(Row):
    """Many values on a logarithmic axis as a histogram, one value as a dot; with places of its own marked."""

    values: tuple[float, ...]
    marks: tuple[float, ...] = ()
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class LogAxis:
    """From one power of ten to another; what is outside is drawn at its end."""

    low: int
    high: int
    #: What a power of ten is called on it.
    labels: dict[int, str] = field(default_factory=dict)

    def place(self, value: float) -> float:
        """In percent from the left."""
        if value <= 10.0**self.low:
            return 0.0
        return 100.0 * min((math.log10(value) - self.low) / (self.high - self.low), 1.0)


#: What a revocation takes.
MILLISECONDS: Final = LogAxis(-1, 4, {-1: "0.1 ms", 0: "1 ms", 1: "10 ms", 2: "100 ms", 3: "1 s", 4: "10 s"})


def bars(rows: Sequence[Bar], *, name: str, title: str) -> Markup:
    """Lengths from zero on one scale; whiskers where rounds differ."""
    longest = max((row.value if row.most is None else row.most for row in rows), default=0.0) or 1.0
    drawn = []
    for index, row in enumerate(rows):
        top = _ROW * index
        drawn += [_text(top, row), _rect(top + _MARK, 0, 100, "track")]
        drawn.append(_rect(top + _MARK, 0, 100 * row.value / longest, row.style))
        if row.least is not None and row.most is not None and row.least < row.most:
            drawn.append(_whisker(top + _MARK + 4, 100 * row.least / longest, 100 * row.most / longest))
    return _plot(rows, drawn, name=name, title=title)


def parts(rows: Sequence[Parts], *, name: str, title: str) -> Markup:
    """Shares of a whole, side by side."""
    drawn = []
    for index, row in enumerate(rows):
        top = _ROW * index
        drawn += [_text(top, row), _rect(top + _MARK, 0, 100, "track")]
        whole, left = sum(amount for _, amount in row.parts), 0.0
        for style, amount in row.parts:
            if amount:
                drawn.append(_rect(top + _MARK, left, 100 * amount / whole, style))
                left += 100 * amount / whole
    return _plot(rows, drawn, name=name, title=title)


def dots(rows: Sequence[Dots], *, axis: LogAxis, name: str, title: str) -> Markup:
    """Values on a logarithmic axis."""
    drawn = []
    for index, row in enumerate(rows):
        top = _ROW * index
        base = top + _MARK + 10
        drawn += [_text(top, row), _line(base, 0, 100, "rule")]
        if row.bound is not None:
            drawn.append(_upright(base - 11, base + 4, axis.place(row.bound), "bound"))
        if len(row.values) == 1:
            drawn.append(
                Markup('<circle cx="{:.2f}%" cy="{}" r="5" class="{}"/>').format(
                    axis.place(row.values[0]), base, row.style
                )
            )
        else:
            drawn += _histogram(row, axis, base)
            drawn += [_upright(base - 2, base + 4, axis.place(mark), "mark") for mark in row.marks]
    bottom = _ROW * len(rows) + 12
    for power, label in axis.labels.items():
        at = 100 * (power - axis.low) / (axis.high - axis.low)
        anchor = "start" if at <= 0 else "end" if at >= 100 else "middle"
        drawn.append(
            Markup('<text x="{:.2f}%" y="{}" text-anchor="{}" class="tick">{}</text>').format(at, bottom, anchor, label)
        )
    return _plot(rows, drawn, name=name, title=title, footer=18 if axis.labels else 0)


def _histogram(row: Dots, axis: LogAxis, base: float) -> Iterable[Markup]:
    """By the share of the values in each bin; what is rare stays visible."""
    counts = Counter(min(int(axis.place(value) * _BINS / 100), _BINS - 1) for value in row.values)
    highest = max(counts.values(), default=1)
    for bin_, count in sorted(counts.items()):
        # Square roots: one value among thousands is still a pixel.
        height = max(1.0, 11 * math.sqrt(count / highest))
        yield Markup('<rect x="{:.2f}%" y="{:.1f}" width="{:.2f}%" height="{:.1f}" class="{}"/>').format(
            100 * bin_ / _BINS, base - height, 92 / _BINS, height, row.style
        )


def _plot(rows: Sequence[Row], drawn: Iterable[Markup], *, name: str, title: str, footer: int = 0) -> Markup:
    said = "; ".join(f"{row.name}: {row.text}" for row in rows)
    return Markup(
        '<svg role="img" width="100%" height="{height}" aria-labelledby="{name}-title {name}-figures">'
        '<title id="{name}-title">{title}</title><desc id="{name}-figures">{said}</desc>{drawn}</svg>'
    ).format(height=_ROW * len(rows) + footer, name=name, title=title, said=said, drawn=Markup("").join(drawn))


def _text(top: float, row: Row) -> Markup:
    return Markup(
        '<text x="0" y="{y}" class="name">{name}</text><text x="100%" y="{y}" text-anchor="end">{text}</text>'
    ).format(y=top + 13, name=row.name, text=row.text)


def _rect(top: float, left: float, width: float, style: str) -> Markup:
    return Markup('<rect x="{:.2f}%" y="{}" width="{:.2f}%" height="8" class="{}"/>').format(left, top, width, style)


def _line(y: float, left: float, right: float, style: str) -> Markup:
    return Markup('<line x1="{:.2f}%" x2="{:.2f}%" y1="{y}" y2="{y}" class="{}"/>').format(left, right, style, y=y)


def _upright(top: float, bottom: float, at: float, style: str) -> Markup:
    return Markup('<line x1="{x:.2f}%" x2="{x:.2f}%" y1="{}" y2="{}" class="{}"/>').format(top, bottom, style, x=at)


def _whisker(middle: float, left: float, right: float) -> Markup:
    ends = (_upright(middle - 3, middle + 3, at, "whisker") for at in (left, right))
    return _line(middle, left, right, "whisker") + Markup("").join(ends)
