"""The primary that Sentinels name, asked anew for every connection."""

from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from revocation.redis.pool import Waiting


class SentinelPool(Waiting, SentinelConnectionPool):
    """The pool of whoever is primary."""


def behind_sentinels(
    addresses: Sequence[tuple[str, int]],
    service: str,
    *,
    ask: "Callable[[str, int], redis.Redis]",
    tls: bool,
    options: dict[str, Any],
) -> "redis.Redis":
    """A client of the primary of a service; `ask` makes the client of a Sentinel at an address."""
    # redis-py leaves its Sentinel and the pool of it untyped.
    untyped_sentinel: Any = Sentinel
    untyped_pool: Any = SentinelPool
    sentinels = untyped_sentinel([])
    # Its constructor would give Sentinels a pool of another kind, and refuses some options of TLS.
    sentinels.sentinels = [ask(host, port) for host, port in addresses]
    connection_class = SentinelManagedSSLConnection if tls else SentinelManagedConnection
    return redis.Redis.from_pool(untyped_pool(service, sentinels, connection_class=connection_class, **options))
