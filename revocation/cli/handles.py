"""The handles that a command line means: by value, of a token, or in a file. Any other input is a click.UsageError."""

import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from revocation.claims import Claims
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.token_input import read_token
from revocation.cli.trust import Trust
from revocation.errors import ConfigurationError, InvalidTokenError
from revocation.handle_kinds import HandleKinds
from revocation.handles import KINDS, Handle, Kind, is_own_kind


class KindOfHandle(click.ParamType[Kind]):
    """The name of a built-in kind, or of one that the deny-list may declare."""

    name = "kind"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The built-in kinds, and that there may be others."""
        return f"[{'|'.join(KINDS)}|OWN]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Kind:
        """The kind, as far as its form goes."""
        if value not in KINDS and not is_own_kind(value):
            self.fail(f"{value!r} is no kind of handle; built in are {', '.join(KINDS)}.", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The kinds that begin so: the built-in ones, and those that the environment names."""
        try:
            own = tuple(ChosenDenylist().settings.handles.own)
        except ConfigurationError:
            own = ()
        return [CompletionItem(kind) for kind in (*KINDS, *own) if kind.startswith(incomplete)]


def issuer_of(trust: Trust) -> str:
    """The issuer of the handles, which the command line or the environment has to name."""
    if not trust.issuer:
        raise click.UsageError(
            "Name the issuer: --issuer (or REVOCATION_ISSUER). A deny-list keeps the revocations of each issuer apart."
        )
    return trust.issuer


def named(kind: Kind, value: str, issuer: str, *, line: int | None = None) -> Handle:
    """The handle with this value."""
    try:
        return Handle(kind, value, issuer=issuer)
    except ValueError as error:
        raise click.UsageError(f"line {line}: {error}" if line else str(error)) from error


def from_token(kind: Kind, trust: Trust, chosen: ChosenDenylist) -> Handle:
    """The handle of this kind of the token on standard input."""
    verifier = trust.verifier(chosen)
    try:
        claims = verifier.verify_ignoring_expiry(read_token())
    except InvalidTokenError as error:
        raise click.UsageError(f"{error} `revocation check` says more; --value names what to revoke.") from error
    return _of_kind(claims, kind, chosen.settings.handles)


def _of_kind(claims: Claims, kind: Kind, kinds: HandleKinds) -> Handle:
    if kind == "token" and claims.token_id:
        return Handle.token(claims)
    try:
        handles = claims.handles_by(kinds)
    except InvalidTokenError as error:
        raise click.UsageError(str(error)) from error
    of_kind = [handle for handle in handles if handle.kind == kind]
    if not of_kind:
        told = "" if kind in kinds.names else " Only REVOCATION_HANDLES says which claim names one."
        raise click.UsageError(
            f"This token has no {kind}: it has {', '.join(handle.kind for handle in handles)}.{told}"
        )
    if kind not in KINDS and len(of_kind) > 1:
        values = ", ".join(handle.value for handle in of_kind)
        raise click.UsageError(f"This token has several of kind {kind} ({values}): name one with --value.")
    return of_kind[0]


def from_file(path: Path, kind: Kind, issuer: str) -> list[Handle]:
    """The handles in a file, one per line; # begins a comment. A bad line anywhere raises before a command revokes."""
    handles = {line: named(kind, line, issuer, line=number) for number, line in lines_of(path)}
    if not handles:
        raise click.UsageError(f"{path} names nothing to revoke.")
    return list(handles.values())


def lines_of(path: Path) -> list[tuple[int, str]]:
    """The numbered lines of a file (-: standard input), without empty lines and comments, which begin with #."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]
