"""From one URL to a Redis client: every timeout explicit, no hidden retries."""

import re
import time
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

import redis
from redis._parsers import _HiredisParser, _RESP2Parser
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool
from redis.utils import HIREDIS_AVAILABLE

from revocation.errors import ConfigurationError
from revocation.redis.cluster import ClusterSlot
from revocation.redis.embedded import socket_path
from revocation.redis.url import redact

#: How long one answer of Redis may take, in seconds.
DEFAULT_TIMEOUT_SECONDS = 0.1

_HOST = r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}"
_SEVERAL: Final = re.compile(
    r"redis\+(?:sentinel|cluster)://(?:(?P<user>[^:@/]*):(?P<password>[^@/]*)@)?"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?:/(?P<service>[\w.-]+)(?:/(?P<db>\d+))?)?/?"
)

#: Options of redis-py that would change the shape of answers, or bring retries back.
_CHANGE_ANSWERS: Final = ("decode_responses", "encoding", "legacy_responses", "retry_on_error", "retry_on_timeout")


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


def connect(url: str, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> "redis.Redis | ClusterSlot":
    """Return a client for the server at the URL, without asking it anything yet.

    `redis://`, `rediss://` (TLS, certificate and host name checked) and `unix://` as redis-py reads them;
    `embedded:DIR` for the Valkey that EmbeddedServer runs in a directory (`embedded` alone: `.data`); `memory` for
    a private fakeredis of this process; `redis+sentinel://host:port,host:port/service[/db]` for the primary that
    Sentinels name, asked anew for every connection; `redis+cluster://host:port,host:port` for the node of a cluster
    that holds the deny-list.

    redis-py's own defaults (5 s, ten retries) turn a silent Redis into a hang of a minute per request; here each
    connection attempt and each answer has `timeout_seconds`, once. Raises ConfigurationError for a URL it cannot use.
    """
    scheme, _, rest = url.partition(":")
    if url == "memory":
        return _memory()
    if scheme == "embedded":
        url = f"unix://{quote(str(socket_path(rest or '.data')))}"
    elif scheme not in ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster"):
        raise ConfigurationError(
            f"cannot connect to {redacted(url)}: use redis://, rediss://, unix://, redis+sentinel://, "
            "redis+cluster://, embedded or memory"
        )
    options: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        # RESP2: one shape of answers over all server versions, and no HELLO that an ACL might forbid.
        "protocol": 2,
        "driver_info": None,
        **({} if url.startswith("unix:") else {"socket_keepalive": True}),
        # hiredis takes the tickets that TLS 1.3 sends after the handshake for a stale answer, and calls it not ready.
        "parser_class": _InTime if HIREDIS_AVAILABLE and scheme != "rediss" else _RESP2Parser,
    }
    if scheme == "redis+sentinel":
        return _behind_sentinels(url, options)
    if scheme == "redis+cluster":
        return _in_cluster(url, options)
    try:
        decided = parse_qs(urlsplit(url).query, keep_blank_values=True).keys() & {*options, *_CHANGE_ANSWERS}
        if decided:
            raise ConfigurationError(f"{redacted(url)} may not set {', '.join(sorted(decided))}: that is decided here")
        _ = urlsplit(url).port
    except ValueError:
        # Without the cause: a password with an unescaped "/" is taken for the port, and quoted by it.
        raise ConfigurationError(
            f"cannot read {redacted(url)}: a port is a number up to 65535, and / ? # [ in a password "
            "are written %2F %3F %23 %5B"
        ) from None
    try:
        client = redis.Redis.from_url(url, **options)
        # Builds a connection and opens none: options that redis-py does not know show now, not at the first request.
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"cannot use {redacted(url)}: {error}") from error
    return client


def with_timeout(client: "redis.Redis", *, added_seconds: float) -> "redis.Redis":
    """A client with one connection of its own to the same server, for questions that wait on purpose."""
    pool = client.connection_pool
    kwargs = dict(pool.connection_kwargs)
    if kwargs.get("socket_timeout") is not None:
        kwargs["socket_timeout"] += added_seconds
    if kwargs.get("parser_class") is _InTime:
        # Thousands of log entries are one reply, which takes what it takes on a slow link: nobody waits for it.
        del kwargs["parser_class"]
    if isinstance(pool, SentinelConnectionPool):
        del kwargs["connection_pool"]
        primary: redis.Redis = pool.sentinel_manager.master_for(pool.service_name, **kwargs)
        return primary
    return type(client)(connection_pool=type(pool)(connection_class=pool.connection_class, max_connections=1, **kwargs))


def redacted(url: str) -> str:
    """The URL without user, password and query, for messages and logs."""
    return redact(url)


def _several(url: str) -> tuple[re.Match[str], list[tuple[str, int]], dict[str, str]]:
    """The parts of a URL that names several hosts, the hosts, and the credentials."""
    match = _SEVERAL.fullmatch(url)
    if match is None:
        raise ConfigurationError(
            f"cannot read {redacted(url)}: use redis+sentinel://host:port,host:port/service[/db] or "
            "redis+cluster://host:port,host:port"
        )
    hosts = [host.rsplit(":", 1) for host in match["hosts"].split(",")]
    named = {"username": match["user"], "password": match["password"]}
    credentials = {name: unquote(value) for name, value in named.items() if value}
    return match, [(host.strip("[]"), int(port)) for host, port in hosts], credentials


def _behind_sentinels(url: str, options: dict[str, Any]) -> "redis.Redis":
    match, hosts, credentials = _several(url)
    if not match["service"]:
        raise ConfigurationError(f"{redacted(url)} names no service: redis+sentinel://host:port,host:port/service")
    # redis-py leaves its Sentinel untyped.
    untyped: Any = Sentinel
    asking = {name: value for name, value in options.items() if name != "parser_class"}
    sentinel = untyped(hosts, sentinel_kwargs=asking)
    primary: redis.Redis = sentinel.master_for(match["service"], db=int(match["db"] or 0), **credentials, **options)
    return primary


def _in_cluster(url: str, options: dict[str, Any]) -> ClusterSlot:
    match, hosts, credentials = _several(url)
    if match["service"]:
        raise ConfigurationError(f"{redacted(url)}: a cluster has neither services nor databases")
    return ClusterSlot(hosts, timeout_seconds=options["socket_timeout"], options={**options, **credentials})


def _memory() -> "redis.Redis":
    try:
        import fakeredis
    except ImportError as error:
        raise ConfigurationError("the store 'memory' needs fakeredis: pip install 'revocation[memory]'") from error
    return fakeredis.FakeRedis(server=fakeredis.FakeServer(server_type="valkey"), protocol=2)
