"""ClusterSlot: the primary of one slot of a Redis Cluster, as a plain client.

Everything of a namespace is in one slot, so that a cluster is, for us, one server that may move.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis
from redis.cluster import ClusterNode, RedisCluster

#: Between two looks at the map of the cluster, in seconds.
_LOOK_SECONDS: Final = 0.25


class ClusterSlot:
    """Finds the node that holds a key's slot, and finds it again after it was told that something went wrong.

    The constructor asks nothing. `client` raises redis-py's errors where the cluster cannot be reached.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[str, int]],
        *,
        timeout_seconds: float,
        options: dict[str, Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self._nodes = tuple(nodes)
        self._options = options
        self._clock = clock
        self._cluster: RedisCluster | None = None
        self._looked_at = -_LOOK_SECONDS
        self._stale = True

    def client(self, key: str) -> "redis.Redis":
        """The client of the primary that holds this key."""
        cluster = self._cluster
        if cluster is None or (self._stale and self._clock() - self._looked_at >= _LOOK_SECONDS):
            cluster = self._look()
        try:
            node = cluster.get_node_from_key(key)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        except redis.exceptions.RedisClusterException:
            node = None
        if node is None:
            self._stale = True
            raise redis.ConnectionError("no node of the cluster holds the deny-list's slot")
        client: redis.Redis = cluster.get_redis_connection(node)
        return client

    def suspect(self) -> None:
        """Something went wrong: the slot may have moved."""
        self._stale = True

    def close(self) -> None:
        """Close every connection."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.close()

    def _look(self) -> RedisCluster:
        self._looked_at = self._clock()
        untyped: Any = ClusterNode
        try:
            found = RedisCluster(startup_nodes=[untyped(host, port) for host, port in self._nodes], **self._options)
        except redis.exceptions.RedisClusterException as error:
            # Which is none of redis-py's own RedisErrors.
            raise redis.ConnectionError(str(error)) from error
        # What is in use elsewhere keeps its connection until it is done with it.
        self._cluster, self._stale = found, False
        return found
