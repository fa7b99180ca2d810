"""Chapter: a question, plots that answer it, and with each plot one sentence that says what to see in it."""

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture, and what to see in it."""

    see: str
    picture: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Figures behind plots."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A chapter of the report; without plots it is left out."""

    #: Of its place on the page.
    name: str
    title: str
    question: str
    plots: tuple[Plot, ...]
    tables: tuple[Table, ...] = ()
    #: Styles in its plots, and what they stand for.
    legend: tuple[tuple[str, str], ...] = ()
