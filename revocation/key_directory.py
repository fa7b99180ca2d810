"""KeyDirectory: a source of keys that watches the key files of a directory."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from revocation.errors import ConfigurationError
from revocation.keys import KeySet, key_files

_log = logging.getLogger(__name__)

#: The longest time, in seconds, for which a change in the directory stays unnoticed.
RELOAD_SECONDS = 5.0

#: The shortest time, in seconds, between two looks that unknown keys cause: a flood of made-up ids costs one look a
#: second.
_LOOK_AGAIN_SECONDS = 1.0


class KeyDirectory:
    """Gives the KeySet of a directory, and reads it again within 5 s of a change, or sooner for an unknown key.

    When the directory becomes unreadable later, or a file in it is broken, this logs the error and keeps the keys that
    it read before.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._clock = clock
        self._looked_at = clock()
        self._known_state = self._state()
        self._keys = KeySet.from_pem_dir(self._path)

    def key_set(self) -> KeySet:
        """The keys to use now."""
        return self._look(RELOAD_SECONDS)

    def refreshed(self) -> KeySet:
        """The keys after another look, unless the last look was less than a second ago."""
        return self._look(_LOOK_AGAIN_SECONDS)

    def _look(self, after_seconds: float) -> KeySet:
        now = self._clock()
        if now - self._looked_at >= after_seconds:
            self._looked_at = now
            try:
                state = self._state()
                if state != self._known_state:
                    self._keys, self._known_state = KeySet.from_pem_dir(self._path), state
            except (ConfigurationError, OSError):
                _log.exception("The keys in %s cannot be read; going on with the keys read before.", self._path)
        return self._keys

    def _state(self) -> frozenset[tuple[str, int, int]]:
        states = ((file.name, file.stat()) for file in key_files(self._path))
        return frozenset((name, stat.st_mtime_ns, stat.st_size) for name, stat in states)
