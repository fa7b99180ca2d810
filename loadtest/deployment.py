"""Deployment: a contestant that serves, in processes of its own, with a directory of its own."""

import contextlib
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from app.service import Stores
from app.settings import Settings
from loadtest.connection import Answer, Connection, Header
from loadtest.contestants import MAX_STALENESS, NAMES, PATH, REVOCABLE
from loadtest.load import Target
from loadtest.processes import pin
from loadtest.results import ROOT, Contestant
from revocation.redis.embedded import socket_path

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0


#: In the log: gunicorn's master, and each of its workers.
_LISTENING: Final = re.compile(r"Listening at: http://127\.0\.0\.1:(\d+)")
_BOOTED: Final = re.compile(r"Booting worker with pid: (\d+)")


class WrongAnswerError(Exception):
    """A contestant does not do what it is there for, so nothing of it is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What all contestants of a comparison have in common."""

    algorithm: str = "ES256"
    worker_class: str = "gthread"
    workers: int = 1
    #: Of the deny-list's questions to Redis. A machine that does all of this at once is slow at times; where the
    #: timeout is not what is measured it is long.
    timeout_seconds: float = 1.0


class SignedOut(NamedTuple):
    """That something was taken back."""

    #: time.monotonic(), in the worker that did it.
    acknowledged_at: float
    #: What it took there.
    seconds: float


@dataclass(slots=True)
class Deployment:
    """One contestant. What it asks stands behind it, and counts with it."""

    name: Contestant
    directory: Path
    #: What it was started with.
    env: dict[str, str]
    process: "subprocess.Popen[bytes]"
    workers: int
    behind: "Deployment | None" = None
    port: int = field(default=0, init=False)
    _pids: tuple[int, ...] = field(default=(), init=False)

    @property
    def pids(self) -> tuple[int, ...]:
        """The worker processes, its own and of what stands behind it."""
        return self._pids + (self.behind.pids if self.behind else ())

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    @property
    def store(self) -> Path:
        """The directory of the Valkey that it brings along."""
        return self.behind.store if self.behind else self.directory

    def connect(self, *, patience_seconds: float = 10.0) -> Connection:
        """To ask it directly."""
        return Connection(self.port, patience_seconds=patience_seconds)

    def target(self, header: Header, **options: Any) -> Target:
        """For Locust's users."""
        return Target(name=self.name, url=f"http://127.0.0.1:{self.port}", path=PATH, header=header, **options)

    def sign_in(self) -> Header:
        """The header that lets a client in."""
        with self.connect() as connection:
            name, value = _right(self, connection.ask("POST", f"{PATH}/sign-in"), 200).json()
        return name, value

    def sign_out(self, header: Header, *, wait_seconds: float = 0.0) -> SignedOut:
        """Take that back, and let the contestant wait so long until it is enforced everywhere."""
        with self.connect() as connection:
            answer = connection.ask("POST", f"{PATH}/sign-out?wait_seconds={wait_seconds}", header)
        return SignedOut(**_right(self, answer, 200).json())

    def check(self) -> None:
        """Right before fast: who is signed in gets in, others do not, and who has signed out does not where that works.

        Raises WrongAnswerError.
        """
        name, value = header = self.sign_in()
        turned_away = 200 if self.name == "none" else 401
        with self.connect() as connection:
            # flask-jwt-extended says 422 where a signature is wrong.
            wrong = 422 if self.name == "jwt_extended" else turned_away
            _right(self, connection.ask("GET", PATH, (name, value[:-12] + "A" * 12)), wrong)
            _right(self, connection.ask("GET", PATH), turned_away)
            if _right(self, connection.ask("GET", PATH, header), 200).json() != {"sub": "ada"}:
                raise WrongAnswerError(f"{self.name} lets in somebody else")
            self.sign_out(header, wait_seconds=1.0)
            _right(self, connection.ask("GET", PATH, header), 401 if self.name in REVOCABLE else 200)

    def terminate(self) -> None:
        """Tell it to stop, and do not wait."""
        for one in (self, self.behind):
            if one is not None:
                one.process.terminate()

    def wait_until_ready(self) -> None:
        """Until all workers serve. Raises WrongAnswerError with the log where they do not."""
        if self.behind is not None:
            self.behind.wait_until_ready()
        deadline = time.monotonic() + _START_SECONDS
        while True:
            log = self._log.read_text("utf-8", "replace")
            if listening := _LISTENING.search(log):
                self.port = int(listening[1])
                self._pids = tuple(int(pid) for pid in _BOOTED.findall(log) if Path(f"/proc/{pid}").exists())
            with contextlib.suppress(OSError), self.connect() as connection:
                if len(self._pids) == self.workers and connection.ask("GET", "/readyz").status == 200:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise WrongAnswerError(f"{self.name} does not start:\n{log}")
            time.sleep(0.05)


def _right(deployment: Deployment, answer: Answer, status: int) -> Answer:
    if answer.status != status:
        raise WrongAnswerError(f"{deployment.name} answers {answer.status} where {status} is right")
    return answer


@contextlib.contextmanager
def deployed(
    name: Contestant,
    directory: Path,
    shape: Shape,
    *,
    redis_url: str = "embedded",
    env: Mapping[str, str] | None = None,
) -> Iterator[Deployment]:
    """Start a contestant, on a Valkey of its own unless a URL is given; `wait_until_ready` waits for it.

    Its signing keys lie beside its directory, the same for all that stand there.
    """
    more = dict(env or {})
    with contextlib.ExitStack() as stack:
        behind: Deployment | None = None
        if name == "introspection":
            behind = stack.enter_context(
                _served("none", directory.with_name(f"{name}-behind"), shape, redis_url=redis_url, env=more)
            )
            behind.wait_until_ready()
            if redis_url == "embedded":
                redis_url = f"unix://{socket_path(behind.directory)}"
            more["LOADTEST_INTROSPECT_URL"] = f"http://127.0.0.1:{behind.port}/oauth/introspect"
            more["LOADTEST_INTROSPECT_CLIENT"] = _registered_client(behind)
        contestant = stack.enter_context(_served(name, directory, shape, redis_url=redis_url, env=more))
        contestant.behind = behind
        yield contestant


@contextlib.contextmanager
def fleet(
    directory: Path,
    shape: Shape,
    *,
    names: Iterable[Contestant] = NAMES,
    redis_url: str = "embedded",
    core: int | None = None,
) -> Iterator[list[Deployment]]:
    """Start contestants side by side, see that each is right, and keep their workers to a core if one is named."""
    with contextlib.ExitStack() as stack:
        contestants = [
            stack.enter_context(deployed(name, directory / name, shape, redis_url=redis_url)) for name in names
        ]
        for contestant in contestants:
            contestant.wait_until_ready()
        # When none is busy starting any more: they have timeouts.
        for contestant in contestants:
            contestant.check()
            if core is not None:
                pin(contestant.pids, core)
        try:
            yield contestants
        finally:
            # All at once, and then each is waited for.
            for contestant in contestants:
                contestant.terminate()


@contextlib.contextmanager
def _served(
    name: Contestant, directory: Path, shape: Shape, *, redis_url: str, env: Mapping[str, str]
) -> Iterator[Deployment]:
    directory.mkdir(parents=True)
    settings = {
        "APP_BIND": "127.0.0.1:0",
        "APP_ISSUER": "https://auth.example",
        "APP_AUDIENCE": "https://api.example",
        "APP_DATA_DIR": str(directory),
        "APP_KEYS_DIR": str(directory.parent / "keys"),
        "APP_ALGORITHM": shape.algorithm,
        "APP_WORKER_CLASS": shape.worker_class,
        "APP_WORKERS": str(shape.workers),
        "APP_ADMIN_PASSWORD": secrets.token_urlsafe(12),
        "REVOCATION_REDIS_URL": redis_url,
        "REVOCATION_MAX_STALENESS": MAX_STALENESS.get(name, "inf"),
        "REVOCATION_TIMEOUT": str(shape.timeout_seconds),
        "LOADTEST_CONTESTANT": name,
        **env,
    }
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("APP_", "REVOCATION_"))}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "loadtest.serve", "serve"],
            env=inherited | settings,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C at the terminal is for the one who started it.
            start_new_session=True,
        )
    try:
        yield Deployment(name, directory, settings, process, shape.workers)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _registered_client(service: Deployment) -> str:
    """A client that may introspect: id and secret."""
    settings = {name: value for name, value in service.env.items() if name.startswith(("APP_", "REVOCATION_"))}
    stores = Stores.of(Settings.from_mapping(settings))
    try:
        client, secret = stores.clients.create("load test", scope="")
        return f"{client.client_id}:{secret}"
    finally:
        stores.database.close()
