"""`revocation watch`: revocations as they happen, from the log."""

import time
from collections.abc import Iterator
from typing import Any

import click
from rich.text import Text

from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.revocations import as_json
from revocation.cli.terminal import instant, notify, print_json, safe, screen
from revocation.denylist import Change
from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.redis.denylist import RedisDenylist
from revocation.redis.protocol import FOREIGN, order

#: The pause between two looks at the log, in seconds.
_LOOK_SECONDS = 0.2


@click.command()
@click.option("--all", "from_start", is_flag=True, help="Begin with the changes that the log still holds.")
@click.option("--count", type=click.IntRange(1), help="End after so many changes.")
@click.option("--json", "as_program", is_flag=True, help="JSON lines, for programs.")
@click.pass_obj
def watch(chosen: ChosenDenylist, *, from_start: bool, count: int | None, as_program: bool) -> None:
    """Show revocations as they happen, until Ctrl-C.

    An outage does not end the command, which says so and goes on afterwards; a deny-list that this version cannot read
    ends it.
    """
    denylist = chosen.connected()
    after = "0-0" if from_start else denylist.changes()[1]
    if not as_program:
        notify(f"Watching {chosen.place}, namespace {chosen.settings.namespace}. Ctrl-C ends it.")
    console = screen()
    for shown, change in enumerate(_changes(denylist, after), 1):
        if as_program:
            print_json(_as_json(change))
        else:
            console.print(_line(change))
        if shown == count:
            return


def _changes(denylist: RedisDenylist, after: str) -> Iterator[Change]:
    """Every change after a position in the log, without an end."""
    down = False
    while True:
        try:
            # After a loss of data the log begins anew, perhaps before this position, and would then seem quiet.
            last = denylist.head().last_id
            changes, cursor = denylist.changes(after=after)
        except DenylistEmptyError:
            raise
        except DenylistUnavailableError as error:
            if str(error) in FOREIGN or error.settings:
                # Nothing changes that before somebody changes this process.
                raise
            if not down:
                notify(f"{error} Trying again.")
            down = True
            time.sleep(_LOOK_SECONDS)
            continue
        if down:
            notify("It answers again.")
            down = False
        yield from changes
        if cursor == after:
            if order(last) < order(after):
                notify("The log ends before the position that was read: Redis has lost data. Going on from its end.")
                cursor = last
            time.sleep(_LOOK_SECONDS)
        after = cursor


def _as_json(change: Change) -> dict[str, Any]:
    return {
        "change": "undo" if change.undone else "revoke",
        "at": instant(change.at_ms),
        "id": change.revocation_id,
        "actor": change.note.actor,
        "reason": change.note.reason,
        "revocation": as_json(change.revocation) if change.revocation else None,
    }


def _line(change: Change) -> Text:
    handle = change.revocation.handle if change.revocation else None
    subject = f"{handle.kind} {handle.value or handle.issuer}" if handle else "(no longer known)"
    line = Text(f"{instant(change.at_ms)}  ")
    line.append("undo    " if change.undone else "revoke  ", style="green" if change.undone else "red")
    line.append(safe(subject), style="bold")
    actor = f" by {safe(change.note.actor)}" if change.note.actor else ""
    reason = f": {safe(change.note.reason)}" if change.note.reason else ""
    line.append(f"{actor}{reason}")
    line.append(f"  [{change.revocation_id}]", style="dim")
    return line
