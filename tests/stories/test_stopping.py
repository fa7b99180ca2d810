"""Servers stop one after the other behind a load balancer that asks `/readyz`, and no request fails."""

import contextlib
import functools
import http.client
import itertools
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stories.workers import workers
from tests.support.servers import Server
from tests.support.service import Service, starting

PATIENCE_SECONDS = 60
#: Long enough for the balancer to ask a few times on a busy machine.
DRAIN_SECONDS = 3
CLIENTS = 4


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def ready(service: Service) -> int | None:
    """The status of `/readyz` on a new connection; None where nobody listens."""
    connection = http.client.HTTPConnection(*address(service), timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    return None


def address(service: Service) -> tuple[str, int]:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return host, int(port)


class Balancer:
    """Clients that keep connections to every server that was ready when it was last asked, a few times a second."""

    def __init__(self, services: list[Service], path: str, token: str) -> None:
        self._services = services
        self._request = (path, {"Authorization": f"Bearer {token}"})
        self.ready = set(range(len(services)))
        self.answered: Counter[int] = Counter()
        self.failed: list[str] = []
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask),
            *(threading.Thread(target=self._load) for _ in range(CLIENTS)),
        ]

    def __enter__(self) -> "Balancer":  # noqa: PYI034
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def more(self, number: int) -> None:
        """Wait for so many further answers."""
        enough = self.answered.total() + number
        until(lambda: self.answered.total() >= enough or bool(self.failed), "the load goes on")
        assert not self.failed

    def _ask(self) -> None:
        while not self._ended.wait(0.1):
            for number, service in enumerate(self._services):
                (self.ready.add if ready(service) == 200 else self.ready.discard)(number)

    def _load(self) -> None:
        kept: dict[int, http.client.HTTPConnection] = {}
        for turn in itertools.count():
            if self._ended.wait(0.01):
                break
            now = sorted(self.ready)
            number = now[turn % len(now)]
            connection = kept.pop(number, None) or http.client.HTTPConnection(
                *address(self._services[number]), timeout=PATIENCE_SECONDS
            )
            try:
                connection.request("GET", self._request[0], headers=self._request[1])
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{self._services[number].env['APP_WORKER_CLASS']}: {error!r}")
                break
            self.answered[number] += 1
            if answer.status != 200:
                self.failed.append(f"{self._services[number].env['APP_WORKER_CLASS']}: {answer.status}")
            if answer.will_close:
                connection.close()
            else:
                kept[number] = connection
        for connection in kept.values():
            connection.close()


@pytest.fixture
def fleet(tmp_path: Path, valkey: Server, namespace: str) -> Iterator[list[Service]]:
    """A server of each class of workers, and one that stays, on one Redis and one database."""
    env = {
        "REVOCATION_REDIS_URL": valkey.url,
        "REVOCATION_NAMESPACE": namespace,
        "APP_ISSUER": "https://auth.example",
        "APP_WORKERS": "1",
        "APP_DRAIN_SECONDS": str(DRAIN_SECONDS),
        "APP_DATABASE_URL": f"sqlite:///{tmp_path / 'app.sqlite3'}",
        "APP_KEYS_DIR": str(tmp_path / "keys"),
    }
    with contextlib.ExitStack() as stack:
        services = []
        for name, worker_class in (("stays", "gthread"), ("a", "gthread"), ("b", "gevent"), ("c", "sync")):
            services.append(stack.enter_context(starting(tmp_path / name, **env | {"APP_WORKER_CLASS": worker_class})))
            if name == "stays":
                services[0].wait_until_ready()  # it makes what all share
        for service in services:
            service.wait_until_ready()
        yield services


def test_servers_are_reloaded_upgraded_and_stopped_and_no_request_fails(fleet: list[Service]) -> None:
    upgraded, reloaded = fleet[0], fleet[1]
    token = upgraded.login()["access_token"]
    with contextlib.ExitStack() as stack:
        load = stack.enter_context(Balancer(fleet, "/api/me", token))
        load.more(100)

        # A reload replaces the workers.
        before = workers(reloaded)
        reloaded.process.send_signal(signal.SIGHUP)
        until(lambda: not before & workers(reloaded), "the old workers end")

        # An upgrade begins with two servers at one address; then the old one stops, and its address stays in service.
        upgraded.process.send_signal(signal.SIGUSR2)
        until(lambda: len(upgraded.worker_pids()) == 2, "the new server starts its worker")
        new = int(re.findall(r"Listening at: \S+ \((\d+)\)", upgraded.log)[-1])
        stack.callback(lambda: os.kill(new, signal.SIGTERM))
        load.more(100)
        upgraded.process.send_signal(signal.SIGTERM)
        assert upgraded.process.wait(PATIENCE_SECONDS) == 0
        load.more(100)
        assert load.ready == {0, 1, 2, 3}

        for number, service in enumerate(fleet[1:], start=1):
            # Told twice, as a process group and its parent may be.
            service.process.send_signal(signal.SIGTERM)
            service.process.send_signal(signal.SIGTERM)
            until(functools.partial(_is_draining, service), "it is ready no more")
            assert service.get("/api/me", token=token).status_code == 200, "it still serves"
            assert service.get("/healthz").headers["Connection"] == "close", "and asks nobody to stay"
            assert service.process.wait(PATIENCE_SECONDS) == 0
            assert ready(service) is None
            assert number not in load.ready
        load.more(100)
    assert not load.failed
    assert all(load.answered[number] for number in range(len(fleet)))


def _is_draining(service: Service) -> bool:
    return ready(service) == 503


def test_who_connects_after_the_listener_has_closed_is_refused_and_does_not_wait(
    tmp_path: Path, valkey: Server, namespace: str
) -> None:
    """A request that is still running must not keep the address open for others."""
    env = {"REVOCATION_REDIS_URL": valkey.url, "REVOCATION_NAMESPACE": namespace, "APP_WORKERS": "1"}
    with starting(tmp_path, **env) as service:
        service.wait_until_ready()
        slow = socket.create_connection(address(service), timeout=PATIENCE_SECONDS)
        with contextlib.closing(slow):
            slow.sendall(
                b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{"
            )
            service.process.send_signal(signal.SIGTERM)
            until(lambda: ready(service) is None, "the address is closed")
            assert service.process.poll() is None, "while the request goes on"
            slow.sendall(b"}")
            assert slow.recv(100).startswith(b"HTTP/1.1 400 ")
        assert service.process.wait(PATIENCE_SECONDS) == 0
