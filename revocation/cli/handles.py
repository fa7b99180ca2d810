"""What is to be revoked: named, of a token, or a file of them. What is no handle is a click.UsageError."""

import sys
from pathlib import Path

import click

from revocation.claims import Claims
from revocation.cli.target import Target
from revocation.cli.tokens import Trust, read_token
from revocation.errors import InvalidTokenError
from revocation.handles import Handle, Kind


def issuer_of(trust: Trust) -> str:
    """Whose handles are meant."""
    if not trust.issuer:
        raise click.UsageError("Say whose: --issuer (or REVOCATION_ISSUER). Revocations are kept by issuer.")
    return trust.issuer


def named(kind: Kind, value: str, issuer: str, *, line: int | None = None) -> Handle:
    """A handle by its value."""
    try:
        return Handle(kind, value, issuer=issuer)
    except ValueError as error:
        raise click.UsageError(f"line {line}: {error}" if line else str(error)) from error


def from_token(kind: Kind, trust: Trust, target: Target) -> Handle:
    """A handle of the token on standard input."""
    verifier = trust.verifier(target)
    try:
        claims = verifier.verify_ignoring_expiry(read_token())
    except InvalidTokenError as error:
        raise click.UsageError(f"{error} `revocation check` says more; --value names what to revoke.") from error
    return _of_kind(claims, kind)


def _of_kind(claims: Claims, kind: Kind) -> Handle:
    if kind == "token" and claims.token_id:
        return Handle.token(claims)
    found = [handle for handle in claims.handles if handle.kind == kind]
    if not found:
        raise click.UsageError(f"This token has no {kind}: it has {', '.join(one.kind for one in claims.handles)}.")
    return found[0]


def from_file(path: Path, kind: Kind, issuer: str) -> list[Handle]:
    """A handle per line; # begins a comment. Every line is read before anything is revoked."""
    handles = {line: named(kind, line, issuer, line=number) for number, line in lines_of(path)}
    if not handles:
        raise click.UsageError(f"{path} names nothing to revoke")
    return list(handles.values())


def lines_of(path: Path) -> list[tuple[int, str]]:
    """The lines of a file (-: standard input) that say something, with their numbers; # begins a comment."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]
