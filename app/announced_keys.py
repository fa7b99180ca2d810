"""AnnouncedKeys: the keys that tokens are signed with, known by their ids in Redis before they sign."""

import time
from collections.abc import Callable
from typing import Final

from revocation import KeySet, KeySource, RedisDenylist

#: Redis may lose an announcement, so it is repeated, by whoever signs.
_REPEAT_SECONDS: Final = 60.0


class AnnouncedKeys:
    """A source of keys for whoever signs: so that nobody revokes a key that signs, at whatever command line.

    Where Redis does not answer, nothing is signed either (DenylistUnavailableError).
    """

    def __init__(
        self, keys: KeySource, denylist: RedisDenylist, *, issuer: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._denylist = denylist
        self._issuer = issuer
        self._clock = clock
        self._announced: KeySet | None = None
        self._announced_at = 0.0

    def key_set(self) -> KeySet:
        """The keys to use now."""
        return self._announce(self._keys.key_set())

    def refreshed(self) -> KeySet:
        """The keys after another look."""
        return self._announce(self._keys.refreshed())

    def _announce(self, keys: KeySet) -> KeySet:
        now = self._clock()
        if keys is not self._announced or now - self._announced_at >= _REPEAT_SECONDS:
            signs_from = {key.id: key.signs_from for key in keys if key.signing is not None}
            self._denylist.signing_keys.announce(self._issuer, signs_from)
            self._announced, self._announced_at = keys, now
        return keys
