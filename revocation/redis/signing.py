"""SigningKeys: which keys sign, as their issuers announce it, so that nobody revokes one of them by mistake."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from revocation.errors import SigningKeyError
from revocation.handles import Handle
from revocation.redis.link import Link
from revocation.redis.protocol import Namespace

#: An announcement that nobody repeats for so long is of a service that is gone.
_KEPT_SECONDS: Final = 31 * 86_400


class SigningKeys:
    """The announcements of all issuers. They protect from a mistake only: without one, every key can be revoked."""

    def __init__(self, link: Link, namespace: Namespace, *, clock: Callable[[], float] = time.time) -> None:
        self._link = link
        self._namespace = namespace
        self._clock = clock

    def announce(self, issuer: str, signs_from: Mapping[str, float]) -> None:
        """Say from when on (seconds since the epoch) each of the issuer's keys signs. The latest that is past signs."""
        key, text = self._namespace.signing(issuer), json.dumps(signs_from)
        self._link.call(lambda client: client.set(key, text, ex=_KEPT_SECONDS))

    def protect(self, handles: Sequence[Handle]) -> None:
        """Raise SigningKeyError where one of these handles is a key that signs, or will."""
        keys = [handle for handle in handles if handle.kind == "key"]
        signing = {issuer: self._signing(issuer) for issuer in {handle.issuer for handle in keys}}
        for handle in keys:
            if handle.value in signing[handle.issuer]:
                raise SigningKeyError(handle.value)

    def _signing(self, issuer: str) -> set[str]:
        """The ids of the key that signs now, and of those that will."""
        key = self._namespace.signing(issuer)
        text = self._link.call(lambda client: client.get(key))
        if text is None:
            return set()
        announced: dict[str, float] = json.loads(text)
        now = self._clock()
        # The id decides between two of the same second, as in KeySet.signing_key.
        current = max(((since, id_) for id_, since in announced.items() if since <= now), default=(0.0, ""))
        return {id_ for id_, since in announced.items() if (since, id_) >= current}
