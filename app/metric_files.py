"""Metric files: where the processes of one server count together: in memory, and apart from other servers."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PREFIX: Final = "revocation-metrics-"

#: What the files of many workers take; less room than that is left to others.
_ROOM_BYTES: Final = 16 * 2**20

_IN_MEMORY: Final = ("tmpfs", "ramfs")


@contextlib.contextmanager
def metric_files() -> Iterator[Path | None]:
    """A directory in memory for this server's counters until the block ends; None where this machine has none.

    prometheus_client maps its files into memory, so a worker that counts while their file system is full is ended by
    SIGBUS. That must not depend on a disk that fills up with something else. What a killed server left behind is
    removed; the directory of one that runs, or whose workers still do, is not.
    """
    place = next((place for place in _places() if _has_room(place)), None)
    if place is None:
        yield None
        return
    _sweep(place)
    directory, owner = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place)), os.getpid()
    try:
        with _lock_of(directory).open("w") as lock:
            # The workers inherit it: it is held for as long as one of them lives.
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield directory
    finally:
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)


def _places() -> Iterator[Path]:
    """Directories that are in memory on most systems."""
    for name in ("/dev/shm", os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):  # noqa: S108 (mkdtemp's is private)
        if name and _is_in_memory(Path(name)):
            yield Path(name)


def _is_in_memory(path: Path) -> bool:
    """Whether the file system of a directory is in memory; False where the system does not tell."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    except OSError:
        return False
    # A later mount covers an earlier one.
    kinds = {mount[1].encode().decode("unicode_escape"): mount[2] for mount in mounts}
    within = [place for place in kinds if path.resolve().is_relative_to(place)]
    return bool(within) and kinds[max(within, key=len)] in _IN_MEMORY


def _has_room(place: Path) -> bool:
    if not os.access(place, os.W_OK | os.X_OK):
        return False
    room = os.statvfs(place)
    return room.f_bavail * room.f_frsize >= _ROOM_BYTES


def _sweep(place: Path) -> None:
    for directory in place.glob(f"{_PREFIX}*"):
        # Without a lock it is being made; and what belongs to somebody else cannot be opened.
        with contextlib.suppress(OSError), _lock_of(directory).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)


def _lock_of(directory: Path) -> Path:
    return directory / "lock"
