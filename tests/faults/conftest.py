"""The service on a Redis that the tests may take away, with the proxy in between on which they do it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.support.proxy import Proxy
from tests.support.servers import Server, running
from tests.support.service import ADMIN_PASSWORD, Service, serving

#: What REVOCATION_TIMEOUT is in here.
TIMEOUT_SECONDS = 0.1

#: What an answer may take beyond it, on a machine that is busy with other tests.
PATIENCE_SECONDS = 3.0

PASSWORD = "a staple of another make"
ADMIN = {"username": "admin", "password": ADMIN_PASSWORD}

Ask = Callable[[], requests.Response]


@dataclass(frozen=True)
class Stage:
    """One worker process, so that each test knows what its breaker has seen."""

    service: Service
    store: Server
    proxy: Proxy
    #: An admin's access token, and one that was revoked before anything went wrong.
    token: str
    revoked: str
    #: A client's credentials.
    machine: tuple[str, str]

    def login(self, username: str = "admin") -> dict[str, Any]:
        """A new session, on a Redis that is well."""
        body = ADMIN if username == "admin" else {"username": username, "password": PASSWORD}
        tokens: dict[str, Any] = patiently(lambda: self.service.post("/auth/login", json=body), 200).json()
        return tokens

    def asks(self, method: str, path: str, **kwargs: Any) -> Ask:
        """A request to be sent later, perhaps more than once."""
        return lambda: self.service.request(method, path, **kwargs)


def patiently(ask: Ask, status: int) -> requests.Response:
    """The answer with this status; 503 is asked again, since a busy machine can be slower than the timeout."""
    deadline = time.monotonic() + 60
    while True:
        answer = ask()
        if answer.status_code == status:
            return answer
        assert answer.status_code == 503, f"{answer.status_code} {answer.text}"
        assert time.monotonic() < deadline, f"still 503: {answer.text}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running("valkey") as store:
        proxy = Proxy(store.socket)
        env = {
            "REVOCATION_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0",
            "REVOCATION_TIMEOUT": str(TIMEOUT_SECONDS),
            "REVOCATION_MAX_STALENESS": "0",
            "APP_WORKERS": "1",
        }
        with serving(tmp_path_factory.mktemp("faults"), **env) as service:
            workers = service.worker_pids()
            yield staged(service, store, proxy)
            assert_unharmed(service, workers)
        proxy.close()


def staged(service: Service, store: Server, proxy: Proxy) -> Stage:
    """Make the accounts and tokens that the table's requests use."""
    token = patiently(lambda: service.post("/auth/login", json=ADMIN), 200).json()["access_token"]
    revoked = patiently(lambda: service.post("/auth/login", json=ADMIN), 200).json()["access_token"]
    patiently(lambda: service.post("/auth/logout", token=revoked), 200)
    user = {"username": "ada", "password": PASSWORD, "scope": "reports:read"}
    patiently(lambda: service.post("/admin/users", token=token, json=user), 201)
    client = {"name": "nightly", "scope": "reports:read"}
    made = patiently(lambda: service.post("/admin/clients", token=token, json=client), 201).json()
    return Stage(service, store, proxy, token, revoked, (made["client_id"], made["client_secret"]))


def assert_unharmed(service: Service, workers: set[int]) -> None:
    """No worker died or hung, and nothing happened that nobody foresaw."""
    assert service.worker_pids() == workers
    assert "WORKER TIMEOUT" not in service.log
    assert "nobody foresaw" not in service.log
