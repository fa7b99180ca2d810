"""Defaults: what holds where nobody says otherwise, for every part of the library."""

from typing import Final

DAY_SECONDS: Final = 86_400

#: How long one answer of Redis may take.
TIMEOUT_SECONDS: Final = 0.1

#: Clock skew that verifiers forgive.
LEEWAY_SECONDS: Final = 30

#: Added to every entry, for clocks that run at different speeds.
MARGIN_SECONDS: Final = 60

#: The longest life of a token (`exp - iat`), and of a session.
TOKEN_SECONDS: Final = DAY_SECONDS
SESSION_SECONDS: Final = 30 * DAY_SECONDS
