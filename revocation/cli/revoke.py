"""`revocation revoke`: take back a token, everything under a handle, or a file of handles."""

import secrets
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import click

from revocation.cli import exits
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.handles import KindOfHandle, from_file, from_token, issuer_of, named
from revocation.cli.operator import here, operator
from revocation.cli.progress import Progress
from revocation.cli.revocations import named_in_words
from revocation.cli.terminal import notify, print_json, safe
from revocation.cli.trust import Trust, trust_options
from revocation.denylist import Receipt, Revocation, checked_note
from revocation.errors import DenylistUnavailableError
from revocation.formats import receipt_json, revocation_json
from revocation.handles import KINDS, Handle, Kind
from revocation.instants import rfc3339
from revocation.redis.denylist import RedisDenylist

#: How many handles one call revokes, between two steps of the progress.
_BATCH: Final = 1024

#: Revoking a handle of these kinds takes back tokens of many people, so the command asks once more.
_WIDE: Final[frozenset[Kind]] = frozenset({"client", "key", "issuer"})

_EXAMPLES: Final = """\b
Examples:
  revocation revoke < token                    this token
  revocation revoke --kind session < token     every token of its login
  revocation revoke --kind subject --value ada --issuer https://auth.example
  revocation revoke --file jtis.txt --issuer https://auth.example
"""


@dataclass(frozen=True, slots=True)
class _Order:
    """The options that revoking one handle, revoking many and a dry run share."""

    reason: str
    wait_seconds: float
    as_program: bool


@click.command(epilog=f"{_EXAMPLES}\n{exits.HELP}")
@click.option("--kind", type=KindOfHandle(), default="token", show_default=True, help="The kind of the handle.")
@click.option(
    "--value",
    help="The jti, sid, user, client or key id, or the value of a claim of your own. Without it, the command reads a "
    "token from standard input.",
)
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="A file of values, one per line; - is standard input.",
)
@click.option("--reason", default="", help="The reason; it stays in the log.")
@click.option("--dry-run", is_flag=True, help="Say what the command would revoke, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask again before revoking what concerns many people.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for all followers to confirm the revocation.",
)
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@trust_options
@click.pass_obj
def revoke(
    chosen: ChosenDenylist,
    *,
    kind: Kind,
    value: str | None,
    path: Path | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    wait_seconds: float,
    as_program: bool,
    trust: Trust,
) -> int:
    """Take back a token, or everything under a handle.

    Waits until every process that follows refuses it. The command checks a token's signature and ignores its expiry.
    Revoking a token, a session or a key takes back everything under it; revoking a subject, a client or an issuer
    takes back everything issued before now. A kind of your own (see `revocation init --declare`) does the one or the
    other, as it was declared.
    """
    order = _Order(_checked(reason), wait_seconds, as_program)
    if path is not None and value is not None:
        raise click.UsageError("--file and --value contradict each other.")
    if path is not None:
        handles = from_file(path, kind, issuer_of(trust))
    elif value is not None or kind == "issuer":
        handles = [named(kind, value or "", issuer_of(trust))]
    else:
        handles = [from_token(kind, trust, chosen)]
    denylist = chosen.connected()
    try:
        is_unconditional = denylist.is_unconditional(kind)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if dry_run:
        code = _rehearse(denylist, handles, order, is_unconditional=is_unconditional)
    else:
        if (kind in _WIDE or kind not in KINDS) and not yes:
            _ask_again(handles)
        code = _revoke_all(denylist, handles, order) if path else _revoke_one(denylist, handles[0], order)
    if value and not as_program:
        notify(
            f"No deny-list knows whether {kind} {value} exists. It refuses the tokens that name exactly this one, "
            "capitals included; `revocation check` says of one whether it is refused."
        )
    return code


def _checked(reason: str) -> str:
    try:
        return checked_note(reason)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _ask_again(handles: list[Handle]) -> None:
    first = handles[0]
    subject = f"{first.kind} {first.value}".rstrip() if len(handles) == 1 else f"{len(handles)} of kind {first.kind}"
    if not sys.stdin.isatty():
        raise click.UsageError(f"Revoking the {subject} of {first.issuer} concerns many people: add --yes.")
    click.confirm(
        f"This takes back tokens of many people: the {subject} of {first.issuer}. Go on?", abort=True, err=True
    )


def _rehearse(denylist: RedisDenylist, handles: list[Handle], order: _Order, *, is_unconditional: bool) -> int:
    standing: dict[Handle, tuple[Revocation, ...]] = {}
    with Progress("Looking", total=len(handles)) as progress:
        for first in range(0, len(handles), _BATCH):
            batch = handles[first : first + _BATCH]
            found = denylist.standing(batch)
            standing |= {handle: found.of(handle) for handle in batch}
            progress.done = len(standing)
    revoked_already = sum(bool(revocations) for revocations in standing.values())
    if order.as_program:
        print_json(
            {
                "dry_run": True,
                "handles": [
                    {
                        "kind": handle.kind,
                        "value": handle.value or None,
                        "issuer": handle.issuer,
                        "revoked_already": [revocation.id for revocation in revocations],
                    }
                    for handle, revocations in standing.items()
                ],
            }
        )
        return exits.OK
    if len(handles) == 1:
        handle = handles[0]
        effect = "everything under it" if is_unconditional else "everything issued before now"
        already = ", ".join(revocation.id for revocation in standing[handle])
        standing_now = f"It is revoked already: {already}." if already else "It is not revoked so far."
        click.echo(safe(f"Would revoke {named_in_words(handle)}: {effect}. {standing_now} Nothing was changed."))
    else:
        click.echo(
            f"Would revoke {len(handles)} of kind {handles[0].kind}; {revoked_already} of them are revoked already. "
            "Nothing was changed."
        )
    return exits.OK


def _revoke_one(denylist: RedisDenylist, handle: Handle, order: _Order) -> int:
    with Progress("Revoking, and waiting for the followers"):
        receipt = denylist.revoke(
            handle, reason=order.reason, actor=operator(), address=here(), wait_seconds=order.wait_seconds
        )
    revocation = receipt.revocation
    if order.as_program:
        print_json(
            {"revocation": revocation_json(revocation) if revocation else None, "receipt": receipt_json(receipt)}
        )
    elif revocation is None:
        click.echo("There was nothing to revoke: this token has expired, with the leeway and the margin.")
    else:
        before = revocation.issued_before_ms
        effect = "" if before is None else f", issued before {rfc3339(before)}"
        did = "Revoked" if receipt.written else "Revoked already, so nothing was added:"
        undo = f"To undo it: revocation undo {revocation.id}"
        click.echo(safe(f"{did} {named_in_words(handle)}{effect}; {_reached(receipt)}. {undo}"))
    return exits.OK


def _revoke_all(denylist: RedisDenylist, handles: list[Handle], order: _Order) -> int:
    done = 0
    began = time.monotonic()
    batch = secrets.token_hex(8)
    written: list[Revocation] = []
    try:
        with Progress("Revoking", total=len(handles)) as progress:
            while done < len(handles):
                part = handles[done : done + _BATCH]
                last = done + len(part) == len(handles)
                if last:
                    progress.doing = "Revoking, and waiting for the followers"
                receipt = denylist.revoke_many(
                    part,
                    reason=order.reason,
                    actor=operator(),
                    address=here(),
                    wait_seconds=order.wait_seconds if last else 0,
                    batch=batch,
                )
                written += receipt.revocations
                done += len(part)
                progress.done = done
    except (DenylistUnavailableError, KeyboardInterrupt):
        notify(f"Stopped: {done} of {len(handles)} are revoked for certain. Run it again: revoking twice does no harm.")
        raise
    receipt = replace(receipt, elapsed_seconds=time.monotonic() - began)
    if order.as_program:
        print_json(
            {
                "revoked": len(written),
                "ids": [revocation.id for revocation in written],
                "receipt": receipt_json(receipt),
            }
        )
    else:
        first = handles[0]
        click.echo(safe(f"Revoked {len(written)} of kind {first.kind} of {first.issuer}; {_reached(receipt)}."))
    return exits.OK


def _reached(receipt: Receipt) -> str:
    """Who refuses the tokens by now, in words that go on a sentence."""
    followers = f"{receipt.followers_confirmed} of {receipt.followers_total} followers"
    if receipt.enforced:
        took = f"in {1000 * receipt.elapsed_seconds:.0f} ms"
        return f"enforced by {followers} {took}" if receipt.followers_total else f"enforced {took}: no process follows"
    if receipt.obstacle:
        return f"written, and confirmed by {followers}; not known to be enforced, because {receipt.obstacle}"
    return (
        f"written, and confirmed by {followers} so far: the others refuse it when their bound has passed "
        "(`revocation doctor` examines them)"
    )
