"""ExaminedServer: the server that holds the deny-list under examination, and that may refuse to answer."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final, TypeVar

import redis

from revocation.redis.denylist import RedisDenylist
from revocation.redis.protocol import Head
from revocation.redis.url import RedisUrl
from revocation.settings import RevocationSettings

T = TypeVar("T")

_LOOPBACK_NAMES: Final = ("localhost", "::1")


class ExaminedServer:
    """One deny-list and the server that holds it, at a URL as `connect` takes it.

    It sends nothing before a check asks. `ask` raises redis-py's ConnectionError and TimeoutError where the server
    does not answer at all.
    """

    def __init__(self, denylist: RedisDenylist, *, settings: RevocationSettings, url: str) -> None:
        self.denylist = denylist
        self.settings = settings
        self.url = url

    @property
    def client(self) -> "redis.Redis":
        """The client that the deny-list's link uses at this moment."""
        return self.denylist.link.client

    def ask(self, question: "Callable[[redis.Redis], T]") -> T | None:
        """The server's answer; None where the server forbids the question or does not know the command."""
        try:
            return question(self.client)
        except redis.ConnectionError:
            raise
        except redis.ResponseError:
            return None

    def head(self) -> Head:
        """The head of the deny-list. Raises DenylistEmptyError where Redis holds none."""
        text: Any = self.client.get(self.denylist.key("head"))
        return Head.parse(text)

    @cached_property
    def info(self) -> Mapping[str, Any] | None:
        """Everything in INFO; None where the server forbids INFO to this user."""
        return self.ask(lambda client: client.info())

    def config(self, name: str) -> str | None:
        """The value of one parameter; None where the server forbids CONFIG, as managed services often do."""
        parameters: Any = self.ask(lambda client: client.config_get(name))
        value = (parameters or {}).get(name, (parameters or {}).get(name.encode()))
        return value.decode() if isinstance(value, bytes) else value

    @property
    def is_embedded(self) -> bool:
        """Whether a service on this machine runs the server, behind a socket that only its owner can open."""
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
        """The hosts that the URL names, without ports; empty for a Unix socket."""
        return () if self._where is None else tuple(host for host, _ in self._where.hosts)

    @property
    def remote_hosts(self) -> tuple[str, ...]:
        """The hosts that are other machines than this one."""
        return tuple(host for host in self.hosts if host not in _LOOPBACK_NAMES and not host.startswith("127."))

    @property
    def redis_cli(self) -> str:
        """The `redis-cli` command line that reaches this server; it asks for the password and never shows it."""
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
        """The command line with which somebody who may change the server runs this Redis command."""
        return " ".join([self.redis_cli, *command])

    @property
    def grant_info(self) -> str:
        """The command line with which an administrator allows INFO, which most checks need, to this user."""
        return self.mend("ACL SETUSER USER +info")
