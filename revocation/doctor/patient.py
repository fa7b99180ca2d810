"""Patient: the server under examination. It is asked plainly, and may refuse to answer."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final, TypeVar

import redis

from revocation.redis.denylist import RedisDenylist
from revocation.redis.url import RedisUrl
from revocation.settings import RevocationSettings

T = TypeVar("T")

_LOOPBACK_NAMES: Final = ("localhost", "::1")


class Patient:
    """One deny-list and the server that holds it, at a URL as `connect` takes it.

    Nothing is asked before it is needed. `ask` raises redis-py's ConnectionError and TimeoutError where the server does
    not answer at all.
    """

    def __init__(self, denylist: RedisDenylist, *, settings: RevocationSettings, url: str) -> None:
        self.denylist = denylist
        self.settings = settings
        self.url = url

    @property
    def client(self) -> "redis.Redis":
        """The client of the moment."""
        return self.denylist.link.client

    def ask(self, question: "Callable[[redis.Redis], T]") -> T | None:
        """The answer; None where the server forbids the question, or does not know it."""
        try:
            return question(self.client)
        except redis.ConnectionError:
            raise
        except redis.ResponseError:
            return None

    @cached_property
    def info(self) -> Mapping[str, Any] | None:
        """Everything in INFO; None where it is forbidden."""
        return self.ask(lambda client: client.info())

    def config(self, name: str) -> str | None:
        """One parameter; None where CONFIG is forbidden, as to users with few rights and in managed services."""
        told: Any = self.ask(lambda client: client.config_get(name))
        value = (told or {}).get(name, (told or {}).get(name.encode()))
        return value.decode() if isinstance(value, bytes) else value

    @property
    def is_embedded(self) -> bool:
        """Whether the server belongs to a service on this machine, behind a socket that only its owner can open."""
        return self.url.startswith("embedded")

    @cached_property
    def _where(self) -> RedisUrl | None:
        return None if self.is_embedded else RedisUrl.parse(self.url)

    @property
    def is_encrypted(self) -> bool:
        """Whether the connections to the server are TLS."""
        return self._where is not None and self._where.tls

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that the URL names, without ports; none for a Unix socket."""
        return () if self._where is None else tuple(host for host, _ in self._where.hosts)

    @property
    def remote_hosts(self) -> tuple[str, ...]:
        """Those of them that are not this machine."""
        return tuple(one for one in self.hosts if one not in _LOOPBACK_NAMES and not one.startswith("127."))

    @property
    def redis_cli(self) -> str:
        """How `redis-cli` reaches this server, for commands that mend; a password is asked for, never shown."""
        parts = ["redis-cli"]
        kwargs = self.client.connection_pool.connection_kwargs
        if "path" in kwargs:
            parts += ["-s", str(kwargs["path"])]
        elif "connection_pool" in kwargs:
            parts += ["-h", "PRIMARY"]
        else:
            parts += ["-h", str(kwargs.get("host", "localhost")), "-p", str(kwargs.get("port", 6379))]
        if self.is_encrypted:
            parts.append("--tls")
        if kwargs.get("password"):
            parts.append("--askpass")
        return " ".join(parts)

    def mend(self, *command: str) -> str:
        """A command for somebody who may change the server."""
        return " ".join([self.redis_cli, *command])

    @property
    def grant_info(self) -> str:
        """How an administrator lets this user ask what most of this is about."""
        return self.mend("ACL SETUSER USER +info")
