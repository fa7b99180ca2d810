"""A cluster of three nodes on loopback, without replicas."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from tests.support.ports import free_port
from tests.support.processes import START_SECONDS
from tests.support.servers import running

_SLOTS = 16_384
_OPTIONS = ("--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")


@dataclass(frozen=True)
class Cluster:
    """Its nodes, by port."""

    ports: tuple[int, ...]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def holder(self, key: str) -> int:
        """The port of the node that holds a key."""
        with self.node(self.ports[0]) as node:
            slot = int(node.execute_command("CLUSTER KEYSLOT", key))
            shares: Any = node.execute_command("CLUSTER SLOTS")
        return next(int(share[2][1]) for share in shares if int(share[0]) <= slot <= int(share[1]))

    def move(self, key: str) -> None:
        """Hand a key's slot, with everything in it, to another node."""
        source = self.holder(key)
        target = next(port for port in self.ports if port != source)
        with self.node(source) as here, self.node(target) as there:
            slot = int(here.execute_command("CLUSTER KEYSLOT", key))
            there.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", here.execute_command("CLUSTER MYID"))
            here.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", there.execute_command("CLUSTER MYID"))
            while keys := here.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
                here.execute_command("MIGRATE", "127.0.0.1", target, "", 0, 5000, "KEYS", *keys)
            owner = there.execute_command("CLUSTER MYID")
            for port in (target, source, *self.ports):
                with self.node(port) as node:
                    node.execute_command("CLUSTER SETSLOT", slot, "NODE", owner)

    @contextlib.contextmanager
    def node(self, port: int) -> Iterator[Any]:
        """A client of one node; redis-py leaves what is asked of it here untyped."""
        client = redis.Redis(port=port, socket_timeout=5, protocol=2)
        try:
            yield client
        finally:
            client.close()


@contextlib.contextmanager
def three_nodes() -> Iterator[Cluster]:
    """A cluster until the block ends."""
    cluster = Cluster(tuple(free_port() for _ in range(3)))
    with contextlib.ExitStack() as stack:
        for port in cluster.ports:
            stack.enter_context(running("valkey", "--port", str(port), *_OPTIONS))
        _form(cluster)
        yield cluster


def _form(cluster: Cluster) -> None:
    deadline = time.monotonic() + START_SECONDS
    share = _SLOTS // len(cluster.ports) + 1
    for number, port in enumerate(cluster.ports):
        while True:
            assert time.monotonic() < deadline, "a node of the cluster did not start"
            with contextlib.suppress(redis.ConnectionError), cluster.node(port) as node:
                first, last = number * share, min((number + 1) * share, _SLOTS) - 1
                node.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
                break
            time.sleep(0.05)
    with cluster.node(cluster.ports[0]) as node:
        for port in cluster.ports[1:]:
            node.execute_command("CLUSTER MEET", "127.0.0.1", port)
    for port in cluster.ports:
        while True:
            with cluster.node(port) as node:
                state: Any = node.execute_command("CLUSTER INFO")
            if state["cluster_state"] == "ok" and state["cluster_known_nodes"] == str(len(cluster.ports)):
                break
            assert time.monotonic() < deadline, "the cluster did not form"
            time.sleep(0.05)
