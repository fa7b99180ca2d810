"""From one URL to a Redis client: every timeout explicit, no hidden retries."""

import codecs
import os
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final

import redis
import redis.asyncio
from redis._parsers import _HiredisParser, _RESP2Parser
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.utils import HIREDIS_AVAILABLE

from revocation.defaults import TIMEOUT_SECONDS
from revocation.errors import ConfigurationError
from revocation.redis.cluster import ClusterSlot
from revocation.redis.embedded import socket_path
from revocation.redis.pool import WaitingPool
from revocation.redis.url import RedisUrl, redact

#: Files that a URL may name, read once at the start: a missing one would show with the first request.
_FILES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


class _InTime(_HiredisParser):
    """Gives a whole reply one timeout: the socket's own begins anew with every byte that trickles in."""

    _due: float | None = None

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's, within the timeout of one read."""
        self._due = None
        return super().read_response(*args, **kwargs)

    def read_from_socket(self, *args: Any, **kwargs: Any) -> Any:
        """The first read of a reply, mostly the only one, has the socket's timeout; others what that has left."""
        if self._socket_timeout is not None:
            now = time.monotonic()
            if self._due is None:
                self._due = now + self._socket_timeout
            else:
                # 0 would mean: do not block.
                kwargs["timeout"] = max(1e-6, self._due - now)
        untyped: Any = super().read_from_socket
        return untyped(*args, **kwargs)


def connect(url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> "redis.Redis | ClusterSlot":
    """Return a client for the server at the URL, without asking it anything yet.

    `redis://[user:password@]host:port/db` or `unix:///path` for one server; `redis+sentinel://host:port,host:port/service[/db]`
    for the primary that Sentinels name, asked anew for every connection; `redis+cluster://host:port,host:port` for the
    node of a cluster that holds the deny-list; `embedded:DIR` for the Valkey that EmbeddedServer runs in a directory
    (`embedded` alone: `.data`); `memory` for a private fakeredis of this process.

    `rediss://`, `rediss+sentinel://` and `rediss+cluster://` are the same over TLS, to the Sentinels too. Certificates
    are always checked; host names as well, unless `?ssl_check_hostname=no`, for Sentinels and clusters that give
    addresses which their certificates do not name. `?ssl_ca_certs=FILE` is for an authority that the system does not
    know, `ssl_certfile` and `ssl_keyfile` for a certificate of the client. User and password are those of the data
    nodes; `?sentinel_username=` and `sentinel_password=` are for the Sentinels.

    redis-py's own defaults (5 s, ten retries) turn a silent Redis into a hang of a minute per request; here each
    connection attempt and each answer has `timeout_seconds`, once. A burst of calls waits for a connection
    (`?max_connections=`, 100 unless set). Raises ConfigurationError for a URL it cannot use.
    """
    if url == "memory":
        return _memory()
    scheme, _, directory = url.partition(":")
    if url == "embedded" or (scheme == "embedded" and not directory.startswith("//")):
        where = RedisUrl(kind="socket", tls=False, path=str(socket_path(directory or ".data")))
    else:
        try:
            where = RedisUrl.parse(url)
        except ValueError as error:
            raise ConfigurationError(f"cannot use {redact(url)}; allowed: {error}") from None
    try:
        return _Maker(where, timeout_seconds=timeout_seconds).client()
    except (ValueError, TypeError, redis.RedisError) as error:
        raise ConfigurationError(f"cannot use {redact(url)}: {error}") from error


def with_timeout(client: "redis.Redis", *, added_seconds: float) -> "redis.Redis":
    """A client with one connection of its own to the same server, for questions that wait on purpose."""
    pool: Any = client.connection_pool
    kwargs = dict(pool.connection_kwargs)
    if kwargs.get("socket_timeout") is not None:
        kwargs["socket_timeout"] += added_seconds
    if kwargs.get("parser_class") is _InTime:
        # Thousands of log entries are one reply, which takes what it takes on a slow link: nobody waits for it.
        del kwargs["parser_class"]
    served: tuple[Any, ...] = ()
    if hasattr(pool, "sentinel_manager"):
        served = (pool.service_name, pool.sentinel_manager)
        del kwargs["connection_pool"]
    own = type(pool)(*served, connection_class=pool.connection_class, max_connections=1, **kwargs)
    return type(client)(connection_pool=own)


def drop_connections(server: "redis.Redis | ClusterSlot") -> None:
    """End the connections that are idle, and the others once they are given back: the next call opens new ones.

    Where an address, a Sentinel or a cluster names another server by now, they reach that.
    """
    if isinstance(server, ClusterSlot):
        server.drop()
    else:
        server.connection_pool.disconnect_free_connections()
        server.connection_pool.update_active_connections_for_reconnect()


def fault_of_settings(server: "redis.Redis | ClusterSlot", error: BaseException) -> str | None:
    """What the settings have to do with a connection that failed; None where they do not, and waiting may help."""
    if isinstance(error, redis.exceptions.AuthenticationError):
        return "it refuses the user or the password"
    options = server.options if isinstance(server, ClusterSlot) else server.connection_pool.connection_kwargs
    missing = _unreadable(options)
    if missing:
        return missing
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return None


def is_memory(client: object) -> bool:
    """Whether a client asks a store inside this process, which has neither replicas nor a life of its own."""
    return type(client).__module__.partition(".")[0] == "fakeredis"


def require_usable(client: object) -> None:
    """Raise ConfigurationError, which says what to do, for a client that a deny-list cannot work with."""
    if isinstance(client, ClusterSlot):
        return
    if isinstance(client, str):
        # It is not shown: it may hold a password.
        raise ConfigurationError("A deny-list takes a client, and not a URL: RedisDenylist(connect(url)).")
    if isinstance(client, redis.asyncio.Redis | redis.asyncio.RedisCluster):
        raise ConfigurationError(
            "A deny-list cannot await the answers of redis.asyncio: use connect(url), and guard.decide_async, which "
            "holds no event loop."
        )
    if isinstance(client, redis.RedisCluster):
        raise ConfigurationError(
            "A RedisCluster of redis-py tries again by its own rules, and a strict check would have no bound: use "
            "connect('redis+cluster://host:port,host:port')."
        )
    if not isinstance(client, redis.Redis) or isinstance(client, redis.client.Pipeline):
        raise ConfigurationError(f"A deny-list takes a redis.Redis, and no {_name(client)}: use connect(url).")
    problem = _problem(client)
    if problem:
        raise ConfigurationError(f"This client cannot be used: {problem}. Use connect(url).")


def _name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _problem(client: "redis.Redis") -> str | None:
    """What is wrong with a client of redis-py, and how it is put right; None where nothing is."""
    options: Mapping[str, Any] = client.connection_pool.connection_kwargs
    if options.get("decode_responses"):
        return "decode_responses=True turns the bytes of entries into text; leave it out"
    if str(options.get("protocol") or 2) != "2":
        return f"protocol={options['protocol']} gives answers another shape; set protocol=2"
    if not options.get("legacy_responses", True):
        return "legacy_responses=False gives answers another shape; leave it out"
    if codecs.lookup(options.get("encoding") or "utf-8").name not in ("utf-8", "ascii"):
        return f"encoding={options['encoding']!r} writes keys that no other process finds; leave it out"
    if getattr(client, "connection", None) is not None:
        return "single_connection_client=True is one connection, which forked processes would share; leave it out"
    if not getattr(client.connection_pool, "is_master", True):
        return "it asks replicas, which can revoke nothing; use Sentinel.master_for"
    return None


class _Maker:
    """Makes the clients of one URL."""

    def __init__(self, url: RedisUrl, *, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds

    def client(self) -> "redis.Redis | ClusterSlot":
        """The client that the URL asks for. Raises ConfigurationError, and redis-py's errors, for what cannot be."""
        url = self._url
        if url.tls:
            _require_readable(url.options)
        match url.kind:
            case "server":
                return self._server(*url.hosts[0])
            case "socket":
                return self._pooled(redis.UnixDomainSocketConnection, {**url.options, "path": url.path})
            case "cluster":
                return ClusterSlot(
                    url.hosts,
                    timeout_seconds=self._timeout_seconds,
                    client_at=self._server,
                    options=self._url.options,
                )
            case "sentinel":
                # Only who asks Sentinels needs redis-py's part for them.
                from revocation.redis.sentinel import behind_sentinels

                return behind_sentinels(
                    url.hosts,
                    url.service,
                    ask=self._sentinel,
                    tls=url.tls,
                    options={**self._decided(), **_understood(url.options), "max_connections": url.max_connections},
                )

    def _server(self, host: str, port: int) -> "redis.Redis":
        """A client of one data node."""
        return self._pooled(self._over_tcp, {**self._url.options, "host": host, "port": port})

    def _sentinel(self, host: str, port: int) -> "redis.Redis":
        """A client of one Sentinel."""
        return self._pooled(self._over_tcp, {**self._url.sentinel_options, "host": host, "port": port})

    @property
    def _over_tcp(self) -> type[redis.Connection]:
        return redis.SSLConnection if self._url.tls else redis.Connection

    def _pooled(self, connection_class: Any, options: Mapping[str, Any]) -> "redis.Redis":
        kwargs = {**self._decided(), **_understood(options)}
        # Builds a connection and opens none: what redis-py cannot use shows now, not at the first request.
        connection_class(**kwargs)
        return redis.Redis.from_pool(
            WaitingPool(connection_class=connection_class, max_connections=self._url.max_connections, **kwargs)
        )

    def _decided(self) -> dict[str, Any]:
        """The options that no URL may change."""
        return {
            "socket_timeout": self._timeout_seconds,
            "socket_connect_timeout": self._timeout_seconds,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
            # RESP2: one shape of answers over all server versions, and no HELLO that an ACL might forbid.
            "protocol": 2,
            "driver_info": None,
            **({} if self._url.kind == "socket" else {"socket_keepalive": True}),
            # hiredis takes the tickets that TLS 1.3 sends after the handshake for a stale answer, and calls it not
            # ready.
            "parser_class": _InTime if HIREDIS_AVAILABLE and not self._url.tls else _RESP2Parser,
        }


def _understood(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as redis-py's connections take them."""
    flags = ("ssl_include_verify_flags", "ssl_exclude_verify_flags")
    return {name: _flags(name, value) if name in flags else value for name, value in options.items()}


def _flags(name: str, text: str) -> list[ssl.VerifyFlags]:
    try:
        return [ssl.VerifyFlags[flag.strip()] for flag in text.split(",")]
    except KeyError:
        known = ", ".join(flag for flag in ssl.VerifyFlags.__members__)
        raise ConfigurationError(f"{name} holds none of OpenSSL's flags; there are {known}") from None


def _require_readable(options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError where a file of the URL is missing, or does not hold what it should."""
    missing = _unreadable(options)
    if missing:
        raise ConfigurationError(missing, settings=["redis_url"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority, certificate = options.get("ssl_ca_certs"), options.get("ssl_certfile")
    try:
        if authority is not None:
            context.load_verify_locations(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ssl_ca_certs names {authority}, which holds no certificate in PEM form") from error
    try:
        if certificate is not None:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, options.get("ssl_keyfile"), options.get("ssl_password", ""))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"ssl_certfile names {certificate}, and it, ssl_keyfile and ssl_password do not go together: {error}"
        ) from error


def _unreadable(options: Mapping[str, Any]) -> str | None:
    """Which file of the URL is missing."""
    for name in _FILES:
        path = options.get(name)
        if path is not None and not os.access(path, os.R_OK):
            return f"{name} names {path}, which does not exist or cannot be read"
    return None


def _memory() -> "redis.Redis":
    try:
        import fakeredis
    except ImportError as error:
        raise ConfigurationError("the store 'memory' needs fakeredis: pip install 'revocation[memory]'") from error
    return fakeredis.FakeRedis(server=fakeredis.FakeServer(server_type="valkey"), protocol=2)
