"""Whether this process should be sent requests: yes, from when it serves until it is told to go."""

import signal
from types import FrameType
from typing import Any

_draining = False


def is_draining() -> bool:
    """Whether the process was told to stop and finishes what it has."""
    return _draining


def watch_sigterm() -> None:
    """Note the signal, then let the server do what it does on it."""
    server: Any = signal.getsignal(signal.SIGTERM)

    def note(number: int, frame: FrameType | None) -> None:
        global _draining  # noqa: PLW0603 (a fact about the process, of which there is one)
        _draining = True
        if callable(server):
            server(number, frame)

    signal.signal(signal.SIGTERM, note)
