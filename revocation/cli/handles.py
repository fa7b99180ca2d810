"""The handles that a command line means: by value, of a token, or in a file. Any other input is a click.UsageError."""

import sys
from pathlib import Path

import click

from revocation.claims import Claims
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.token_input import read_token
from revocation.cli.trust import Trust
from revocation.errors import InvalidTokenError
from revocation.handles import Handle, Kind


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
    return _of_kind(claims, kind)


def _of_kind(claims: Claims, kind: Kind) -> Handle:
    if kind == "token" and claims.token_id:
        return Handle.token(claims)
    handle = next((handle for handle in claims.handles if handle.kind == kind), None)
    if handle is None:
        kinds = ", ".join(handle.kind for handle in claims.handles)
        raise click.UsageError(f"This token has no {kind}: it has {kinds}.")
    return handle


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
