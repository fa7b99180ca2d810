"""Readiness: the processes of one server are ready for requests until their master says that they will stop."""

import mmap
from typing import Final

#: One byte that the master shares with every worker that it forks, those of a reload included.
_draining: Final = mmap.mmap(-1, 1)


def is_draining() -> bool:
    """Whether the server was told to stop: it still serves, and asks for no new requests."""
    return _draining[0] != 0


def drain() -> None:
    """Be ready no more, in this process and in all that it has forked."""
    _draining[0] = 1
