"""Importing: what `import revocation` takes in a fresh process."""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from loadtest.profile import Profile, Tell
from loadtest.results import Imported

_TIMES: Final = 5
_PROGRAM: Final = (
    "import sys, time; began = time.process_time(); import revocation; "
    "print(time.process_time() - began, len(sys.modules))"
)


def measure(_profile: Profile, _directory: Path, tell: Tell) -> Iterator[Imported]:
    """The median of some processes."""
    tell("import revocation")
    command = [sys.executable, "-c", _PROGRAM]
    told = [
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()
        for _ in range(_TIMES)
    ]
    yield Imported(cpu_seconds=statistics.median(float(one) for one, _ in told), modules=int(told[0][1]))
