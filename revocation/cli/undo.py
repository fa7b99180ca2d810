"""`revocation undo`: take revocations back."""

from pathlib import Path

import click

from revocation.cli import exits
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.handles import lines_of
from revocation.cli.terminal import here, notify, operator, print_json


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
    try:
        undone = {id_: denylist.undo(id_, reason=reason, actor=operator(), address=here()) for id_ in ids}
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    missing = [id_ for id_, is_undone in undone.items() if not is_undone]
    if as_program:
        print_json({"undone": [id_ for id_ in ids if undone[id_]], "not_found": missing})
    else:
        if len(missing) < len(ids):
            count = f": {len(ids) - len(missing)}" if len(ids) > 1 else ""
            click.echo(f"Undone{count}. It stays in the log, with who and why.")
        for id_ in missing:
            notify(f"There was nothing to undo: {id_} is unknown, expired or undone already.")
    return exits.REFUSED if missing else exits.OK
