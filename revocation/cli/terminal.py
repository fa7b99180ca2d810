"""The terminal: tables for people, JSON for programs, and never a character that commands it."""

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

#: A pipe or a file has no width: a program may read it, so the console does not break lines there.
_ENDLESS_COLUMNS = 10_000


class _Screen(Console):
    def on_broken_pipe(self) -> None:
        """Leave the broken pipe to `run`, which knows the exit code."""
        raise BrokenPipeError


def screen() -> Console:
    """A console on standard output that prints markup and emoji codes as they are."""
    width = None if sys.stdout.isatty() else _ENDLESS_COLUMNS
    return _Screen(
        file=sys.stdout, width=width, markup=False, emoji=False, highlight=False, soft_wrap=width is not None
    )


def notify(line: str) -> None:
    """Print a line for people on standard error, beside the answer."""
    click.echo(safe(line), err=True)


def safe(text: str) -> str:
    """The text with an escape sequence in place of every character that is not printable.

    Other people write reasons, user names and claims: an ESC in them could command the terminal, and a bidirectional
    control could reverse the text.
    """
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on one line, in ASCII."""
    click.echo(json.dumps(document))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table without frames that folds long cells and never cuts them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(safe(cell)) for cell in row))
    print_layout(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values, one pair per line."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, Text(safe(value)))
    print_layout(table)


def print_layout(layout: RenderableType) -> None:
    """Print a layout of rich, without the spaces with which rich fills up lines."""
    console = screen()
    with console.capture() as captured:
        console.print(layout)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=console.is_terminal)


def span(seconds: float) -> str:
    """A duration in its two largest units: `3 min 20 s`.

    >>> [span(seconds) for seconds in (0.4, 200, 7_200, 200_000)]
    ['0.4 s', '3 min 20 s', '2 h', '2 d 7 h']
    """
    if seconds < 10:  # noqa: PLR2004 (tenths matter below ten seconds)
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    parts: list[tuple[int, str]] = []
    whole = timedelta(seconds=round(seconds))
    minutes, left = divmod(whole.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    for amount, unit in ((whole.days, "d"), (hours, "h"), (minutes, "min"), (left, "s")):
        if parts or amount:
            parts.append((amount, unit))
    return " ".join(f"{amount} {unit}" for amount, unit in parts[:2] if amount)
