"""Counters: what a Valkey counts, without what the measuring itself asks."""

from typing import Any, Final

import redis

_OWN: Final = frozenset({"cmdstat_info", "cmdstat_config|resetstat"})


class Counters:
    """The counters of one server."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def reset(self) -> None:
        """Count from here."""
        self._client.config_resetstat()

    def read(self) -> tuple[int, int]:
        """Commands since then, those that scripts ran included, and bytes in and out."""
        commands = self._info("commandstats")
        traffic = self._info("stats")
        own = len(str(commands))
        transferred = traffic["total_net_input_bytes"] + traffic["total_net_output_bytes"]
        return sum(each["calls"] for name, each in commands.items() if name not in _OWN), max(0, transferred - own)

    @property
    def memory_bytes(self) -> int:
        """The memory that the server's data takes."""
        return int(self._info("memory")["used_memory"])

    @property
    def version(self) -> str:
        """Name and version of the server."""
        server = self._info("server")
        if "valkey_version" in server:
            return f"Valkey {server['valkey_version']}"
        return f"Redis {server['redis_version']}"

    def _info(self, section: str) -> Any:
        return self._client.info(section)
