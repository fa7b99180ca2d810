"""Proxy: a TCP link to a server's Unix socket, on which the faults of a network can be injected."""

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port

_END_SECONDS = 30

#: Passes some bytes on to a socket; False ends the connection, both ways and at once.
Deliver = Callable[[socket.socket, bytes], bool]


def delivered(to: socket.socket, data: bytes) -> bool:
    to.sendall(data)
    return True


def swallowed(to: socket.socket, data: bytes) -> bool:
    """Half open: nobody learns that nothing arrives."""
    return True


def cut(to: socket.socket, data: bytes) -> bool:
    return False


def truncated(to: socket.socket, data: bytes) -> bool:
    to.sendall(data[: len(data) // 2])
    return False


def late(seconds: float) -> Deliver:
    """The wait is the fault itself."""

    def deliver(to: socket.socket, data: bytes) -> bool:
        time.sleep(seconds)
        to.sendall(data)
        return True

    return deliver


def trickled(interval_seconds: float) -> Deliver:
    """One byte at a time."""

    def deliver(to: socket.socket, data: bytes) -> bool:
        for i in range(len(data)):
            to.sendall(data[i : i + 1])
            time.sleep(interval_seconds)
        return True

    return deliver


def one_in(count: int, fault: Deliver) -> Deliver:
    """Every so many deliveries one goes wrong like this, over all connections; the others arrive."""
    numbers = itertools.count(1)

    def deliver(to: socket.socket, data: bytes) -> bool:
        return (delivered if next(numbers) % count else fault)(to, data)

    return deliver


@dataclass(frozen=True)
class Fault:
    """What happens to requests on their way to the store, and to replies on their way back."""

    request: Deliver = delivered
    reply: Deliver = delivered
    #: Nobody listens at all: connections are refused, and those that were open are reset.
    refuse: bool = False
    #: Whether connections are reset when the fault is over, as those are that have lost bytes.
    resets: bool = False


NONE = Fault()


class Proxy:
    """Listens on a loopback port and passes on to a Unix socket, by the fault of the moment."""

    def __init__(self, upstream: Path) -> None:
        self._upstream = upstream
        self._fault = NONE
        self._open: set[socket.socket] = set()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The kernel takes a port that it chose itself away from a socket that no longer listens; a port that was asked
        # for stays, so that no other process gets it while this proxy refuses connections.
        self._listener.bind(("127.0.0.1", free_port()))
        self.port = int(self._listener.getsockname()[1])
        self._listen()

    def begin(self, fault: Fault) -> None:
        """From now on things go wrong; on connections from before, too."""
        self._fault = fault
        if fault.refuse:
            self._refuse()

    def heal(self) -> None:
        """Pass everything on again."""
        over, self._fault = self._fault, NONE
        if over.resets:
            self._hang_up()
        if over.refuse:
            self._listen()

    @contextlib.contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        """Within this block things go wrong."""
        self.begin(fault)
        try:
            yield
        finally:
            self.heal()

    def close(self) -> None:
        self._refuse()
        self._listener.close()

    def _listen(self) -> None:
        self._listener.listen(128)
        self._start(self._accept)

    def _refuse(self) -> None:
        # This wakes the thread that waits in accept, which closing alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._hang_up()

    def _hang_up(self) -> None:
        for connection in tuple(self._open):
            _wake(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            store = socket.socket(socket.AF_UNIX)
            try:
                store.connect(str(self._upstream))
            except OSError:
                _reset(client)
                store.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ended = threading.Barrier(2)
            self._start(self._pump, client, store, lambda: self._fault.request, ended)
            self._start(self._pump, store, client, lambda: self._fault.reply, ended)

    def _pump(
        self, source: socket.socket, target: socket.socket, deliver: Callable[[], Deliver], ended: threading.Barrier
    ) -> None:
        self._open.add(source)
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if self._fault.refuse or not deliver()(target, data):
                    break
        _wake(source)
        _wake(target)
        # A socket is closed when both directions have ended: the other thread may still read from it.
        with contextlib.suppress(threading.BrokenBarrierError):
            ended.wait(_END_SECONDS)
        self._open.discard(source)
        _reset(source)

    @staticmethod
    def _start(run: Callable[..., None], *args: object) -> None:
        threading.Thread(target=run, args=args, daemon=True).start()


def _wake(connection: socket.socket) -> None:
    """Whoever reads from it finds its end."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


def _reset(connection: socket.socket) -> None:
    """Close it so that the other end sees a reset, as after a crash or from a firewall."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
