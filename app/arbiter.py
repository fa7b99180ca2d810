"""Arbiter: gunicorn's master process, which goes out of service before it stops.

What this overrides is no interface that gunicorn promises, so pyproject.toml bounds its version.
"""

import sys
import time
from typing import Any

from gunicorn.arbiter import Arbiter as GunicornArbiter

from app import readiness


class Arbiter(GunicornArbiter):  # type: ignore[misc]  # gunicorn has no types
    """On SIGTERM serves on for `drain_seconds` while `/readyz` is 503, and then stops as gunicorn does."""

    def __init__(self, app: Any, *, drain_seconds: int) -> None:
        super().__init__(app)
        self._drain_seconds = drain_seconds
        self._stops_at: float | None = None
        # The command as it was typed: gunicorn would start the file of a module, which finds no other module.
        self.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]

    def handle_term(self) -> None:
        """Go out of service. A second SIGTERM changes nothing: a whole process group may be told, and its parent."""
        if self._stops_at is not None:
            return
        # At an upgrade by SIGUSR2 the other master serves at the same address: it is not out of service.
        if not self._drain_seconds or self.reexec_pid or self.master_pid:
            raise StopIteration
        readiness.drain()
        self._stops_at = time.monotonic() + self._drain_seconds
        self.log.info("/readyz is 503 from now on; the listener closes in %s s", self._drain_seconds)

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        if self._stops_at is not None:
            timeout = min(timeout, self._stops_at - time.monotonic())
            if timeout <= 0:
                raise StopIteration
        signals: list[int] = super().wait_for_signals(timeout)
        return signals
