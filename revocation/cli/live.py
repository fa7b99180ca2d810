"""`revocation list`, `show` and `undo`: what is revoked now, one of it, and taking that back."""

import getpass
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click

from revocation.cli import exits
from revocation.cli.handles import lines_of
from revocation.cli.target import Target
from revocation.cli.terminal import as_json, instant, print_facts, print_json, print_table, span, tell
from revocation.denylist import Revocation
from revocation.handles import KINDS, Kind
from revocation.redis.denylist import RedisDenylist

_PAGE = 500


def operator() -> str:
    """Who is at the terminal, for the log."""
    return f"operator {getpass.getuser()}"


def live(denylist: RedisDenylist, *, kind: Kind | None = None) -> Iterator[Revocation]:
    """Every live revocation, newest first."""
    cursor: str | None = None
    while True:
        page = denylist.page(kind=kind, cursor=cursor, limit=_PAGE)
        yield from page.revocations
        cursor = page.next_cursor
        if cursor is None:
            return


@click.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Only of this kind.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def list_(target: Target, *, kind: Kind | None, limit: int, as_program: bool) -> None:
    """What is revoked now, newest first."""
    found = list(islice(live(target.denylist(), kind=kind), limit + 1))
    shown, more = found[:limit], len(found) > limit
    if as_program:
        print_json({"revocations": [as_json(one) for one in shown], "more": more})
        return
    if not shown:
        tell("Nothing is revoked.")
        return
    now = time.time() * 1000
    print_table(
        ("id", "kind", "value", "age", "ends in", "by", "reason"),
        (
            (
                one.id,
                one.handle.kind,
                one.handle.value or one.handle.issuer,
                span((now - one.created_at_ms) / 1000),
                "never" if one.expires_at_ms is None else span((one.expires_at_ms - now) / 1000),
                one.actor,
                one.reason,
            )
            for one in shown
        ),
    )
    if more:
        tell(f"There are more: --limit {2 * limit} shows them.")


@click.command()
@click.argument("revocation_id", metavar="ID")
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def show(target: Target, *, revocation_id: str, as_program: bool) -> int:
    """One revocation: what, by whom, why, until when."""
    found = target.denylist().find(revocation_id)
    if found is None:
        tell(f"There is no live revocation {revocation_id}: unknown, expired or undone.")
        return exits.REFUSED
    if as_program:
        print_json(as_json(found))
    else:
        print_facts(facts(found))
    return exits.OK


def facts(revocation: Revocation) -> dict[str, str]:
    """A revocation in words."""
    cutoff, expiry = revocation.issued_before_ms, revocation.expires_at_ms
    value = {"value": revocation.handle.value} if revocation.handle.value else {}
    return {
        "id": revocation.id,
        "kind": revocation.handle.kind,
        **value,
        "issuer": revocation.handle.issuer,
        "takes back": "everything under it" if cutoff is None else f"what was issued before {instant(cutoff)}",
        "made": instant(revocation.created_at_ms),
        "by": revocation.actor or "(not said)",
        "reason": revocation.reason or "(not said)",
        "ends": "never, unless undone" if expiry is None else instant(expiry),
    }


@click.command()
@click.argument("revocation_ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The ids in a file, one a line (-: standard input).",
)
@click.option("--reason", default="", help="Why; it stays in the log.")
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def undo(target: Target, *, revocation_ids: tuple[str, ...], path: Path | None, reason: str, as_program: bool) -> int:
    """Take exactly these revocations back, and nobody else's of the same handle."""
    if bool(revocation_ids) == (path is not None):
        raise click.UsageError("Name what to undo: one id or several, or --file.")
    ids = list(dict.fromkeys(revocation_ids or (line for _, line in lines_of(path or Path("-")))))
    if not ids:
        raise click.UsageError(f"{path} names nothing to undo")
    denylist = target.denylist()
    try:
        undone = {id_: denylist.undo(id_, reason=reason, actor=operator()) for id_ in ids}
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    missing = [id_ for id_, done in undone.items() if not done]
    if as_program:
        print_json({"undone": [id_ for id_ in ids if undone[id_]], "not_found": missing})
    else:
        if len(missing) < len(ids):
            many = f": {len(ids) - len(missing)}" if len(ids) > 1 else ""
            click.echo(f"Undone{many}. It stays in the log, with who and why.")
        for id_ in missing:
            tell(f"There was nothing to undo: {id_} is unknown, expired or undone already.")
    return exits.REFUSED if missing else exits.OK
