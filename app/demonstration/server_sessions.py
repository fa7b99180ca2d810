"""ServerSessions: sessions as a service without tokens keeps them, to be compared with."""

import hashlib
import secrets
from typing import Any, Final

from revocation import RedisDenylist

#: A session ends by itself after an hour.
_LIFE_SECONDS: Final = 3600


class ServerSessions:
    """A record in Redis for each login, which every request looks up by an id that says nothing.

    `app:demo:session:<hash of the id>` holds the user's name. DenylistUnavailableError where Redis does not answer.
    """

    def __init__(self, denylist: RedisDenylist) -> None:
        self._denylist = denylist

    def begin(self, username: str) -> str:
        """The id of a new session."""
        id_ = secrets.token_urlsafe(16)
        self._denylist.link.call(lambda client: client.set(self._key(id_), username, ex=_LIFE_SECONDS))
        return id_

    def username(self, id_: str) -> str | None:
        """Whose session it is; None where there is none."""
        found: Any = self._denylist.link.call(lambda client: client.get(self._key(id_)))
        return None if found is None else str(found, "utf-8")

    def end(self, id_: str) -> None:
        """End the session; nothing happens where it has ended."""
        self._denylist.link.call(lambda client: client.delete(self._key(id_)))

    def _key(self, id_: str) -> str:
        return self._denylist.key(f"app:demo:session:{hashlib.sha256(id_.encode()).hexdigest()[:32]}")
