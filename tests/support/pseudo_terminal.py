"""A terminal for a program that behaves differently where a person looks."""

import os
import pty
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LIMIT_SECONDS = 60


@dataclass
class Terminal:
    """A terminal: what programs write goes to `theirs`, and is kept in `shown`."""

    theirs: int
    shown: bytes = b""


@contextmanager
def a_terminal() -> Iterator[Terminal]:
    """A terminal whose output is read until the block ends."""
    ours, theirs = pty.openpty()
    terminal = Terminal(theirs)

    def read() -> None:
        while True:
            try:
                read = os.read(ours, 10_000)
            except OSError:  # Linux says so when the last writer has closed it
                return
            terminal.shown += read

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield terminal
    finally:
        os.close(theirs)
        reader.join(_LIMIT_SECONDS)
        os.close(ours)
