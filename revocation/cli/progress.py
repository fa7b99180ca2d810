"""Progress: one line on standard error that says what a command waits for, and how far it is.

The service's commands use it as well, and know no package that draws: it needs the standard library only.
"""

import os
import sys
import threading
import time
from types import TracebackType
from typing import Final, Self

#: What takes no longer than this stays silent, in seconds.
SILENT_SECONDS: Final = 1.0

_BETWEEN_SECONDS: Final = 0.2
_ERASE: Final = "\r\x1b[K"


class Progress:
    """Shows `doing` from the second second on, until the block ends; then the line is gone.

    It shows nothing where standard error is no terminal. A thread draws the line, because a command that waits for a
    server does nothing else meanwhile.
    """

    def __init__(self, doing: str, *, total: int | None = None) -> None:
        #: What the command does, in a few words; may change within the block.
        self.doing = doing
        #: How many steps there are about, where somebody knows.
        self.total = total
        #: How many steps are done.
        self.done = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._began_at = 0.0

    def __enter__(self) -> Self:
        self._began_at = time.monotonic()
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            # A terminal that takes nothing holds the line up, and not the command.
            self._thread.join(_BETWEEN_SECONDS)

    @property
    def line(self) -> str:
        """What the line says now."""
        if self.total:
            steps = f": {self.done:,} of {self.total:,} ({100 * self.done // self.total} %)"
        else:
            steps = f": {self.done:,}" if self.done else ""
        return f"{self.doing}{steps}, {time.monotonic() - self._began_at:.0f} s"

    def _draw(self) -> None:
        if self._ended.wait(SILENT_SECONDS):
            return
        while True:
            # The cursor stays at the beginning, so that a warning of somebody else overwrites the line.
            sys.stderr.write(f"{_ERASE}{self.line[: _columns() - 1]}\r")
            sys.stderr.flush()
            if self._ended.wait(_BETWEEN_SECONDS):
                break
        sys.stderr.write(_ERASE)
        sys.stderr.flush()


def _columns() -> int:
    try:
        # A terminal that does not know its width says 0.
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
