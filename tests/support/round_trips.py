"""RoundTrips: how often this thread asks Redis, counted where redis-py sends."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from redis.connection import AbstractConnection


class RoundTrips:
    """Counts what the thread that made it sends; a follower's beats are those of another thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._count = 0
        counted = threading.get_ident()
        send: Any = AbstractConnection.send_packed_command

        def sent(connection: Any, command: Any, **options: Any) -> None:
            if threading.get_ident() == counted:
                self._count += 1
            send(connection, command, **options)

        monkeypatch.setattr(AbstractConnection, "send_packed_command", sent)

    def of(self, ask: Callable[[], object]) -> int:
        """How many round trips a call takes."""
        before = self._count
        ask()
        return self._count - before
