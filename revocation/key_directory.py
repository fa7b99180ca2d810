"""KeyDirectory: the key files of a directory, noticed when they change."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from revocation.errors import ConfigurationError
from revocation.keys import KeySet, key_files

_log = logging.getLogger(__name__)

#: How long a changed directory may go unnoticed.
RELOAD_SECONDS = 5.0

#: How soon after a look an unknown key makes it worth looking again: a flood of made-up ids costs one look a second.
_LOOK_AGAIN_SECONDS = 1.0


class KeyDirectory:
    """Gives the KeySet of a directory, read again within 5 s of a change, and sooner for an unknown key.

    A directory that cannot be read later, or holds a broken file then, is logged and changes nothing.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._clock = clock
        self._looked_at = clock()
        self._seen = self._state()
        self._keys = KeySet.from_pem_dir(self._path)

    def key_set(self) -> KeySet:
        """The keys to use now."""
        return self._look(RELOAD_SECONDS)

    def refreshed(self) -> KeySet:
        """The keys after another look, unless the last one was a moment ago."""
        return self._look(_LOOK_AGAIN_SECONDS)

    def _look(self, after_seconds: float) -> KeySet:
        now = self._clock()
        if now - self._looked_at >= after_seconds:
            self._looked_at = now
            try:
                seen = self._state()
                if seen != self._seen:
                    self._keys, self._seen = KeySet.from_pem_dir(self._path), seen
            except (ConfigurationError, OSError):
                _log.exception("The keys in %s cannot be read; going on with those read before.", self._path)
        return self._keys

    def _state(self) -> frozenset[tuple[str, int, int]]:
        states = ((file.name, file.stat()) for file in key_files(self._path))
        return frozenset((name, stat.st_mtime_ns, stat.st_size) for name, stat in states)
