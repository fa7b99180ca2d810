"""ChosenDenylist: the deny-list that the commands work on, chosen by the environment and by options."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final

from revocation.errors import ConfigurationError, DenylistUnavailableError
from revocation.redis.denylist import RedisDenylist
from revocation.redis.embedded import EmbeddedServer, socket_path
from revocation.redis.url import redact
from revocation.settings import RevocationSettings

#: A person waits at a terminal, perhaps far from the server: the timeout of a request would be too short.
PATIENCE_SECONDS: Final = 2.0

#: The directory in which `make run` keeps the embedded store.
_DEFAULT_DIRECTORY: Final = Path(".data")


class ChosenDenylist:
    """The deny-list that the settings name. It reads, checks and connects only when a command needs it.

    `directory` is the data directory of a service, and chooses the embedded store that this service runs;
    `namespace` stands in place of REVOCATION_NAMESPACE.
    """

    def __init__(
        self, *, directory: Path | None = None, namespace: str | None = None, env: Mapping[str, str] = os.environ
    ) -> None:
        self._directory = directory
        self._namespace = namespace
        self._env = env

    @cached_property
    def settings(self) -> RevocationSettings:
        """The settings in REVOCATION_*, under the options. Raises ConfigurationError with every problem."""
        chosen = {name: value for name, value in self._env.items() if name.startswith("REVOCATION_")}
        if self._namespace is not None:
            chosen["REVOCATION_NAMESPACE"] = self._namespace
        return RevocationSettings.from_mapping(chosen)

    @property
    def directory(self) -> Path | None:
        """The data directory of the service whose embedded store this is; None for any other Redis."""
        scheme, _, name = self.settings.redis_url.partition(":")
        if scheme != "embedded":
            return None
        return self._directory or (Path(name) if name else _DEFAULT_DIRECTORY)

    @property
    def url(self) -> str:
        """The URL, as `connect` takes it."""
        return f"embedded:{self.directory}" if self.directory else self.settings.redis_url

    @property
    def place(self) -> str:
        """The place of the server, without a password."""
        return f"unix://{socket_path(self.directory)}" if self.directory else redact(self.settings.redis_url)

    def connected(self, *, session_seconds: int = 0, decides: bool = False) -> RedisDenylist:
        """The deny-list itself; `session_seconds` is the longest session life that it is to be opened for (0: 30 days).

        A command that `decides` about tokens has to be told of every kind of handle that the deny-list declares.

        Raises ConfigurationError where the deny-list is in the memory of another process, and DenylistUnavailableError
        where no service runs the embedded store: the command never starts a server of its own.
        """
        settings = self.settings
        if settings.redis_url == "memory":
            raise ConfigurationError(
                "REVOCATION_REDIS_URL is memory: that deny-list is inside the process that uses it, and no other "
                "process can reach it. Use the embedded store, or a Redis."
            )
        if self.directory and not EmbeddedServer(self.directory).answers():
            raise DenylistUnavailableError(_nothing_runs(self.directory))
        return replace(settings, redis_url=self.url).denylist(
            longest_session_seconds=session_seconds,
            timeout_seconds=max(settings.timeout_seconds, PATIENCE_SECONDS),
            decides=decides,
        )


def _nothing_runs(directory: Path) -> str:
    return (
        f"Nothing runs in {directory.resolve()}: no server answers at {socket_path(directory)}. Start the service "
        "there, name its data directory (--data-dir), or set REVOCATION_REDIS_URL to your Redis."
    )
