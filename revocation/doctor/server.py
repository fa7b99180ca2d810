"""ExaminedServer: the server that holds the deny-list under examination, and that may refuse to answer."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import redis

from revocation.loopback import is_loopback
from revocation.redis.denylist import RedisDenylist
from revocation.redis.head import Head
from revocation.redis.url import RedisUrl
from revocation.settings import RevocationSettings

T = TypeVar("T")


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
        text: Any = self.client.get(self.denylist.namespace.head)
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
        """Whether a service on this machine runs the server, behind a socket of its own."""
        return self.url.startswith("embedded")

    @cached_property
    def _where(self) -> RedisUrl | None:
        return None if self.is_embedded else RedisUrl.parse(self.url)

    @property
    def is_cluster(self) -> bool:
        """Whether the URL names a Redis Cluster."""
        return self._where is not None and self._where.kind == "cluster"

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
        return tuple(host for host in self.hosts if not is_loopback(host))

    def mend(self, *command: str, everywhere: bool = False) -> str:
        """The line of a shell with which somebody who may change the server runs this Redis command.

        With `everywhere` it is run on every data node: neither users nor settings are replicated.
        """
        places = self._nodes if everywhere else [self._place]
        return " && ".join(shlex.join([*self._redis_cli(place), *command]) for place in places)

    def grant(self, user: str, *commands: str, first: Sequence[str] = ()) -> str:
        """The line of a shell with which an administrator allows commands on this deny-list to a user."""
        rules = (*first, f"~{self.denylist.key('*')}", *(f"+{name}" for name in commands))
        return self.mend("ACL", "SETUSER", user, *rules, everywhere=True)

    @property
    def grant_info(self) -> str:
        """The line of a shell with which an administrator allows INFO, which most checks need, to this user."""
        return self.mend("ACL", "SETUSER", self.user, "+info", everywhere=True)

    @property
    def grant_map(self) -> str:
        """The same for the map of the cluster, which this user may not read: at the nodes that the URL names."""
        return self.mend("ACL", "SETUSER", self.user, "+cluster|slots", everywhere=True)

    @property
    def user(self) -> str:
        """The user of Redis that this process is."""
        return str(self.options.get("username") or "default")

    @property
    def options(self) -> Mapping[str, Any]:
        """How the server is reached, by the names of redis-py's connections."""
        if self._where is not None and self.is_cluster:
            return self._where.options
        options: Mapping[str, Any] = self.client.connection_pool.connection_kwargs
        return options

    @property
    def more_rights(self) -> tuple[str, ...]:
        """The commands that a user needs because of where the deny-list is."""
        return ("cluster|slots",) if self.is_cluster else ()

    @property
    def _place(self) -> tuple[str, ...]:
        """The options of redis-cli that name this server."""
        kwargs = self.client.connection_pool.connection_kwargs
        if "path" in kwargs:
            return ("-s", str(kwargs["path"]))
        if "connection_pool" in kwargs:
            return ("-h", "PRIMARY")
        return _at(kwargs.get("host", "localhost"), kwargs.get("port", 6379))

    @property
    def _nodes(self) -> list[tuple[str, ...]]:
        """The same for every data node: those of the cluster, or the server and the replicas that it tells of."""
        if self._where is not None and self.is_cluster:
            return [_at(host, port) for host, port in self.denylist.link.members or self._where.hosts]
        info = self.info or {}
        replicas = (info.get(f"slave{number}") for number in range(int(info.get("connected_slaves", 0))))
        return [self._place, *(_at(replica["ip"], replica["port"]) for replica in replicas if replica)]

    def _redis_cli(self, place: Sequence[str]) -> list[str]:
        """The `redis-cli` command line that reaches a server; it asks for the password and never shows it."""
        options = self.options
        secure = ["--tls"] if self.is_encrypted else []
        if self.is_encrypted and options.get("ssl_ca_certs"):
            secure += ["--cacert", str(options["ssl_ca_certs"])]
        return ["redis-cli", *place, *secure, *(["--askpass"] if options.get("password") else [])]


def _at(host: object, port: object) -> tuple[str, ...]:
    return ("-h", str(host), "-p", str(port))
