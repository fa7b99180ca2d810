"""A small proxy between the service and a store, on which the faults of a network can be injected."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Fault:
    """What happens to requests on their way to the store, and to replies on their way back."""

    request: Deliver = delivered
    reply: Deliver = delivered
    #: Nobody listens at all: connections are refused, and those that were open are reset.
    refuse: bool = False


NONE = Fault()


class Proxy:
    """Listens on a loopback port and passes on to a Unix socket, by the fault of the moment."""

    def __init__(self, upstream: Path) -> None:
        self._upstream = upstream
        self._fault = NONE
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept, self._listener)

    @contextlib.contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        """Within this block things go wrong; connections from before it, too."""
        self._fault = fault
        if fault.refuse:
            self._refuse()
        try:
            yield
        finally:
            self._fault = NONE
            if fault.refuse:
                self._listener = socket.create_server(("127.0.0.1", self.port))
                self._start(self._accept, self._listener)

    def close(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        # Wakes the thread that waits in accept, which closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in tuple(self._open):
            _wake(connection)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            store = socket.socket(socket.AF_UNIX)
            try:
                store.connect(str(self._upstream))
            except OSError:
                _reset(client)
                store.close()
                continue
            ended = threading.Barrier(2)
            self._start(self._pump, client, store, lambda: self._fault.request, ended)
            self._start(self._pump, store, client, lambda: self._fault.reply, ended)

    def _pump(
        self, source: socket.socket, target: socket.socket, deliver: Callable[[], Deliver], ended: threading.Barrier
    ) -> None:
        self._open.add(source)
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if not deliver()(target, data):
                    break
        _wake(source)
        _wake(target)
        # Only when the other direction has ended: a socket that somebody still reads from is not closed.
        ended.wait()
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
