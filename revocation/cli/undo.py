"""`revocation undo`: take revocations back."""

from pathlib import Path

import click

from revocation.cli import exits
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.handles import lines_of
from revocation.cli.operator import here, operator
from revocation.cli.progress import Progress
from revocation.cli.revocations import named_in_words
from revocation.cli.terminal import notify, print_json, safe
from revocation.denylist import Revocation
from revocation.errors import DenylistUnavailableError


@click.command()
@click.argument("revocation_ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file of ids, one per line; - is standard input.",
)
@click.option("--reason", default="", help="The reason; it stays in the log.")
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def undo(
    chosen: ChosenDenylist, *, revocation_ids: tuple[str, ...], path: Path | None, reason: str, as_program: bool
) -> int:
    """Take back exactly the revocations with these ids.

    Other revocations of the same handle stay in force.
    """
    if bool(revocation_ids) == (path is not None):
        raise click.UsageError("Name what to undo: one id or several, or --file.")
    ids = list(dict.fromkeys(revocation_ids or (line for _, line in lines_of(path or Path("-")))))
    if not ids:
        raise click.UsageError(f"{path} names nothing to undo.")
    denylist = chosen.connected()
    undone: dict[str, bool] = {}
    known = denylist.find_with_others(ids[0]) if len(ids) == 1 else None
    try:
        with Progress("Undoing", total=len(ids)) as progress:
            for id_ in ids:
                undone[id_] = denylist.undo(id_, reason=reason, actor=operator(), address=here())
                progress.done = len(undone)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except (DenylistUnavailableError, KeyboardInterrupt):
        if len(ids) > 1:
            notify(
                f"Stopped: {len(undone)} of {len(ids)} are done for certain. Run it again: undoing twice does no harm."
            )
        raise
    missing = [id_ for id_, is_undone in undone.items() if not is_undone]
    if as_program:
        print_json({"undone": [id_ for id_ in ids if undone[id_]], "not_found": missing})
        return exits.REFUSED if missing else exits.OK
    if len(ids) > 1:
        click.echo(
            f"Undone: {len(ids) - len(missing)} of {len(ids)} revocations. The log keeps them, with who and why."
        )
    elif not missing:
        click.echo(safe(f"Undone: {_effect(known)} The log keeps it, with who and why."))
    for id_ in missing:
        notify(f"There was nothing to undo: {id_} is unknown, expired or undone already.")
    return exits.REFUSED if missing else exits.OK


def _effect(known: tuple[Revocation, tuple[Revocation, ...]] | None) -> str:
    """What was undone, and what still stands of the same handle."""
    if known is None:
        # It was revoked between the look and the undoing.
        return "the revocation."
    revocation, standing = known
    others = [other.id for other in standing if other.id != revocation.id]
    handle = named_in_words(revocation.handle)
    if not others:
        return f"{handle} is not revoked any more."
    return f"one revocation of {handle}, which stays revoked by {', '.join(others)}."
