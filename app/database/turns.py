"""Turns: how many threads of one process may use the database at the same time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from app.database.errors import DatabaseUnavailableError

#: A turn that lasts longer than this waits for a database that does not answer, and nobody waits for such a turn.
_USUAL_SECONDS: Final = 1.0

_takes_none: ContextVar[bool] = ContextVar("takes_none", default=False)


@contextmanager
def in_background() -> Iterator[None]:
    """For a thread that answers no request: within this block it takes no turn, and none is kept from the others."""
    before = _takes_none.set(True)
    try:
        yield
    finally:
        _takes_none.reset(before)


class Turns:
    """Keeps a database that hangs from taking every thread of a process, because most requests do not need it.

    While the oldest turn is of a usual length, others wait for theirs. After that they are refused at once.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._begun: list[float] = []
        self._changed = threading.Condition()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One turn. Raises DatabaseUnavailableError where there is none to be had."""
        if _takes_none.get():
            yield
            return
        begun = self._take()
        try:
            yield
        finally:
            with self._changed:
                self._begun.remove(begun)
                self._changed.notify()

    def _take(self) -> float:
        with self._changed:
            while len(self._begun) >= self._most:
                left = min(self._begun) + _USUAL_SECONDS - self._clock()
                if left <= 0:
                    raise DatabaseUnavailableError(
                        f"{self._most} threads of this process wait for the database already, and it does not answer."
                    )
                self._changed.wait(left)
            begun = self._clock()
            self._begun.append(begun)
            return begun
