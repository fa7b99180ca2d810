"""Connection: one kept HTTP connection, so that one worker is asked again and again, and little is spent on asking."""

import json
import socket
import time
from dataclasses import dataclass
from typing import Any, Final, Self

#: A header of a request: name and value.
Header = tuple[str, str]

_PATIENCE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request, and when the request was sent (time.monotonic)."""

    status: int
    sent: float
    worker: int
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Connection:
    """To a server on a loopback port; it connects when it is asked to send. Raises OSError where that ends."""

    def __init__(self, port: int, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._port = port
        self._patience_seconds = patience_seconds
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; the next request opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, method: str, path: str, *headers: Header) -> Answer:
        """Send one request without a body, and wait for its answer."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 0", *map(": ".join, headers)]
        request = "\r\n".join([*lines, "", ""]).encode()
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=self._patience_seconds)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sent = time.monotonic()
            self._socket.sendall(request)
            return self._answer(self._socket, sent)
        except OSError:
            self.close()
            raise

    def _answer(self, source: socket.socket, sent: float) -> Answer:
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += _some(source)
        status, *lines = received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = received[end + 4 :]
        while len(body) < int(headers.get("content-length", 0)):
            body += _some(source)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(status.split(" ")[1]), sent, int(headers.get("x-worker", 0)), body)


def _some(source: socket.socket) -> bytes:
    data = source.recv(65_536)
    if not data:
        raise ConnectionResetError("the server closed the connection")
    return data
