"""RefreshTokens: opaque refresh tokens that are derived, not stored."""

import base64
import hashlib
import hmac
import re

from app.session_ids import SESSION_ID

_FORM = re.compile(rf"({SESSION_ID})\.(\d{{1,15}})\.([A-Za-z0-9_-]{{43}})", re.ASCII)


class RefreshTokens:
    """Token n of a session is an HMAC over (sid, n): 256 bits that nobody can guess and nobody has to keep."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def token(self, session_id: str, n: int) -> str:
        """Refresh token n of a session."""
        return f"{session_id}.{n}.{self._mac(session_id, n)}"

    def read(self, token: str) -> tuple[str, int] | None:
        """The session and n of a refresh token of ours; None for anything else."""
        match = _FORM.fullmatch(token)
        if match is None:
            return None
        session_id, n = match[1], int(match[2])
        genuine = str(n) == match[2] and hmac.compare_digest(self._mac(session_id, n), match[3])
        return (session_id, n) if genuine else None

    def _mac(self, session_id: str, n: int) -> str:
        digest = hmac.digest(self._secret, f"refresh:{session_id}:{n}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
