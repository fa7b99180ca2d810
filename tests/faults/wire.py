"""Proxy: a TCP link to a server's Unix socket that can be cut, slowed, silenced and made to lie about its length."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path


class Proxy:
    """Passes everything on, until it is told otherwise. `up` is to the server, `down` from it."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self.refusing = False
        self.delay_up_seconds = 0.0
        self.delay_down_seconds = 0.0
        self.silent_up = False
        self.silent_down = False
        #: Every so many replies one is cut in half, and its connection with it; 0: none.
        self.truncate_every = 0
        self._replies = 0
        self._closed = False
        self._links: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        self.refusing = True
        self._hang_up()

    def heal(self) -> None:
        """Pass everything on again. Connections that lost bytes are closed, as a reset would."""
        broken = self.silent_up or self.silent_down
        self.refusing = self.silent_up = self.silent_down = False
        self.delay_up_seconds = self.delay_down_seconds = 0.0
        self.truncate_every = 0
        if broken:
            self._hang_up()

    def close(self) -> None:
        self._closed = True
        self._listener.close()
        self._hang_up()

    def _hang_up(self) -> None:
        for link in list(self._links):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self._target))
            except OSError:
                far.close()
                near.close()
                continue
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links |= {near, far}
            done = threading.Barrier(2)
            for source, sink, up in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(source, sink, up, done), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool, done: threading.Barrier) -> None:
        with contextlib.suppress(OSError):
            for data in self._read(source, up):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(threading.BrokenBarrierError):
            done.wait(30)
        source.close()
        self._links.discard(source)

    def _read(self, source: socket.socket, up: bool) -> Iterator[bytes]:
        while data := source.recv(65_536):
            delay = self.delay_up_seconds if up else self.delay_down_seconds
            if delay:
                time.sleep(delay)
            if self.silent_up if up else self.silent_down:
                continue
            if not up and self.truncate_every:
                self._replies += 1
                if self._replies % self.truncate_every == 0:
                    yield data[: len(data) // 2]
                    return
            yield data
