"""Store: a Valkey to break, and what it counts."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import redis

from revocation import EmbeddedServer
from revocation.redis.embedded import socket_path

#: What the measuring itself asks.
_OWN: Final = frozenset({"cmdstat_info", "cmdstat_config|resetstat"})


class Store:
    """The Valkey of a data directory, started here or by a contestant."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._client = redis.Redis(unix_socket_path=str(socket_path(directory)), protocol=2, socket_timeout=30.0)
        self._owned = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._owned.close()
        self._client.close()

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return socket_path(self._directory)

    def start(self) -> None:
        """Start it, as it was when it ended."""
        self._owned.enter_context(EmbeddedServer(self._directory).owned())

    def kill(self) -> None:
        """End it at once, as a crash does."""
        os.kill(self._pid, signal.SIGKILL)
        self._client.close()
        self._owned.close()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Within this block it hangs: connections are accepted by the kernel, nothing is answered."""
        pid = self._pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def reset_counters(self) -> None:
        """Count from here."""
        self._client.config_resetstat()

    def counted(self) -> tuple[int, int]:
        """Commands, those that scripts ran included, and bytes in and out, since then."""
        statistics: Any = self._client.info("commandstats")
        commands = sum(one["calls"] for name, one in statistics.items() if name not in _OWN)
        traffic: Any = self._client.info("stats")
        own = len(str(statistics))
        total = traffic["total_net_input_bytes"] + traffic["total_net_output_bytes"]
        return commands, max(0, total - own)

    @property
    def memory_bytes(self) -> int:
        """What its data takes."""
        memory: Any = self._client.info("memory")
        return int(memory["used_memory"])

    @property
    def version(self) -> str:
        """Name and version of the server."""
        server: Any = self._client.info("server")
        if "valkey_version" in server:
            return f"Valkey {server['valkey_version']}"
        return f"Redis {server['redis_version']}"

    @property
    def _pid(self) -> int:
        server: Any = self._client.info("server")
        return int(server["process_id"])
