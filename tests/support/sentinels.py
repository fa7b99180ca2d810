"""Three data nodes and three Sentinels on loopback; everybody reaches the first primary through a proxy."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.support.ports import free_port
from tests.support.processes import START_SECONDS, end
from tests.support.proxy import Proxy
from tests.support.servers import binary, running, short_directory


@dataclass(frozen=True)
class Sentinels:
    """What clients connect to, and the link that can be cut."""

    #: Through the Sentinels, to whoever is primary.
    url: str
    #: Past the proxy, to the node that was primary first: the side of a partition that it is on.
    first_primary_url: str
    proxy: Proxy


@contextlib.contextmanager
def three_nodes() -> Iterator[Sentinels]:
    """The nodes and their Sentinels until the block ends."""
    nodes, sentinels = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(running("valkey", "--port", str(port), *_OPTIONS)) for port in nodes]
        proxy = Proxy(servers[0].socket)
        stack.callback(proxy.close)
        for port in nodes:
            with contextlib.closing(_client(port)) as client:
                client.config_set("replica-announce-port", proxy.port if port == nodes[0] else port)
                if port != nodes[0]:
                    client.replicaof("127.0.0.1", proxy.port)
        processes = {}
        for port in sentinels:
            directory = stack.enter_context(short_directory())
            processes[port] = _sentinel(directory, port, primary=proxy.port)
            stack.callback(end, processes[port])
        for port, process in processes.items():
            _wait_until_complete(port, process)
        yield Sentinels(
            f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in sentinels)}/service",
            f"redis://127.0.0.1:{nodes[0]}/0",
            proxy,
        )


# A fresh replica is in sync at once, not after five seconds.
_OPTIONS = ("--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", "--replica-announce-ip", "127.0.0.1")


def _client(port: int) -> "redis.Redis":
    return redis.Redis(port=port, socket_timeout=2, protocol=2)


def _sentinel(directory: Path, port: int, *, primary: int) -> "subprocess.Popen[bytes]":
    configuration = directory / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
        f"sentinel monitor service 127.0.0.1 {primary} 2\n"
        "sentinel down-after-milliseconds service 500\nsentinel failover-timeout service 3000\n"
    )
    return subprocess.Popen([binary("valkey"), str(configuration), "--sentinel"], stdout=subprocess.DEVNULL)


def _wait_until_complete(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a Sentinel knows both replicas and both other Sentinels."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(redis.RedisError), contextlib.closing(_client(port)) as client:
            state: Any = client.sentinel_master("service")
            if state["num-other-sentinels"] == 2 and state["num-slaves"] == 2:
                return
        assert process.poll() is None, f"the Sentinel on port {port} has ended: {process.returncode}"
        assert time.monotonic() < deadline, f"the Sentinel on port {port} does not know the others"
        time.sleep(0.05)
