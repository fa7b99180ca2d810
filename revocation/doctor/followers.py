"""Followers: whether the processes that follow the deny-list are alive, and at the end of its log."""

import time
from collections.abc import Iterator
from typing import Final

import redis

from revocation.doctor.finding import Finding, fine
from revocation.doctor.server import ExaminedServer
from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.redis.head import Head
from revocation.redis.protocol import order

#: How long the doctor gives followers to come to the end of the log, in seconds.
_CATCH_UP_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05


def followers(server: ExaminedServer) -> Iterator[Finding]:
    """Whether the followers are alive, and at the end of the log."""
    try:
        head = server.head()
        behind, leases = _behind(server, head)
        ages = server.denylist.leases.ages()
    except (DenylistEmptyError, redis.exceptions.NoPermissionError):
        # The check of the epoch reports both.
        return
    except DenylistUnavailableError as error:
        yield Finding(
            "followers", "unknown", str(error), "The doctor cannot see whether revocations arrive.", "see above"
        )
        return
    if not leases:
        yield Finding(
            "followers",
            "warning",
            "No process follows this deny-list.",
            "Either nothing runs, or every route is strict or stateless, or the processes cannot read the log.",
            "see that they run, and their logs for `cannot read the deny-list's log`",
        )
        return
    longest_silence = max(ages.values(), default=0.0)
    if behind:
        yield Finding(
            "followers",
            "warning",
            f"{len(behind)} of {len(leases)} followers are behind the log: {', '.join(behind)}.",
            "Until their bound has passed they accept tokens whose revocation they have not read, and receipts wait "
            "for them.",
            "see the log of these processes (the first number is the process id), and restart them",
        )
    else:
        yield fine(
            "followers",
            f"{len(leases)} alive, all at the end of the log; the last beat of the quietest came "
            f"{longest_silence:.2f} s ago.",
        )


def _behind(server: ExaminedServer, head: Head) -> tuple[list[str], dict[str, tuple[str, int]]]:
    """The followers that do not reach this end of the log within a moment, and all living leases."""
    deadline = time.monotonic() + _CATCH_UP_SECONDS
    while True:
        leases = server.denylist.leases.living()
        behind = sorted(id_ for id_, (position, _) in leases.items() if order(position) < order(head.last_id))
        if not behind or time.monotonic() > deadline:
            return behind, leases
        time.sleep(_LOOK_SECONDS)
