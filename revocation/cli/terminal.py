"""What the commands print: tables for people, JSON for programs, and never a character that commands a terminal."""

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from revocation.denylist import Receipt, Revocation

#: Where nobody's window has a width, lines are not broken: a program may read them.
_ENDLESS_COLUMNS = 10_000


class _Screen(Console):
    def on_broken_pipe(self) -> None:
        """Left to `main`, which knows the exit code."""
        raise BrokenPipeError


def screen(*, stderr: bool = False) -> Console:
    """A console on standard output, or error; markup and emoji codes in what it prints mean nothing."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _ENDLESS_COLUMNS
    return _Screen(file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=width is not None)


def tell(line: str) -> None:
    """One line for people, beside the answer: on standard error."""
    click.echo(safe(line), err=True)


def safe(text: str) -> str:
    """The text with everything that is not printable written as an escape.

    Reasons, user names and claims are other people's: an ESC in them could command the terminal, and a bidirectional
    control could turn the text around.
    """
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on one line, in ASCII."""
    click.echo(json.dumps(document))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """A table without frames; cells are folded and never cut."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(safe(cell)) for cell in row))
    print_layout(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Names and values, one per line."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, Text(safe(value)))
    print_layout(table)


def print_layout(layout: RenderableType) -> None:
    """Something that rich lays out, without the spaces that it fills lines up with."""
    console = screen()
    with console.capture() as captured:
        console.print(layout)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=console.is_terminal)


def instant(milliseconds: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    written = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return written.replace("+00:00", "Z")


def span(seconds: float) -> str:
    """How long, in the two units that matter: `3 min 20 s`.

    >>> [span(seconds) for seconds in (0.4, 200, 7_200, 200_000)]
    ['0.4 s', '3 min 20 s', '2 h', '2 d 7 h']
    """
    if seconds < 10:  # noqa: PLR2004 (below that, tenths matter)
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    parts: list[tuple[int, str]] = []
    whole = timedelta(seconds=round(seconds))
    minutes, left = divmod(whole.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    for amount, unit in ((whole.days, "d"), (hours, "h"), (minutes, "min"), (left, "s")):
        if parts or amount:
            parts.append((amount, unit))
    return " ".join(f"{amount} {unit}" for amount, unit in parts[:2] if amount)


def as_json(revocation: Revocation) -> dict[str, Any]:
    """A revocation, in the words of the service's API."""
    cutoff, expiry = revocation.issued_before_ms, revocation.expires_at_ms
    return {
        "id": revocation.id,
        "kind": revocation.handle.kind,
        "issuer": revocation.handle.issuer,
        "value": revocation.handle.value or None,
        "issued_before": None if cutoff is None else instant(cutoff),
        "created_at": instant(revocation.created_at_ms),
        "expires_at": None if expiry is None else instant(expiry),
        "actor": revocation.actor,
        "reason": revocation.reason,
    }


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """A receipt, in the words of the service's API."""
    return {
        "enforced": receipt.enforced,
        "elapsed_seconds": round(receipt.elapsed_seconds, 6),
        "followers": {"confirmed": receipt.followers_confirmed, "total": receipt.followers_total},
    }
