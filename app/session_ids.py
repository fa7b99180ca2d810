"""Session ids: 128 random bits, in base64url."""

import re
import secrets
from typing import Final

#: The form of one, for regular expressions.
SESSION_ID: Final = r"[A-Za-z0-9_-]{22}"

_WHOLE = re.compile(SESSION_ID)


def new_session_id() -> str:
    """An id that nobody can guess."""
    return secrets.token_urlsafe(16)


def is_session_id(text: str) -> bool:
    """Whether it has the form of one."""
    return _WHOLE.fullmatch(text) is not None
