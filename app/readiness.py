"""Readiness: a process is ready for requests until a signal tells it to stop."""

import signal
from types import FrameType
from typing import Any

_draining = False


def is_draining() -> bool:
    """Whether the process was told to stop, and finishes its last requests."""
    return _draining


def watch_sigterm() -> None:
    """Note SIGTERM, and pass it on to the handler of the server."""
    server: Any = signal.getsignal(signal.SIGTERM)

    def note(number: int, frame: FrameType | None) -> None:
        global _draining  # noqa: PLW0603 (a fact about the process, of which there is one)
        _draining = True
        if callable(server):
            server(number, frame)

    signal.signal(signal.SIGTERM, note)
