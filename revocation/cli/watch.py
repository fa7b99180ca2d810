"""`revocation watch`: revocations as they happen, from the log."""

import click
from rich.text import Text

from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.log_watch import LogWatch
from revocation.cli.terminal import notify, print_json, safe, screen
from revocation.denylist import Change
from revocation.formats import change_json
from revocation.instants import rfc3339


@click.command()
@click.option("--all", "from_start", is_flag=True, help="Begin with the changes that the log still holds.")
@click.option("--count", type=click.IntRange(1), help="End after so many changes.")
@click.option("--json", "as_program", is_flag=True, help="JSON lines, for programs.")
@click.pass_obj
def watch(chosen: ChosenDenylist, *, from_start: bool, count: int | None, as_program: bool) -> None:
    """Show revocations as they happen, until Ctrl-C.

    An outage does not end the command, which says so, goes on afterwards where it was, and says whether changes are
    missing; a deny-list that this version cannot read ends it.
    """
    log = LogWatch(chosen.connected(), say=notify, from_start=from_start)
    if not as_program:
        notify(f"Watching {chosen.place}, namespace {chosen.settings.namespace}. Ctrl-C ends it.")
    console = screen()
    for shown, change in enumerate(log.changes(), 1):
        if as_program:
            print_json(change_json(change))
        else:
            console.print(_line(change))
        if shown == count:
            return


def _line(change: Change) -> Text:
    handle = change.revocation.handle if change.revocation else None
    subject = f"{handle.kind} {handle.value or handle.issuer}" if handle else "(no longer known)"
    line = Text(f"{rfc3339(change.at_ms)}  ")
    line.append("undo    " if change.undone else "revoke  ", style="green" if change.undone else "red")
    line.append(safe(subject), style="bold")
    actor = f" by {safe(change.note.actor)}" if change.note.actor else ""
    reason = f": {safe(change.note.reason)}" if change.note.reason else ""
    line.append(f"{actor}{reason}")
    line.append(f"  [{change.revocation_id}]", style="dim")
    return line
