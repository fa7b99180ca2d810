"""Three data nodes and three Sentinels on loopback, over TLS and with passwords."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import redis

from tests.support.ports import free_port
from tests.support.processes import START_SECONDS, end
from tests.support.secured import Secured, await_replicas
from tests.support.servers import binary


@dataclass(frozen=True)
class SecuredSentinels:
    """Data nodes and Sentinels by port, all of them TLS; the users of Sentinels are `default` and `watcher`."""

    secured: Secured
    sentinels: tuple[int, ...]
    nodes: "dict[int, subprocess.Popen[bytes]]"
    sentinel_password: str = "one more"
    watcher_password: str = "and another"

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.sentinels)

    def primary(self) -> int:
        """The port of the primary, by the word of a data node."""
        for port, process in self.nodes.items():
            if process.poll() is None:
                with contextlib.closing(self.secured.client(port)) as client:
                    state: Any = client.info("replication")
                    if state["role"] == "master":
                        return port
        raise AssertionError("there is no primary")

    def kill(self, port: int) -> None:
        """End a data node at once, as a crash does."""
        end(self.nodes[port])


@contextlib.contextmanager
def secured_nodes(directory: Path, *, options: Sequence[str] = ()) -> Iterator[SecuredSentinels]:
    """Until the block ends; every process is ended by its id."""
    secured = Secured.made_in(directory)
    nodes = [free_port() for _ in range(3)]
    made = SecuredSentinels(secured, tuple(free_port() for _ in range(3)), {})
    watching: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: _end([*made.nodes.values(), *watching]))
        for port in nodes:
            data = directory / str(port)
            data.mkdir()
            arguments = ("--tls-port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--save", "", *_ANNOUNCED)
            made.nodes[port] = subprocess.Popen(
                [binary("redis"), *secured.options, *arguments, *options], stdout=subprocess.DEVNULL
            )
        for port in nodes:
            _wait_for(port, client_at=secured.client)
            with contextlib.closing(secured.client(port)) as client:
                secured.admit(client)
                if port != nodes[0]:
                    client.replicaof("127.0.0.1", nodes[0])
        for port in made.sentinels:
            configuration = directory / f"sentinel-{port}.conf"
            configuration.write_text(_secured_configuration(made, port, nodes[0], directory))
            watching.append(subprocess.Popen([binary("redis"), configuration, "--sentinel"], stdout=subprocess.DEVNULL))
        for port in made.sentinels:
            _wait_for(port, until_it_knows=2, client_at=partial(secured.client, password=made.sentinel_password))
        with contextlib.closing(secured.client(nodes[0])) as client:
            await_replicas(client, 2)
        yield made


def _secured_configuration(made: SecuredSentinels, port: int, primary: int, directory: Path) -> str:
    options = iter(made.secured.certificates.server_options)
    return "\n".join(
        [
            *("port 0", f"tls-port {port}", "bind 127.0.0.1", f"dir {directory}", "tls-replication yes"),
            *(f"{name.removeprefix('--')} {value}" for name, value in zip(options, options, strict=True)),
            f'requirepass "{made.sentinel_password}"',
            f'sentinel sentinel-pass "{made.sentinel_password}"',
            f'user watcher on ">{made.watcher_password}" -@all +sentinel|masters +sentinel|slaves',
            f"sentinel monitor service 127.0.0.1 {primary} 2",
            f'sentinel auth-pass service "{made.secured.default_password}"',
            "sentinel down-after-milliseconds service 500",
            "sentinel failover-timeout service 3000",
            "",
        ]
    )


_ANNOUNCED = ("--repl-diskless-sync-delay", "0", "--replica-announce-ip", "127.0.0.1")


def _client(port: int) -> "redis.Redis":
    return redis.Redis(port=port, socket_timeout=2, protocol=2)


def _wait_for(port: int, *, until_it_knows: int = 0, client_at: "Callable[[int], redis.Redis]" = _client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(redis.RedisError), contextlib.closing(client_at(port)) as client:
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
        end(process)
