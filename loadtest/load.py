"""Load: what Locust's users were answered, target by target."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from loadtest.connection import Header
from loadtest.results import ROOT

#: Before anything counts: connections are opened, caches warmed.
_WARM_UP_SECONDS: Final = 0.3

_COMMAND_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The route that so many users ask for, each on a connection of its own."""

    name: str
    url: str
    path: str
    header: Header
    users: int = 4
    #: Seconds between the requests of one user; 0: as soon as it was answered.
    pace_seconds: float = 0.0
    #: How long a user waits for an answer.
    patience_seconds: float = 10.0


class Row(NamedTuple):
    """One request that was sent."""

    #: time.monotonic() when it was sent.
    sent: float
    milliseconds: float
    #: 0 where no answer came.
    status: int


Rows = dict[str, list[Row]]


class Load:
    """The generator, as seen by who started it."""

    def __init__(self, commands: socket.socket) -> None:
        commands.settimeout(_COMMAND_SECONDS)
        self._lines: Any = commands.makefile("rw")

    @contextlib.contextmanager
    def on(self, targets: Sequence[Target]) -> Iterator[None]:
        """Within this block users ask these targets; what comes first is not counted."""
        self._tell("start", targets=[asdict(target) for target in targets])
        try:
            time.sleep(_WARM_UP_SECONDS)
            self.take()
            yield
        finally:
            self._tell("stop")

    def take(self) -> Rows:
        """The answers since the last time."""
        return {name: [Row(*row) for row in rows] for name, rows in self._tell("take").items()}

    def _tell(self, command: str, **arguments: Any) -> Any:
        self._lines.write(json.dumps({"do": command, **arguments}) + "\n")
        self._lines.flush()
        answer = self._lines.readline()
        if not answer:
            raise ConnectionError("the generator ended; its log says why")
        return json.loads(answer)


@contextlib.contextmanager
def generator(log: Path, *, core: int | None) -> Iterator[Load]:
    """A generator of its own, on this core if one is named, until the block ends."""
    ours, theirs = socket.socketpair()
    with ours, log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "loadtest.generator", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C at the terminal is for the one who started it.
            start_new_session=True,
        )
        theirs.close()
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        try:
            yield Load(ours)
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait(30)
