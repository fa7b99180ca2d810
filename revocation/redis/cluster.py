"""ClusterSlot: the primary of one slot of a Redis Cluster, as a plain client.

Everything of a namespace is in one slot, so that a cluster is, for us, one server that may move.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
from redis.crc import key_slot

#: Between two looks at the map of the cluster, in seconds.
_LOOK_SECONDS: Final = 0.25

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Place:
    """Who held the slot of a key, and when that was asked for."""

    client: "redis.Redis"
    looked_at: float


class ClusterSlot:
    """Finds the node that holds a key's slot, and finds it again after it was told that something went wrong.

    `client_at` makes the client of a node, and connects nothing yet. The constructor asks nothing. `client` raises
    redis-py's errors where the cluster cannot be reached. It holds no lock, so that a fork cannot inherit a locked
    one: two threads that look at once find the same.
    """

    def __init__(
        self,
        nodes: Sequence[Address],
        *,
        timeout_seconds: float,
        client_at: "Callable[[str, int], redis.Redis]",
        options: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self._nodes = tuple(nodes)
        self._client_at = client_at
        #: How each node is reached, by the names of redis-py's connections.
        self.options = options or {}
        self._clock = clock
        self._clients: dict[Address, redis.Redis] = {}
        self._places: dict[str, _Place] = {}
        #: Who is in the cluster by the word of who answered last: the nodes of the URL may be gone one day.
        self._members: tuple[Address, ...] = ()
        self._looks = 0
        self._suspected_at = -math.inf

    @property
    def members(self) -> tuple[Address, ...]:
        """Every node of the cluster, as it was told last; empty before anybody asked."""
        return self._members

    def client(self, key: str) -> "redis.Redis":
        """The client of the primary that holds this key."""
        place = self._places.get(key)
        if place is not None and (
            place.looked_at > self._suspected_at or self._clock() - place.looked_at < _LOOK_SECONDS
        ):
            return place.client
        return self._look(key)

    def suspect(self) -> None:
        """Something went wrong: the slot may have moved."""
        self._suspected_at = self._clock()

    def drop(self) -> None:
        """End the connections that are idle, and the others once they are given back, and look at the map again."""
        self.suspect()
        for client in tuple(self._clients.values()):
            client.connection_pool.disconnect_free_connections()
            client.connection_pool.update_active_connections_for_reconnect()

    def close(self) -> None:
        """Close every connection; the next call opens new ones."""
        for client in tuple(self._clients.values()):
            client.close()

    def _look(self, key: str) -> "redis.Redis":
        slot, looked_at = key_slot(key.encode()), self._clock()
        failure: Exception = redis.ConnectionError("no node of the cluster holds the deny-list's slot")
        for asked in self._in_turn():
            try:
                shares = _slots(self._node(asked))
            except redis.RedisError as error:
                failure = error
                continue
            holder = next(_primaries(shares, slot, asked), None)
            if holder is None:
                continue
            self._members = tuple(dict.fromkeys(_members(shares, asked)))
            client = self._node(holder)
            self._places[key] = _Place(client, looked_at)
            return client
        if key in self._places:
            # A cluster of which nobody answers is not searched by every call.
            self._places[key] = _Place(self._places[key].client, looked_at)
        raise failure

    def _in_turn(self) -> list[Address]:
        """Every node that is known, each look from another one on.

        A node that was cut off answers for as long as it is alone, and would be believed for ever if it came first.
        """
        known = list(dict.fromkeys((*self._nodes, *self._members)))
        first = self._looks % len(known)
        self._looks += 1
        return known[first:] + known[:first]

    def _node(self, address: Address) -> "redis.Redis":
        client = self._clients.get(address)
        if client is None:
            client = self._clients.setdefault(address, self._client_at(*address))
        return client


def _slots(client: "redis.Redis") -> Any:
    untyped: Any = client
    return untyped.execute_command("CLUSTER SLOTS")


def _primaries(shares: Any, slot: int, asked: Address) -> Iterator[Address]:
    """The address of the slot's primary, in the answer of one node."""
    for first, last, primary, *_ in shares:
        if int(first) <= slot <= int(last):
            yield from _known(primary, asked)


def _members(shares: Any, asked: Address) -> Iterator[Address]:
    for _, _, *nodes in shares:
        for node in nodes:
            yield from _known(node, asked)


def _known(node: Any, asked: Address) -> Iterator[Address]:
    """The address of a node as CLUSTER SLOTS names it: no name stands for the one that was asked, `?` for unknown."""
    name = (node[0] or b"").decode() or asked[0]
    if name != "?":
        yield name, int(node[1])
