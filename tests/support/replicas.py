"""A replica of a server, which falls behind and then takes its place."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.proxy import Fault, Proxy, swallowed
from tests.support.servers import Server

_SYNC_SECONDS = 20

#: What the primary needs, so that a fresh replica is in sync at once and not after five seconds.
PRIMARY_OPTIONS = ("--appendonly", "no", "--repl-diskless-sync-delay", "0")


@dataclass(frozen=True)
class Replica:
    """The replica, its primary, and the link between them."""

    primary: Server
    server: Server
    link: Proxy

    def fall_behind(self) -> None:
        """From now on nothing that is written reaches it, and neither of the two servers notices."""
        self.link.begin(Fault(reply=swallowed))

    def take_over(self) -> None:
        """The primary dies, and a client that looks for it finds this replica in its place."""
        self.primary.kill()
        self.server.client().replicaof("NO", "ONE")
        self.server.socket.replace(self.primary.socket)
        self.primary.process = self.server.process


@contextlib.contextmanager
def replica_of(primary: Server) -> Iterator[Replica]:
    """The replica is in sync when the block begins."""
    with contextlib.ExitStack() as stack:
        link = Proxy(primary.socket)
        stack.callback(link.close)
        directory = primary.directory / "replica"
        directory.mkdir()
        server = Server(primary.make, directory, ("--replicaof", "127.0.0.1", str(link.port)))
        stack.callback(server.close)
        server.start()
        client = server.client()
        deadline = time.monotonic() + _SYNC_SECONDS
        while client.info("replication")["master_link_status"] != "up":
            assert time.monotonic() < deadline, "the replica does not get in sync"
            time.sleep(0.02)
        # The primary counts it from its first acknowledgement on, which may come a second later.
        assert primary.client().wait(1, 8_000) == 1, "the primary does not count the replica"
        yield Replica(primary, server, link)
