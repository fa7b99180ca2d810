"""A replica of a rig's server, which falls behind and then takes its place."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.rig import Redis
from tests.faults.wire import Proxy

_SYNC_SECONDS = 20

#: What the primary needs, so that a fresh replica is in sync at once and not after five seconds.
PRIMARY_OPTIONS = ("--appendonly", "no", "--repl-diskless-sync-delay", "0")


@dataclass(frozen=True)
class Replica:
    """The replica, its primary, and the link between them."""

    primary: Redis
    server: Redis
    link: Proxy

    def fall_behind(self) -> None:
        """From now on nothing that is written reaches it, and nobody is told."""
        self.link.silent_down = True

    def take_over(self) -> None:
        """The primary dies, and who looks for it finds this one in its place."""
        self.primary.kill()
        self.server.client.replicaof("NO", "ONE")
        self.server.socket.replace(self.primary.socket)
        self.primary.process = self.server.process


@contextlib.contextmanager
def replica_of(primary: Redis) -> Iterator[Replica]:
    """In sync when the block begins."""
    with contextlib.ExitStack() as stack:
        link = Proxy(primary.socket)
        stack.callback(link.close)
        directory = primary.directory / "replica"
        directory.mkdir()
        server = Redis(primary.make, directory, ("--replicaof", "127.0.0.1", str(link.port)))
        stack.callback(server.close)
        server.start()
        deadline = time.monotonic() + _SYNC_SECONDS
        while server.client.info("replication")["master_link_status"] != "up":
            assert time.monotonic() < deadline, "the replica does not get in sync"
            time.sleep(0.02)
        yield Replica(primary, server, link)
