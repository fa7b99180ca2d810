"""ServerClock: the wall clock of one server process, which the test sets through a file that both map."""

import mmap
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Final

from tests.support.requirements import require

_FIELDS: Final = struct.Struct("=qqq")
_SOURCE: Final = Path(__file__).with_name("clock_shim.c")


def build_shim(directory: Path) -> Path:
    """Compile the library that a server loads before its C library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    require(compiler, "no C compiler is installed (Debian: apt-get install gcc libc6-dev)")
    target = directory / "clock_shim.so"
    subprocess.run([str(compiler), "-O2", "-shared", "-fPIC", "-o", str(target), str(_SOURCE)], check=True, timeout=60)
    return target


class ServerClock:
    """Stands still where the test has put it, or goes on from there, as a server that waits for replicas needs it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(_FIELDS.pack(0, 0, 0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _FIELDS.size)

    def set(self, seconds: float, *, running: bool) -> None:
        """Show this instant from now on."""
        self._memory[:] = _FIELDS.pack(round(seconds * 1e6), time.monotonic_ns() // 1000, int(running))
