"""Deployment: a contestant that serves, in processes of its own, with a directory and a Valkey of its own."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

from app.settings import Settings
from app.stores import Stores
from loadtest.connection import Answer, Connection, Header
from loadtest.contestants import MAX_STALENESS, NAMES, PATH, REVOCABLE, SIGN_IN, SIGN_OUT
from loadtest.counters import Counters
from loadtest.load import Target
from loadtest.processes import pin
from loadtest.results import Contestant
from tests.support.servers import Server, running
from tests.support.service import Service, starting

#: Every write is on the disk before it is acknowledged, as with the embedded store.
_DURABLE: Final = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")


#: Nine contestants start at once, on a machine that may have two cores and other work.
_START_SECONDS: Final = 180.0


#: How often a check asks again where nothing was decided, and after which pause.
_UNDECIDED_AT_MOST: Final = 50
_UNDECIDED_SECONDS: Final = 0.1


class WrongAnswerError(Exception):
    """A contestant does not do what it is there for, so nothing of it is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The settings that all contestants of a comparison have in common."""

    algorithm: str = "ES256"
    worker_class: str = "gthread"
    workers: int = 1
    #: How long a question of the deny-list waits for Redis. A machine that does all of this at once is slow at times;
    #: where the timeout is not what is measured it is long.
    timeout_seconds: float = 1.0


class SignedOut(NamedTuple):
    """The acknowledgement that something was taken back."""

    #: time.monotonic() when it was given, in the worker that gave it.
    acknowledged_at: float
    #: The duration of the call in that worker.
    seconds: float


@dataclass(slots=True)
class Deployment:
    """One contestant. A service that it asks stands behind it, and counts with it."""

    name: Contestant
    service: Service
    store: Server
    behind: "Deployment | None" = None

    @property
    def pids(self) -> tuple[int, ...]:
        """The worker processes, its own and those of the service behind it."""
        return (*self.service.worker_pids(), *(self.behind.pids if self.behind else ()))

    @property
    def counters(self) -> Counters:
        """The counters of its Valkey."""
        return Counters(self.store.client())

    @property
    def _port(self) -> int:
        return int(self.service.url.rpartition(":")[2])

    def connect(self, *, patience_seconds: float = 10.0) -> Connection:
        """To ask it directly."""
        return Connection(self._port, patience_seconds=patience_seconds)

    def target(self, header: Header, **options: Any) -> Target:
        """For Locust's users."""
        return Target(name=self.name, url=self.service.url, path=PATH, header=header, **options)

    def sign_in(self) -> Header:
        """The header that lets a client in."""
        with self.connect() as connection:
            name, value = self._right(connection.ask("POST", SIGN_IN), 200).json()
        return name, value

    def sign_out(self, header: Header, *, wait_seconds: float = 0.0) -> SignedOut:
        """Take that back, and let the contestant wait so long until it is enforced everywhere."""
        with self.connect() as connection:
            answer = connection.ask("POST", f"{SIGN_OUT}?wait_seconds={wait_seconds}", header)
        return SignedOut(**self._right(answer, 200).json())

    def check(self) -> None:
        """See that it is right before it is fast.

        A client that is signed in gets in and others do not; a client that has signed out does not where that works.
        Raises WrongAnswerError.
        """
        name, value = header = self.sign_in()
        turned_away = 200 if self.name == "none" else 401
        with self._asking() as ask:
            # flask-jwt-extended says 422 where a signature is wrong.
            wrong = 422 if self.name == "jwt_extended" else turned_away
            self._right(ask((name, value[:-12] + "A" * 12)), wrong)
            self._right(ask(), turned_away)
            if self._right(ask(header), 200).json() != {"sub": "ada"}:
                raise WrongAnswerError(f"{self.name} lets in somebody else")
            self.sign_out(header, wait_seconds=1.0)
            self._right(ask(header), 401 if self.name in REVOCABLE else 200)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Callable[..., Answer]]:
        """Ask on one connection; a 503 decides nothing, and is asked again: contestants side by side are slow."""
        with self.connect() as connection:

            def ask(*header: Header) -> Answer:
                answer = connection.ask("GET", PATH, *header)
                for _ in range(_UNDECIDED_AT_MOST):
                    if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
                        break
                    time.sleep(_UNDECIDED_SECONDS)
                    answer = connection.ask("GET", PATH, *header)
                return answer

            yield ask

    def wait_until_ready(self) -> None:
        """Wait until all workers serve. Raises WrongAnswerError with the log where they do not."""
        try:
            self.service.wait_until_ready(within_seconds=_START_SECONDS)
        except AssertionError as error:
            raise WrongAnswerError(f"{self.name}: {error}") from error

    def _right(self, answer: Answer, status: int) -> Answer:
        if answer.status != status:
            raise WrongAnswerError(f"{self.name} answers {answer.status} where {status} is right")
        return answer


@contextlib.contextmanager
def valkey() -> Iterator[Server]:
    """A Valkey to measure and to break."""
    with running("valkey", *_DURABLE) as server:
        yield server


@contextlib.contextmanager
def deployed(
    name: Contestant,
    directory: Path,
    shape: Shape,
    *,
    store: Server | None = None,
    redis_url: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Deployment]:
    """Start a contestant, on a Valkey of its own unless one is given; `wait_until_ready` waits for it.

    It reaches the Valkey by the URL, if one is given. Its signing keys lie beside its directory, the same for all that
    stand there.
    """
    with contextlib.ExitStack() as stack:
        store = store or stack.enter_context(valkey())
        settings = {
            "APP_ISSUER": "https://auth.example",
            "APP_AUDIENCE": "https://api.example",
            "APP_KEYS_DIR": str(directory.parent / "keys"),
            "APP_ALGORITHM": shape.algorithm,
            "APP_WORKER_CLASS": shape.worker_class,
            "APP_WORKERS": str(shape.workers),
            "APP_ADMIN_PASSWORD": secrets.token_urlsafe(12),
            "REVOCATION_REDIS_URL": redis_url or store.url,
            "REVOCATION_MAX_STALENESS": MAX_STALENESS.get(name, "inf"),
            "REVOCATION_TIMEOUT": str(shape.timeout_seconds),
            "LOADTEST_CONTESTANT": name,
            **(env or {}),
        }
        behind = None
        if name == "introspection":
            beside = directory.with_name(f"{name}-behind")
            behind = stack.enter_context(deployed("none", beside, shape, store=store, redis_url=redis_url, env=env))
            behind.wait_until_ready()
            settings["LOADTEST_INTROSPECT_URL"] = f"{behind.service.url}/oauth/introspect"
            settings["LOADTEST_INTROSPECT_CLIENT"] = _registered_client(behind.service)
        service = stack.enter_context(starting(directory, program="loadtest.serve", how="exec", **settings))
        yield Deployment(name, service, store, behind)


@contextlib.contextmanager
def fleet(
    directory: Path,
    shape: Shape,
    *,
    names: Iterable[Contestant] = NAMES,
    store: Server | None = None,
    redis_url: str | None = None,
    core: int | None = None,
) -> Iterator[list[Deployment]]:
    """Start contestants side by side, see that each is right, and keep their workers to a core if one is named."""
    with contextlib.ExitStack() as stack:
        contestants = [
            stack.enter_context(deployed(name, directory / name, shape, store=store, redis_url=redis_url))
            for name in names
        ]
        for contestant in contestants:
            contestant.wait_until_ready()
        # The checks begin when no contestant is busy starting any more, because they have timeouts.
        for contestant in contestants:
            contestant.check()
            if core is not None:
                pin(contestant.pids, core)
        try:
            yield contestants
        finally:
            # All end at once, and then each is waited for.
            for contestant in contestants:
                contestant.service.process.terminate()


def _registered_client(service: Service) -> str:
    """A client that may introspect: id and secret."""
    settings = {name: value for name, value in service.env.items() if name.startswith(("APP_", "REVOCATION_"))}
    stores = Stores.of(Settings.from_mapping(settings))
    try:
        client, secret = stores.clients.create("load test", scope="")
        return f"{client.client_id}:{secret}"
    finally:
        stores.database.close()
