"""RoundTrips: how often this thread asks Redis, counted where redis-py sends."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from redis.connection import AbstractConnection


class RoundTrips:
    """Counts what the thread that made it sends; a follower's beats are those of another thread."""

    def __init__(self) -> None:
        self._count = 0

    @classmethod
    @contextlib.contextmanager
    def counted(cls) -> Iterator["RoundTrips"]:
        """Count until the block ends."""
        trips, counted = cls(), threading.get_ident()
        send: Any = AbstractConnection.send_packed_command

        def sent(connection: Any, command: Any, **options: Any) -> None:
            if threading.get_ident() == counted:
                trips._count += 1
            send(connection, command, **options)

        with mock.patch.object(AbstractConnection, "send_packed_command", sent):
            yield trips

    def of(self, ask: Callable[[], object]) -> int:
        """How many round trips a call takes."""
        before = self._count
        ask()
        return self._count - before
