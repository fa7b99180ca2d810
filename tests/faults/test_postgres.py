"""PostgreSQL goes and comes back: what needs it is 503, what does not goes on."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from tests.faults.conftest import ADMIN, assert_unharmed
from tests.support.postgres import new_database, postgres_url
from tests.support.proxy import Fault, Proxy, cut, swallowed
from tests.support.servers import Server
from tests.support.service import Service, serving

__all__ = ["postgres_url"]

#: Generous: a connection that hangs is given up after 6 s, and the attempt to open another one after 5 s.
PATIENCE_SECONDS = 25

FAULTS = {
    "it refuses connections": Fault(refuse=True),
    "it takes statements and never answers": Fault(request=swallowed),
    "its connections are reset": Fault(reply=cut),
}


@dataclass(frozen=True)
class Stage:
    service: Service
    proxy: Proxy


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    valkey: Server,
) -> Iterator[Stage]:
    with new_database(postgres_url) as url:
        behind = sa.make_url(url)
        proxy = Proxy(Path(str(behind.query["host"])) / ".s.PGSQL.5432")
        env = {
            "REVOCATION_REDIS_URL": valkey.url,
            "REVOCATION_NAMESPACE": "without-postgres",
            "APP_DATABASE_URL": f"postgresql://{behind.username}@127.0.0.1:{proxy.port}/{behind.database}",
        }
        with serving(tmp_path_factory.mktemp("postgres"), **env) as service:
            workers = service.worker_pids()
            yield Stage(service, proxy)
            assert_unharmed(service, workers)
        proxy.close()


def _warm(service: Service) -> None:
    """Connections in the pools of both workers, which the fault then takes by surprise."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: service.login(), range(4)))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_what_needs_postgres_is_503_and_a_token_is_decided_without_it(stage: Stage, fault: Fault) -> None:
    service = stage.service
    token = service.login()["access_token"]
    login = service.login()
    leaving, session_id = login["access_token"], login["session_id"]
    _warm(service)
    answers: dict[str, requests.Response] = {}
    spent: dict[str, float] = {}

    def ask(name: str, method: str, path: str, **kwargs: Any) -> None:
        started = time.monotonic()
        answers[name] = service.request(method, path, timeout=60, **kwargs)
        spent[name] = time.monotonic() - started

    with stage.proxy.faulty(fault):
        waiting = [
            threading.Thread(target=ask, args=("login", "POST", "/auth/login"), kwargs={"json": ADMIN}),
            threading.Thread(target=ask, args=("audit", "GET", "/admin/audit"), kwargs={"token": token}),
            threading.Thread(target=ask, args=("logout", "POST", "/auth/logout"), kwargs={"token": leaving}),
        ]
        for thread in waiting:
            thread.start()
        for _ in range(20):
            assert service.get("/api/me", token=token).status_code == 200
        for thread in waiting:
            thread.join(60)
        assert service.get("/api/me", token=leaving).status_code == 401

    assert {name: answer.status_code for name, answer in answers.items()} == {"login": 503, "audit": 503, "logout": 200}
    for name in ("login", "audit"):
        assert answers[name].headers["Retry-After"] == "1"
        assert answers[name].json()["reason"] == "unavailable"
    assert max(spent.values()) < PATIENCE_SECONDS
    service.login()
    answer = service.get("/admin/audit?action=session.logout&limit=1", token=token)
    assert answer.status_code == 200
    assert answer.json()["records"][0]["target"] == session_id
