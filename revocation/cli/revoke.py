"""`revocation revoke`: take back a token, or everything under a handle, or a file of them."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.progress import Progress

from revocation.cli import exits
from revocation.cli.handles import from_file, from_token, issuer_of, named
from revocation.cli.live import facts, operator
from revocation.cli.target import Target
from revocation.cli.terminal import as_json, print_facts, print_json, receipt_json, screen, tell
from revocation.cli.tokens import Trust, trust_options
from revocation.denylist import Receipt, Revocation, checked_note
from revocation.errors import DenylistUnavailableError
from revocation.handles import KINDS, Handle, Kind
from revocation.redis.denylist import RedisDenylist

#: How much is revoked between two steps of the progress bar.
_AT_ONCE: Final = 1024

#: These take back what many people hold: it is asked for once more.
_WIDE: Final[frozenset[Kind]] = frozenset({"client", "key", "issuer"})

#: The longest life of a session that is allowed for where nobody says: an entry that stands too long is harmless, one
#: that ends before the session would let its refresh token in again.
_LONGEST_SESSION_SECONDS: Final = 366 * 86_400


_EXAMPLES: Final = """\b
Examples:
  revocation revoke < token                    this token
  revocation revoke --kind session < token     every token of its login
  revocation revoke --kind subject --value ada --issuer https://auth.example
  revocation revoke --file jtis.txt --issuer https://auth.example
"""


@dataclass(frozen=True, slots=True)
class _Order:
    reason: str
    wait_seconds: float
    as_program: bool


@click.command(epilog=f"{_EXAMPLES}\n{exits.HELP}")
@click.option("--kind", type=click.Choice(KINDS), default="token", show_default=True, help="What VALUE names.")
@click.option("--value", help="The jti, sid, user, client or key id. Without it, a token is read from standard input.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="A file of values, one per line; - is standard input.",
)
@click.option("--reason", default="", help="Why; it stays in the log.")
@click.option("--dry-run", is_flag=True, help="Say what would be revoked, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask again before a client, a key or an issuer is revoked.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait until all followers have confirmed it.",
)
@click.option(
    "--session-lifetime",
    "session_seconds",
    type=click.IntRange(0, _LONGEST_SESSION_SECONDS),
    default=_LONGEST_SESSION_SECONDS,
    envvar="APP_SESSION_TTL",
    metavar="SECONDS",
    show_envvar=True,
    help="How long a session may live, and so how long what is revoked (single tokens aside) must stay so. A year "
    "unless said; 0 where there are no refresh tokens.",
)
@click.option("--json", "as_program", is_flag=True, help="One JSON document, for programs.")
@trust_options
@click.pass_obj
def revoke(
    target: Target,
    *,
    kind: Kind,
    value: str | None,
    path: Path | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    wait_seconds: float,
    session_seconds: int,
    as_program: bool,
    trust: Trust,
) -> int:
    """Take back a token, or everything under a handle.

    Waits until every process that follows refuses it. A token's signature is checked, its expiry is not. Revoking a
    token, a session or a key takes back everything under it; revoking a subject, a client or an issuer, what was issued
    before now.
    """
    order = _Order(_checked(reason), wait_seconds, as_program)
    if path is not None and value is not None:
        raise click.UsageError("--file and --value contradict each other")
    if path is not None:
        handles = from_file(path, kind, issuer_of(trust))
    elif value is not None or kind == "issuer":
        handles = [named(kind, value or "", issuer_of(trust))]
    else:
        handles = [from_token(kind, trust, target)]
    denylist = target.denylist(session_seconds=session_seconds)
    if dry_run:
        return _rehearse(denylist, handles, order)
    if kind in _WIDE and not yes:
        _ask_again(handles)
    if path is None:
        return _revoke_one(denylist, handles[0], order)
    return _revoke_all(denylist, handles, order)


def _checked(reason: str) -> str:
    try:
        return checked_note(reason)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _ask_again(handles: list[Handle]) -> None:
    one = handles[0]
    what = f"{one.kind} {one.value}".rstrip() if len(handles) == 1 else f"{len(handles)} of kind {one.kind}"
    if not sys.stdin.isatty():
        raise click.UsageError(f"Revoking the {what} of {one.issuer} concerns many: say --yes.")
    click.confirm(f"This takes back tokens of many: the {what} of {one.issuer}. Go on?", abort=True, err=True)


def _rehearse(denylist: RedisDenylist, handles: list[Handle], order: _Order) -> int:
    standing = {handle: denylist.of_handle(handle) for handle in handles}
    new = [handle for handle, found in standing.items() if not found]
    if order.as_program:
        print_json(
            {
                "dry_run": True,
                "handles": [
                    {
                        "kind": handle.kind,
                        "value": handle.value or None,
                        "issuer": handle.issuer,
                        "revoked_already": [one.id for one in found],
                    }
                    for handle, found in standing.items()
                ],
            }
        )
        return exits.OK
    if len(handles) == 1:
        one = handles[0]
        effect = "everything under it" if one.unconditional else "what was issued before now"
        already = ", ".join(found.id for found in standing[one])
        print_facts(
            {
                "would revoke": f"{one.kind} {one.value}".rstrip(),
                "of": one.issuer,
                "takes back": effect,
                "already revoked": already or "no",
            }
        )
    else:
        click.echo(f"Would revoke {len(handles)} of kind {handles[0].kind}; {len(handles) - len(new)} are already.")
    tell("Nothing was changed.")
    return exits.OK


def _revoke_one(denylist: RedisDenylist, handle: Handle, order: _Order) -> int:
    receipt = denylist.revoke(handle, reason=order.reason, actor=operator(), wait_seconds=order.wait_seconds)
    revocation = receipt.revocation
    if order.as_program:
        print_json({"revocation": as_json(revocation) if revocation else None, "receipt": receipt_json(receipt)})
    elif revocation is None:
        click.echo("There was nothing to write: this token is dead already.")
    else:
        print_facts(facts(revocation))
        _say(receipt)
    return exits.OK


def _revoke_all(denylist: RedisDenylist, handles: list[Handle], order: _Order) -> int:
    done = 0
    written: list[Revocation] = []
    try:
        with Progress(console=screen(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("revoking", total=len(handles))
            while done < len(handles):
                batch = handles[done : done + _AT_ONCE]
                last = done + len(batch) == len(handles)
                receipt = denylist.revoke_many(
                    batch,
                    reason=order.reason,
                    actor=operator(),
                    wait_seconds=order.wait_seconds if last else 0,
                )
                written += receipt.revocations
                done += len(batch)
                progress.update(task, completed=done)
    except (DenylistUnavailableError, KeyboardInterrupt):
        tell(f"Stopped: {done} of {len(handles)} are revoked for certain. Run it again: twice does no harm.")
        raise
    if order.as_program:
        print_json({"revoked": len(written), "ids": [one.id for one in written], "receipt": receipt_json(receipt)})
    else:
        click.echo(f"Revoked {len(written)} of kind {handles[0].kind}.")
        _say(receipt)
    return exits.OK


def _say(receipt: Receipt) -> None:
    of = f"{receipt.followers_confirmed} of {receipt.followers_total} followers"
    if not receipt.followers_total:
        tell("Nobody follows this deny-list; strict routes refuse it from now on.")
    elif receipt.enforced:
        tell(f"Enforced by {of} in {1000 * receipt.elapsed_seconds:.0f} ms.")
    else:
        tell(
            f"Written, and confirmed by {of} so far: the others refuse it when their bound has passed. "
            "`revocation doctor` looks at them."
        )
