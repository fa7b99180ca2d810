"""Connection: a kept HTTP connection to a worker, cheap for whoever asks."""

import json
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_PATIENCE_SECONDS: Final = 10.0


def request(method: str, path: str, *headers: str) -> bytes:
    """A request without a body, with header lines such as `Cookie: a=b`."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 0", *filter(None, headers)]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered, and when it was sent and answered (time.monotonic)."""

    status: int
    body: bytes
    sent: float
    received: float

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Connection:
    """To a loopback port. One that `ask` saw break opens again with the next request."""

    def __init__(self, port: int, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._port, self._patience_seconds = port, patience_seconds
        self._socket: socket.socket | None = None
        self._received = b""
        self.sent = 0.0

    def close(self) -> None:
        """Let go of it."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def send(self, message: bytes) -> socket.socket:
        """Send a request, and give what tells when its answer arrives. Raises OSError."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=self._patience_seconds)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received, self.sent = b"", time.monotonic()
        self._socket.sendall(message)
        return self._socket

    def take(self) -> Answer | None:
        """Read what is there: the answer, or None where some of it has not arrived. Raises OSError."""
        assert self._socket is not None, "nothing was sent"
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
        if length is None or len(body) < length:
            return None
        if b"connection: close" in lines:
            self.close()
        return Answer(int(lines[0].split(b" ")[1]), body, self.sent, time.monotonic())

    def ask(self, message: bytes) -> Answer:
        """Send a request, and wait for its answer. Raises OSError."""
        try:
            self.send(message)
            while (answer := self.take()) is None:
                pass
        except OSError:
            self.close()
            raise
        return answer


def converse(asking: Mapping[Connection, Iterator[bytes]]) -> Iterator[tuple[Connection, Answer]]:
    """Ask on all connections at once, each its next request as soon as the last was answered, until all have ended.

    Raises OSError where a connection breaks, or where none of them is answered in time.
    """
    with selectors.DefaultSelector() as selector:
        turns = list(asking)
        while True:
            for connection in turns:
                message = next(asking[connection], None)
                if message is not None:
                    selector.register(connection.send(message), selectors.EVENT_READ, connection)
            if not selector.get_map():
                return
            events = selector.select(_PATIENCE_SECONDS)
            if not events:
                raise TimeoutError(f"no answer in {_PATIENCE_SECONDS:g} s")
            turns = []
            for key, _ in events:
                answer = key.data.take()
                if answer is not None:
                    selector.unregister(key.fileobj)
                    turns.append(key.data)
                    yield key.data, answer
