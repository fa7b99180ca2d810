"""Processes: the end of those that a test has started, by their id and within a limit."""

import subprocess
from typing import Any

#: The kernel ends a killed process within this, however busy the machine is.
_END_SECONDS = 30


def end(process: "subprocess.Popen[Any]") -> None:
    """End a process at once, as a crash does; one that is stopped ends, too."""
    process.kill()
    process.wait(_END_SECONDS)
