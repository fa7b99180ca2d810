"""The token that a command works on, as an operator hands it over."""

import sys
from typing import Final

import click

#: A longer input is no token, and the command does not read it into memory.
_MAX_CHARACTERS: Final = 1_000_000


def read_token(given: str | None = None) -> str:
    """The token given, or the one on standard input; at a terminal the command asks for it without an echo."""
    if given not in (None, "-"):
        return _without_scheme(str(given))
    if sys.stdin.isatty():
        token: str = click.prompt("Token (not shown)", hide_input=True, err=True)
        return _without_scheme(token)
    token = _without_scheme(sys.stdin.read(_MAX_CHARACTERS))
    if not token:
        raise click.UsageError("There is no token on standard input: revocation ... < file, or echo $token | ...")
    return token


def _without_scheme(text: str) -> str:
    """The token without the words `Authorization: Bearer`: people copy them together from a request."""
    for word in ("authorization:", "bearer "):
        text = text.strip()
        text = text[len(word) :] if text.lower().startswith(word) else text
    return text.strip()
