"""Server: a contestant that serves, in processes of its own."""

import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from loadtest.connection import Answer, Connection, request
from loadtest.contestants import NAMES, OUT, PATH, REVOCABLE, SIGN_IN, WORKER, Name, Setup
from loadtest.processes import cpu_seconds, keep_to_server_cores
from loadtest.serving import start
from tests.support import servers
from tests.support.ports import free_port

ROOT: Final = Path(__file__).parents[1]

#: Every write is on the disk before it is acknowledged, as with the embedded store.
_DURABLE: Final = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")

#: Many contestants start at once, on a machine that may have two cores and other work.
_START_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.02


def _pem(key: PrivateKeyTypes) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


#: How a new key of each algorithm is made.
ALGORITHMS: Final[Mapping[str, Callable[[], str]]] = {
    "ES256": lambda: _pem(ec.generate_private_key(ec.SECP256R1())),
    "RS256": lambda: _pem(rsa.generate_private_key(65537, 2048)),
    "EdDSA": lambda: _pem(ed25519.Ed25519PrivateKey.generate()),
    "HS256": lambda: secrets.token_urlsafe(32),
}


class WrongAnswerError(Exception):
    """A contestant does not do what it is there for, so nothing of it is measured."""


@contextlib.contextmanager
def store() -> Iterator[servers.Server]:
    """A Valkey to measure and to break, for contestants that `setup_on` sets up."""
    with servers.running("valkey", *_DURABLE) as valkey:
        yield valkey


def setup_on(valkey: servers.Server, *, algorithm: str = "ES256", redis_url: str = "") -> Setup:
    """What contestants on this store share: an open deny-list, and keys that nobody else has."""
    setup = Setup(redis_url=redis_url or valkey.url, signing_key=ALGORITHMS[algorithm](), algorithm=algorithm)
    setup.denylist.open(accept_existing=True)
    return setup


@dataclass(slots=True)
class Server:
    """One contestant."""

    name: Name
    setup: Setup
    port: int
    workers: int
    process: BaseProcess
    #: The server that it asks, if it asks one.
    behind: BaseProcess | None = None
    #: One connection to each worker, by the worker's process id.
    connections: dict[int, Connection] = field(default_factory=dict)

    @property
    def pids(self) -> list[int]:
        """Its first process, and that of the server that it asks."""
        return [process.pid for process in (self.process, self.behind) if process and process.pid]

    @property
    def cpu_seconds(self) -> float:
        """The CPU time of all their processes."""
        return cpu_seconds(*self.pids)

    @property
    def cache(self) -> tuple[int, int]:
        """Hits and misses of the token caches of all workers; zeros for contestants without one."""
        told = [connection.ask(request("GET", WORKER)).json() for connection in self.connections.values()]
        return sum(worker["hits"] for worker in told), sum(worker["misses"] for worker in told)

    def header(self, token: str) -> str:
        """What lets in the owner of a token."""
        return header_of(self.name, token)

    def admit(self, tokens: Iterable[str]) -> None:
        """Make that good, where it is not so by itself."""
        if self.name == "session":
            admit(self.setup, self.ask(request("POST", SIGN_IN)).body.decode(), tokens)

    def ask(self, message: bytes) -> Answer:
        """Ask one of the workers."""
        return next(iter(self.connections.values())).ask(message)

    def take_back(self, token: str, *, wait_seconds: float = 0.0) -> Answer:
        """Revoke a token, or what the contestant has in place of it. Raises WrongAnswerError."""
        answer = self.ask(request("POST", f"{OUT}?wait_seconds={wait_seconds}", self.header(token)))
        return self._right(answer, 200)

    def check(self, token: str) -> None:
        """See that it is right before it is fast.

        Who is signed in gets in and others do not; who was signed out does not, where that works. Raises
        WrongAnswerError.
        """
        refused = 200 if self.name == "none" else 401
        header = self.header(token)

        def get(*headers: str) -> Answer:
            return self.ask(request("GET", PATH, *headers))

        self.admit([token])
        self._right(get(), refused)
        # flask-jwt-extended says 422 where a signature is wrong.
        self._right(get(header[:-12] + "A" * 12), 422 if self.name == "jwt_extended" else refused)
        if "sub" not in self._right(get(header), 200).json():
            raise WrongAnswerError(f"{self.name} does not say whom it lets in")
        self.take_back(token, wait_seconds=2.0)
        self._right(get(header), 401 if self.name in REVOCABLE else 200)

    def to_each_worker(self) -> dict[int, Connection]:
        """New connections, one to each worker, as soon as it answers. Raises WrongAnswerError.

        Connections stay with the worker that took them.
        """
        found: dict[int, Connection] = {}
        deadline = time.monotonic() + _START_SECONDS
        while len(found) < self.workers:
            if self.process.exitcode is not None or time.monotonic() > deadline:
                raise WrongAnswerError(f"{len(found)} of {self.workers} workers of {self.name} answer")
            # Several are opened at once: a single connection always goes to the same idle worker.
            opened = [Connection(self.port) for _ in range(2 * self.workers)]
            for connection in opened:
                with contextlib.suppress(OSError):
                    worker = connection.ask(request("GET", WORKER)).json()["pid"]
                    if found.setdefault(worker, connection) is not connection:
                        connection.close()
            time.sleep(_LOOK_SECONDS)
        return found

    def _right(self, answer: Answer, status: int) -> Answer:
        if answer.status != status:
            raise WrongAnswerError(f"{self.name} answers {answer.status} where {status} is right")
        return answer


@contextlib.contextmanager
def serving(
    setup: Setup, directory: Path, *, names: Iterable[Name] = NAMES, workers: int = 1
) -> Iterator[dict[Name, Server]]:
    """Start contestants side by side, on the cores of servers, and wait until every worker of each answers."""
    with contextlib.ExitStack() as stack:
        started: dict[Name, Server] = {}
        for name in names:
            behind, its_setup = None, setup
            if name == "introspection":
                port = free_port()
                its_setup = replace(setup, introspect_url=f"http://127.0.0.1:{port}/introspect")
                behind = stack.enter_context(_started("introspected", setup, directory, port, workers))
            port = free_port()
            process = stack.enter_context(_started(name, its_setup, directory, port, workers))
            started[name] = Server(name, its_setup, port, workers, process, behind)
        for server in started.values():
            server.connections = server.to_each_worker()
            for pid in server.pids:
                keep_to_server_cores(pid)
        try:
            yield started
        finally:
            for server in started.values():
                for connection in server.connections.values():
                    connection.close()
                # All end at once, and then each is waited for.
                server.process.terminate()


@contextlib.contextmanager
def _started(name: str, setup: Setup, directory: Path, port: int, workers: int) -> Iterator[BaseProcess]:
    directory.mkdir(parents=True, exist_ok=True)
    process = start(name, setup, port=port, workers=workers, log=directory / f"{name}.log")
    try:
        yield process
    finally:
        process.terminate()
        process.join(10)
        if process.exitcode is None:
            process.kill()
            process.join(30)


def header_of(name: Name, token: str) -> str:
    """What lets in the owner of a token: the token, or a cookie that `admit` makes good."""
    if name == "session":
        return f"Cookie: session={_session_id(token)}"
    return f"Authorization: Bearer {token}"


def admit(setup: Setup, signed_in: str, tokens: Iterable[str]) -> None:
    """Make sessions of tokens: copies of one that Flask-Session made itself, whose id is given."""
    with contextlib.closing(setup.documented_redis()) as redis:
        record = redis.get(f"session:{signed_in}")
        if not isinstance(record, bytes):
            raise WrongAnswerError("the session that was made is not in Redis")
        redis.mset({f"session:{_session_id(token)}": record for token in tokens})


def _session_id(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
