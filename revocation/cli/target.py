"""Target: the deny-list that the commands work on, from the settings and the options before the command."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from revocation.denylist import Lifetimes
from revocation.errors import ConfigurationError, DenylistUnavailableError
from revocation.redis.connect import connect
from revocation.redis.denylist import RedisDenylist
from revocation.redis.embedded import EmbeddedServer, socket_path
from revocation.redis.url import redact
from revocation.settings import RevocationSettings

#: Somebody waits at a terminal, perhaps far away: the timeout of a request would be too short for that.
PATIENCE_SECONDS: Final = 2.0


class Target:
    """Which deny-list is meant. Nothing is read, checked or connected before it is needed."""

    def __init__(self, *, data_dir: Path, namespace: str | None, env: Mapping[str, str] = os.environ) -> None:
        self.data_dir = data_dir
        self._namespace = namespace
        self._env = env

    @cached_property
    def settings(self) -> RevocationSettings:
        """REVOCATION_* and the options. Raises ConfigurationError with every problem."""
        read = {name: value for name, value in self._env.items() if name.startswith("REVOCATION_")}
        if self._namespace is not None:
            read["REVOCATION_NAMESPACE"] = self._namespace
        return RevocationSettings.from_mapping(read)

    @property
    def is_embedded(self) -> bool:
        """Whether it is the Valkey that a service runs in its data directory."""
        return self.settings.redis_url == "embedded"

    @property
    def url(self) -> str:
        """What `connect` takes."""
        return f"embedded:{self.data_dir}" if self.is_embedded else self.settings.redis_url

    @property
    def where(self) -> str:
        """The server, as it may be shown."""
        return f"unix://{socket_path(self.data_dir)}" if self.is_embedded else redact(self.settings.redis_url)

    def denylist(self, *, session_seconds: int = 0) -> RedisDenylist:
        """The deny-list; `session_seconds` is how long the sessions may live that are revoked with it.

        Raises ConfigurationError where it is in another process's memory, and DenylistUnavailableError where no
        service runs that would keep it: this command never starts a server of its own.
        """
        settings = self.settings
        if settings.redis_url == "memory":
            raise ConfigurationError(
                "REVOCATION_REDIS_URL is memory: that deny-list is inside the process that uses it, and cannot be "
                "reached from here. Use embedded, or a Redis."
            )
        if self.is_embedded and not EmbeddedServer(self.data_dir).answers():
            raise DenylistUnavailableError(self._nothing_runs)
        return RedisDenylist(
            connect(self.url, timeout_seconds=max(settings.timeout_seconds, PATIENCE_SECONDS)),
            namespace=settings.namespace,
            lifetimes=Lifetimes(
                max_token_seconds=settings.max_token_lifetime_seconds,
                leeway_seconds=settings.leeway_seconds,
                margin_seconds=settings.margin_seconds,
                session_seconds=session_seconds,
            ),
            allow_eviction=settings.allow_eviction,
            min_replicas=settings.min_replicas,
        )

    @property
    def _nothing_runs(self) -> str:
        return (
            f"Nothing runs in {self.data_dir.resolve()}: no server answers at {socket_path(self.data_dir)}. Start the "
            "service there (`make run`), name its directory (--data-dir), or set REVOCATION_REDIS_URL to your Redis."
        )
