"""Serving: each application of `apps` on its server, and one request at a time to it, byte for byte."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests.support.processes import START_SECONDS, end
from tests.support.servers import short_directory

_ROOT: Final = Path(__file__).parents[2]

#: Every adapter, and the server that it runs on.
SERVERS: Final[dict[str, Literal["gunicorn", "uvicorn", "aiohttp"]]] = {
    "flask": "gunicorn",
    "wsgi": "gunicorn",
    "asgi": "uvicorn",
    "fastapi": "uvicorn",
    "django": "gunicorn",
    "django_async": "uvicorn",
    "rest_framework": "gunicorn",
    "ninja": "gunicorn",
    "ninja_async": "uvicorn",
    "litestar": "uvicorn",
    "quart": "uvicorn",
    "aiohttp": "aiohttp",
}


@dataclass(frozen=True)
class Got:
    """An answer: its status, the headers that an adapter decides, its body, and who decided (Server-Timing)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source: str


#: The headers that are compared.
HEADERS: Final = ("content-type", "content-length", "cache-control", "www-authenticate", "retry-after")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("api.example", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


@dataclass(frozen=True)
class Served:
    """A running application."""

    socket: Path
    log: Path

    def ask(self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> Got:
        with contextlib.closing(_UnixConnection(self.socket)) as connection:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if body and not any(name == "Transfer-Encoding" for name, _ in headers):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            content = answer.read()
        kept = tuple((name, answer.headers[name]) for name in HEADERS if name in answer.headers)
        source = (answer.getheader("server-timing") or "").partition("desc=")[2].strip('"')
        return Got(answer.status, kept, content, source)


@contextlib.contextmanager
def serving(name: str, **env: str) -> Iterator[Served]:
    """Run an application of `apps` on its server until the block ends."""
    with short_directory() as directory:
        path, log = directory / "http.sock", directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                _command(name, path),
                env={**os.environ, **env},
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            _wait(path, log, process)
            yield Served(path, log)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            end(process)


def _command(name: str, path: Path) -> list[str]:
    app = f"tests.adapters.apps:{name}"
    match SERVERS[name]:
        case "gunicorn":
            options = ["-b", f"unix:{path}", "-k", "gthread", "--threads", "4", "--no-control-socket", f"{app}()"]
            return [sys.executable, "-m", "gunicorn", *options]
        case "uvicorn":
            return [sys.executable, "-m", "uvicorn", "--factory", app, "--uds", str(path), "--no-access-log"]
        case "aiohttp":
            return [sys.executable, "-m", "aiohttp.web", "-U", str(path), app]


def _wait(path: Path, log: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if Served(path, log).ask("GET", "/open").status == 200:
                return
        assert process.poll() is None, f"the server ended: {log.read_text()}"
        assert time.monotonic() < deadline, f"the server does not serve: {log.read_text()}"
        time.sleep(0.05)
