"""Node: one real server with a moved clock, what the oracle says it holds, and the link to the server it copies."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import redis

from tests.search.clock import ServerClock
from tests.support.proxy import Deliver, Fault, Proxy, swallowed
from tests.support.servers import Make, binary

#: A server that does not start, or a copy that does not catch up, ends the search after so many seconds.
_PATIENCE_SECONDS: Final = 20.0


class StalledError(RuntimeError):
    """A server did not do in time what a case needs of it: the machine is too busy."""


@dataclass(frozen=True)
class Saved:
    """A snapshot file of a server, and what the oracle says was in it."""

    file: bytes
    present: frozenset[object]


_SILENCE: Final = Fault(request=swallowed, reply=swallowed, resets=True)


class Link(Proxy):
    """A proxy that, while it is silent, does not pass on the end of a connection either."""

    is_closed = False

    @property
    def is_silent(self) -> bool:
        return self._fault is _SILENCE and not self.is_closed

    def silence(self) -> None:
        """From now on nothing passes, and nobody is told."""
        self.begin(_SILENCE)

    def close(self) -> None:
        self.is_closed = True
        super().close()

    def _pump(
        self, source: socket.socket, target: socket.socket, deliver: Callable[[], Deliver], ended: threading.Barrier
    ) -> None:
        self._open.add(source)
        with contextlib.suppress(OSError):
            while (data := source.recv(65_536)) and deliver()(target, data):
                pass
        while self.is_silent:
            time.sleep(0.01)
        super()._pump(source, target, deliver, ended)


class Node:
    """A server process on a Unix socket. `present` holds the promises and the minted tokens that its data knows of."""

    def __init__(self, make: Make, directory: Path, *, shim: Path) -> None:
        directory.mkdir()
        self._program = binary(make)
        self.directory = directory
        self.socket = directory / "s"
        self.clock = ServerClock(directory / "clock")
        self._environment = {**os.environ, "LD_PRELOAD": str(shim), "SEARCH_CLOCK": str(self.clock.path)}
        self._process: subprocess.Popen[bytes] | None = None
        self._links: list[Link] = []
        self.client: redis.Redis = redis.Redis(unix_socket_path=str(self.socket), protocol=2, socket_timeout=20.0)
        self.offset = 0.0
        self.present: set[object] = set()
        self.upstream: Node | None = None
        #: The link from the upstream to this node.
        self.link: Link | None = None
        #: The least that this server's clock has shown since it lost something, in milliseconds.
        self.least_since_loss_ms = float("inf")

    def start(self) -> None:
        # A copy is in sync at once, and nobody but the test decides when a link has ended.
        options = (
            f"--port 0 --unixsocket {self.socket} --dir {self.directory} --appendonly no --loglevel warning "
            "--repl-diskless-sync-delay 0 --repl-timeout 1000000000 --repl-ping-replica-period 100000"
        )
        self._process = subprocess.Popen(
            [self._program, "--save", "", *options.split()],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._await(self._answers, "the server does not start")

    def _command(self, *words: str) -> object:
        # redis-py leaves it untyped.
        untyped: Any = self.client.execute_command
        return cast("object", untyped(*words))

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=_PATIENCE_SECONDS)
            self._process = None
        self.client.connection_pool.disconnect()

    def close(self) -> None:
        self.kill()
        self._drop_links()
        self.client.close()

    def reset(self) -> None:
        """Empty, and nobody's copy."""
        self._drop_links()
        self.client.replicaof("NO", "ONE")
        self.upstream, self.link = None, None
        self._command("CLIENT", "KILL", "TYPE", "replica")
        self.client.flushall()
        self.offset, self.least_since_loss_ms = 0.0, float("inf")
        self.present = set()

    def await_solitude(self) -> None:
        """Wait until nobody copies this server any more."""
        self._await(lambda: self.copies() == 0, "a copy does not leave")

    def copies(self) -> int:
        """How many servers copy this one, as far as it knows."""
        return int(self.client.info("replication")["connected_slaves"])

    def save(self) -> Saved:
        self._await(self._saves, "the server does not save")
        return Saved((self.directory / "dump.rdb").read_bytes(), frozenset(self.present))

    def restart(self, saved: Saved | None) -> None:
        """A crash, then a start from this snapshot, or empty."""
        self.kill()
        file = self.directory / "dump.rdb"
        file.unlink(missing_ok=True)
        if saved is not None:
            file.write_bytes(saved.file)
        self.start()

    # Copies

    def follow(self, upstream: "Node") -> None:
        """Copy another server from now on, over a link that can fall silent.

        A link that is silent stays as it is: who was copied over it is not told.
        """
        if self.link is None or not self.link.is_silent:
            self._drop_links()
        self.upstream, self.link = upstream, Link(upstream.socket)
        self._links.append(self.link)
        self._command("REPLICAOF", "127.0.0.1", str(self.link.port))

    def promote(self) -> None:
        """Stop copying. The server that was copied is not told, where the link is silent."""
        self.client.replicaof("NO", "ONE")
        self.upstream, self.link = None, None

    def catch_up(self) -> None:
        """Wait until this copy holds what its upstream holds."""
        upstream = self.upstream
        if upstream is not None and self.link is not None and not self.link.is_silent:
            self._await(lambda: self._is_level(upstream), "the copy does not catch up")
            self.present = set(upstream.present)

    def _is_level(self, upstream: "Node") -> bool:
        own: Any = self.client.info("replication")
        theirs: Any = upstream.client.info("replication")
        if own.get("master_link_status") != "up":
            return False
        # `WAIT` counts copies that are online, and those are so only after their first acknowledgement.
        copies = [each for name, each in theirs.items() if name.startswith("slave") and "state" in each]
        online = all(each["state"] == "online" for each in copies)
        return bool(copies) and online and own["slave_repl_offset"] >= theirs["master_repl_offset"]

    def await_acknowledgements(self) -> None:
        """Wait until every copy has said that it holds all, as it does once a second: a `WAIT` then only looks back."""
        self._await(self._is_acknowledged, "the copies do not acknowledge")

    def _is_acknowledged(self) -> bool:
        info: Any = self.client.info("replication")
        copies = [each for name, each in info.items() if name.startswith("slave") and "state" in each]
        return all(each["offset"] >= info["master_repl_offset"] for each in copies)

    def silence(self) -> None:
        """Nothing passes between this copy and its upstream any more, and nobody is told."""
        if self.link is not None:
            self.link.silence()

    def _drop_links(self) -> None:
        for link in self._links:
            link.close()
        self._links.clear()

    def _answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
            return bool(self.client.ping())
        return False

    def _saves(self) -> bool:
        # A copy that is being made is a background save, which has to end first.
        with contextlib.suppress(redis.ResponseError):
            return bool(self.client.save())
        return False

    def _await(self, holds: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise StalledError(f"{complaint}: {self.directory}")
            time.sleep(0.002)


def remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
