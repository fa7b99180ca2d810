"""A small disk of its own, which a test may fill."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A file system of some megabytes."""

    path: Path

    def fill(self) -> None:
        """Leave not a byte."""
        with (self.path / "ballast").open("ab", buffering=0) as ballast:
            for size in (65_536, 1):
                with contextlib.suppress(OSError):
                    while True:
                        ballast.write(b"x" * size)
        assert os.statvfs(self.path).f_bavail == 0

    def empty(self) -> None:
        """Take the ballast away."""
        for name in ("ballast", "probe"):
            (self.path / name).unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(path: Path, *, megabytes: int = 12) -> Iterator[Disk]:
    """Mount one at a path until the block ends. The test is skipped where this process may not mount."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root mounts a file system")
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        # Containers without CAP_SYS_ADMIN are usual, in CI as well.
        pytest.skip(f"this process may not mount a file system: {done.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        # Lazily: a process that is ending may still hold a file.
        subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=30)
