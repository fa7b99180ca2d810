"""Scopes: what tokens may do, as words separated by spaces (RFC 6749, section 3.3)."""

import re

from app.database import InvalidValueError

#: The scope of administrators.
ADMIN_SCOPE = "revocation:admin"

_MAX_CHARACTERS = 1000


class InvalidScopeError(Exception):
    """A client asks for more scope than was granted, or for what is no scope (RFC 6749, sections 3.3 and 6)."""


_WORD = re.compile(r"[!#-\[\]-~]+")


def normalise_scope(value: str) -> str:
    """The scope with its words sorted and unique, one space between them; InvalidValueError names a wrong word."""
    if len(value) > _MAX_CHARACTERS:
        raise InvalidValueError("scope", f"a scope has at most {_MAX_CHARACTERS} characters")
    words = {word for word in value.split(" ") if word}
    for word in sorted(words):
        if not _WORD.fullmatch(word):
            raise InvalidValueError(
                "scope",
                f"scopes are separated by spaces and made of printable ASCII without quotation marks and backslashes; "
                f"{word[:50]!a} is not",
            )
    return " ".join(sorted(words))


def narrowed(wanted: str | None, *, granted: str) -> str:
    """The scope that a client asks for, of what was granted; None asks for all of it. Raises InvalidScopeError."""
    if wanted is None:
        return granted
    try:
        scope = normalise_scope(wanted)
    except InvalidValueError as error:
        raise InvalidScopeError("A scope is words of printable ASCII, with spaces between them.") from error
    if not scope:
        raise InvalidScopeError("A scope names something: leave it out to ask for all of it.")
    if not set(scope.split(" ")) <= set(granted.split(" ")):
        raise InvalidScopeError("More scope is asked for than was granted.")
    return scope
