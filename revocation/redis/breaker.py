"""Breaker: stops asking a server that does not answer."""

import time
from collections.abc import Callable


class Breaker:
    """Opens after some failures in a row, then lets one trial through every `open_seconds`.

    It holds no lock, so that a fork can never inherit a locked one; two threads that race let two trials through
    instead of one, which harms nobody.
    """

    def __init__(
        self, *, failures: int = 3, open_seconds: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed = failures
        self._open_seconds = open_seconds
        self._clock = clock
        self._failures = 0
        self._closed_again_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last answers were failures, so that most calls are refused unasked."""
        return self._failures >= self._allowed

    def admits(self) -> bool:
        """Whether this call may ask."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._closed_again_at:
            return False
        self._closed_again_at = now + self._open_seconds
        return True

    def succeeded(self) -> None:
        """The server answered."""
        self._failures = 0

    def trip(self) -> None:
        """Open at once: somebody else who asks all the time has found that the server does not answer."""
        self._failures = max(self._failures, self._allowed)
        self._closed_again_at = self._clock() + self._open_seconds

    def failed(self) -> None:
        """The server did not answer."""
        self._failures += 1
        if self.is_open:
            self._closed_again_at = self._clock() + self._open_seconds
