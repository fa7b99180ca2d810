"""`revocation list` and `show`: the revocations in force, in words and as JSON."""

import time
from collections.abc import Iterator
from itertools import islice

import click

from revocation.cli import exits
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.handles import KindOfHandle
from revocation.cli.progress import Progress
from revocation.cli.terminal import notify, print_facts, print_json, print_table, span
from revocation.denylist import Revocation
from revocation.formats import revocation_json
from revocation.handles import Handle, Kind
from revocation.instants import rfc3339
from revocation.redis.denylist import RedisDenylist

_PAGE = 500


def live(denylist: RedisDenylist, *, kind: Kind | None = None) -> Iterator[Revocation]:
    """Every revocation in force, the newest first."""
    cursor: str | None = None
    while True:
        page = denylist.page(kind=kind, cursor=cursor, limit=_PAGE)
        yield from page.revocations
        cursor = page.next_cursor
        if cursor is None:
            return


def named_in_words(handle: Handle) -> str:
    """A handle as a sentence names it."""
    return f"{handle.kind} {handle.value} of {handle.issuer}" if handle.value else f"{handle.kind} {handle.issuer}"


def facts(revocation: Revocation) -> dict[str, str]:
    """A revocation in words."""
    cutoff, expiry = revocation.issued_before_ms, revocation.expires_at_ms
    value = {"value": revocation.handle.value} if revocation.handle.value else {}
    return {
        "id": revocation.id,
        "kind": revocation.handle.kind,
        **value,
        "issuer": revocation.handle.issuer,
        "takes back": "everything under it" if cutoff is None else f"everything issued before {rfc3339(cutoff)}",
        "made": rfc3339(revocation.created_at_ms),
        "by": revocation.actor or "(not given)",
        "from": revocation.address or "(not given)",
        "reason": revocation.reason or "(not given)",
        "ends": "never, unless undone" if expiry is None else rfc3339(expiry),
    }


@click.command("list")
@click.option("--kind", type=KindOfHandle(), help="Only revocations of this kind.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The most revocations to show.")
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def list_(chosen: ChosenDenylist, *, kind: Kind | None, limit: int, as_program: bool) -> None:
    """List the revocations in force, the newest first."""
    denylist = chosen.connected()
    if kind is not None and kind not in (known := denylist.kinds()):
        raise click.UsageError(f"The deny-list declares no kind {kind!r}; it knows {', '.join(known)}.")
    newest: list[Revocation] = []
    with Progress("Reading") as progress:
        for revocation in islice(live(denylist, kind=kind), limit + 1):
            newest.append(revocation)
            progress.done = len(newest)
    shown, more = newest[:limit], len(newest) > limit
    if as_program:
        print_json({"revocations": [revocation_json(revocation) for revocation in shown], "more": more})
        return
    if not shown:
        notify("No revocation is in force.")
        return
    now = time.time() * 1000
    print_table(("id", "kind", "value", "age", "ends in", "by", "reason"), (_row(each, now) for each in shown))
    if more:
        notify(f"There are more: --limit {2 * limit} shows them.")


def _row(revocation: Revocation, now_ms: float) -> tuple[str, ...]:
    return (
        revocation.id,
        revocation.handle.kind,
        revocation.handle.value or revocation.handle.issuer,
        span((now_ms - revocation.created_at_ms) / 1000),
        "never" if revocation.expires_at_ms is None else span((revocation.expires_at_ms - now_ms) / 1000),
        revocation.actor,
        revocation.reason,
    )


@click.command()
@click.argument("revocation_id", metavar="ID")
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@click.pass_obj
def show(chosen: ChosenDenylist, *, revocation_id: str, as_program: bool) -> int:
    """Show one revocation: its handle, who made it and why, and when it ends."""
    revocation = chosen.connected().find(revocation_id)
    if revocation is None:
        notify(f"No revocation {revocation_id} is in force: it is unknown, expired or undone.")
        return exits.REFUSED
    if as_program:
        print_json(revocation_json(revocation))
    else:
        print_facts(facts(revocation))
    return exits.OK
