"""Background: work of the service's own, done again and again in a thread that ends with the process."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from app.database import in_background

_log = logging.getLogger(__name__)

#: The pause between two times.
_PAUSE_SECONDS: Final = 1.0

#: How long whoever stops the work waits for a thread that is in the middle of it.
_END_SECONDS: Final = 1.0


class Background:
    """Does one thing about every second. It takes no turn at the database from the threads that answer requests."""

    def __init__(self, name: str, work: Callable[[], object], *, failed: str) -> None:
        """`failed` is the line in the log for an error that nobody foresaw; the work goes on after it."""
        self._name = name
        self._work = work
        self._failed = failed
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether the work should come to its end."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Work from now on, in this process."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Work no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=_END_SECONDS)
            self._thread = None

    def _run(self) -> None:
        with in_background():
            while not self._stopping.wait(_PAUSE_SECONDS):
                try:
                    self._work()
                except Exception:  # noqa: BLE001  # the thread must not end: nobody would do the work any more
                    _log.exception(self._failed)
