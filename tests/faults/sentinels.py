"""Three data nodes and three Sentinels on loopback; everybody reaches the first primary through a proxy."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.faults.proxy import Proxy
from tests.servers import binary
from tests.serving import free_port

_START_SECONDS = 30


@dataclass(frozen=True)
class Sentinels:
    """What clients connect to, and the link that can be cut."""

    #: Through the Sentinels, to whoever is primary.
    url: str
    #: Past the proxy, to the node that was primary first: the side of a partition that it is on.
    first_primary_url: str
    proxy: Proxy


@contextlib.contextmanager
def three_nodes(directory: Path) -> Iterator[Sentinels]:
    """Until the block ends; every process is ended by its id."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object) -> None:
        processes.append(
            subprocess.Popen([binary("valkey"), *map(str, arguments)], stdout=subprocess.DEVNULL, cwd=directory)
        )

    socket = directory / "primary.sock"
    nodes, sentinels = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        stack.callback(_end, processes)
        for port in nodes:
            data = directory / str(port)
            data.mkdir()
            own = ("--unixsocket", socket) if port == nodes[0] else ()
            # A fresh replica is in sync at once, not after five seconds.
            start("--port", port, "--bind", "127.0.0.1", "--dir", data, "--save", "", *own, *_ANNOUNCED)
        for port in nodes:
            _wait_for(port)
        proxy = Proxy(socket)
        stack.callback(proxy.close)
        for port in nodes:
            with contextlib.closing(_client(port)) as client:
                client.config_set("replica-announce-port", proxy.port if port == nodes[0] else port)
                if port != nodes[0]:
                    client.replicaof("127.0.0.1", proxy.port)
        for port in sentinels:
            configuration = directory / f"sentinel-{port}.conf"
            configuration.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
                f"sentinel monitor service 127.0.0.1 {proxy.port} 2\n"
                "sentinel down-after-milliseconds service 500\nsentinel failover-timeout service 3000\n"
            )
            start(configuration, "--sentinel")
        for port in sentinels:
            _wait_for(port, until_it_knows=2)
        yield Sentinels(
            f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in sentinels)}/service",
            f"redis://127.0.0.1:{nodes[0]}/0",
            proxy,
        )


_ANNOUNCED = ("--repl-diskless-sync-delay", "0", "--replica-announce-ip", "127.0.0.1")


def _client(port: int) -> "redis.Redis":
    return redis.Redis(port=port, socket_timeout=2, protocol=2)


def _wait_for(port: int, *, until_it_knows: int = 0) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(redis.RedisError), contextlib.closing(_client(port)) as client:
            if not until_it_knows:
                client.ping()
                return
            state: Any = client.sentinel_master("service")
            if state["num-other-sentinels"] == until_it_knows and state["num-slaves"] == until_it_knows:
                return
        assert time.monotonic() < deadline, f"nothing is ready on port {port}"
        time.sleep(0.05)


def _end(processes: "list[subprocess.Popen[bytes]]") -> None:
    for process in processes:
        process.kill()
        process.wait()
