"""A cluster of three nodes on loopback, over TLS and with passwords, with two replicas of one node."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis

from tests.support.ports import free_port
from tests.support.processes import START_SECONDS, end
from tests.support.secured import Secured, await_replicas
from tests.support.servers import binary

_SLOTS = 16_384
_OPTIONS = ("--bind", "127.0.0.1", "--save", "", "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
#: A replica joins, and takes over, without the waits that a network between machines may need.
_PROMPT = ("--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
#: A replica that leaves for another primary would leave this one with fewer than must confirm.
_LOYAL = ("--cluster-allow-replica-migration", "no")


@dataclass(frozen=True)
class Cluster:
    """Its nodes, by port."""

    ports: tuple[int, ...]
    secured: Secured | None = None
    processes: "dict[int, subprocess.Popen[bytes]]" = field(default_factory=dict, repr=False)

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def url(self) -> str:
        return f"redis+cluster://{self.hosts}"

    def kill(self, port: int) -> None:
        """End a node at once, as a crash does."""
        end(self.processes[port])

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
        client = self.secured.client(port) if self.secured else redis.Redis(port=port, socket_timeout=5, protocol=2)
        try:
            yield client
        finally:
            client.close()


@contextlib.contextmanager
def secured_nodes(directory: Path, *, key: str, options: Sequence[str] = ()) -> Iterator[Cluster]:
    """Three nodes over TLS and with passwords, and two replicas of the one that holds a key."""
    secured = Secured.made_in(directory)
    ports = tuple(free_port() for _ in range(5))
    cluster = Cluster(ports[:3], secured)
    with _ended(cluster):
        for port in ports:
            own = (*secured.options, "--tls-port", str(port), "--tls-cluster", "yes", *options)
            _start(cluster, port, directory, [binary("redis"), *_OPTIONS, *_PROMPT, *_LOYAL, *own])
        _form(cluster)
        replicas, primary = ports[3:], cluster.holder(key)
        with cluster.node(primary) as node:
            holder: Any = node.execute_command("CLUSTER MYID")
            for port in replicas:
                _wait_for(cluster, port)
                node.execute_command("CLUSTER MEET", "127.0.0.1", port)
        for port in replicas:
            _until(f"port {port} does not replicate", partial(_replicates, cluster, port, holder))
        with cluster.node(primary) as node:
            await_replicas(node, len(replicas))
        for port in ports:
            with cluster.node(port) as node:
                secured.admit(node)
        yield cluster


@contextlib.contextmanager
def _ended(cluster: Cluster) -> Iterator[None]:
    try:
        yield
    finally:
        for process in cluster.processes.values():
            end(process)


def _start(cluster: Cluster, port: int, directory: Path, command: list[str]) -> None:
    data = directory / str(port)
    data.mkdir()
    cluster.processes[port] = subprocess.Popen([*command, "--dir", str(data)], stdout=subprocess.DEVNULL)


def _replicates(cluster: Cluster, port: int, holder: Any) -> bool:
    """Whether the node at a port is an online replica of the holder; it is told to be one as soon as it can be."""
    with cluster.node(port) as node:
        state: Any = node.info("replication")
        if state["role"] == "master":
            # The node has to hear of the holder first.
            with contextlib.suppress(redis.ResponseError):
                node.execute_command("CLUSTER REPLICATE", holder)
        return bool(state.get("master_link_status") == "up")


def _wait_for(cluster: Cluster, port: int) -> None:
    def answers() -> bool:
        with contextlib.suppress(redis.ConnectionError), cluster.node(port) as node:
            return bool(node.ping())
        return False

    _until(f"nothing answers on port {port}", answers)


def _until(otherwise: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


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
