"""A terminal for a program that behaves differently where a person looks."""

import os
import pty
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_LIMIT_SECONDS = 60


@dataclass
class PseudoTerminal:
    """A terminal: what programs write to `theirs` is kept in `shown`."""

    ours: int
    theirs: int
    shown: bytes = b""
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def types(self, text: str) -> None:
        """Type as a person does."""
        os.write(self.ours, text.encode())

    def until(self, text: str) -> None:
        """Wait until a program has shown this text."""
        wanted = text.encode()
        with self._changed:
            assert self._changed.wait_for(lambda: wanted in self.shown, _LIMIT_SECONDS), self.shown

    def read(self) -> None:
        """Keep what is shown, until the last program has closed the terminal."""
        while True:
            try:
                read = os.read(self.ours, 10_000)
            except OSError:  # so Linux says that nobody has it open any more
                return
            with self._changed:
                self.shown += read
                self._changed.notify_all()


@contextmanager
def a_terminal() -> Iterator[PseudoTerminal]:
    """A terminal whose output is read until the block ends."""
    terminal = PseudoTerminal(*pty.openpty())
    reader = threading.Thread(target=terminal.read)
    reader.start()
    try:
        yield terminal
    finally:
        os.close(terminal.theirs)
        reader.join(_LIMIT_SECONDS)
        os.close(terminal.ours)
