"""Redis goes and comes back, under a service with several workers."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import redis

from tests.faults.conftest import ADMIN, PATIENCE_SECONDS, TIMEOUT_SECONDS, assert_unharmed, patiently
from tests.support.forks import done
from tests.support.servers import Make, Server, running
from tests.support.service import Service, serving

ROOT = Path(__file__).parents[2]

#: How long until requests are decided again once Redis is back; the breaker tries once a second.
RECOVERY_SECONDS = 2.0


@contextmanager
def served(directory: Path, make: Make, *options: str, **env: str) -> Iterator[tuple[Service, Server]]:
    """The service on a server of its own, which must be alive and well at the end."""
    with ExitStack() as stack:
        store = stack.enter_context(running(make, *options))
        settings = {
            "REVOCATION_REDIS_URL": store.url,
            "REVOCATION_TIMEOUT": str(TIMEOUT_SECONDS),
            "REVOCATION_MAX_STALENESS": "0",
            **env,
        }
        service = stack.enter_context(serving(directory, **settings))
        workers = service.worker_pids()
        yield service, store
        assert_unharmed(service, workers)


def _tokens(service: Service) -> tuple[str, str]:
    """A live token, and a revoked one."""
    live, revoked = (
        patiently(lambda: service.post("/auth/login", json=ADMIN), 200).json()["access_token"] for _ in range(2)
    )
    patiently(lambda: service.post("/auth/logout", token=revoked), 200)
    return live, revoked


def _until_decided(service: Service, live: str, revoked: str, *, live_status: int = 200) -> float:
    """Seconds until every worker decides again: so many answers in a row that none was left out."""
    started = since = time.monotonic()
    in_a_row = 0
    while in_a_row < 30:
        for token, status in ((live, live_status), (revoked, 401)):
            answer = service.get("/api/me", token=token).status_code
            assert answer in (status, 503)
            if answer == 503:
                in_a_row, since = 0, time.monotonic()
            in_a_row += 1
        assert time.monotonic() - started < 20, "it does not come back"
    return since - started


def _revocation_milliseconds(timing: str) -> float:
    return float(timing.partition("revocation;dur=")[2].partition(";")[0])


@pytest.mark.parametrize("worker_class", ["gthread", "gevent", "sync"])
def test_a_hung_redis_is_503_at_the_timeout_then_at_once_and_back_within_two_seconds(
    tmp_path: Path, worker_class: str
) -> None:
    with served(tmp_path, "valkey", APP_WORKER_CLASS=worker_class) as (service, store):
        live, revoked = _tokens(service)
        with store.paused():
            spent = []
            for _ in range(60):
                started = time.monotonic()
                answer = service.get("/api/me", token=live)
                assert answer.status_code == 503
                assert answer.headers["Retry-After"]
                assert time.monotonic() - started < TIMEOUT_SECONDS + PATIENCE_SECONDS
                spent.append(_revocation_milliseconds(answer.headers["Server-Timing"]))
            assert max(spent) >= 1000 * TIMEOUT_SECONDS, "the first ones waited"
            assert median(spent) < 1000 * TIMEOUT_SECONDS / 2, "most were refused by the breaker, unasked"
            assert service.get("/verify?max_staleness=inf", token=live).status_code == 200
            assert service.post("/auth/logout", token=live).status_code == 503
        seconds = _until_decided(service, live, revoked)
        assert seconds < RECOVERY_SECONDS + 1, f"back after {seconds} s, on a machine that may be busy"
        assert service.post("/auth/logout", token=live).status_code == 200
        assert service.get("/api/me", token=live).status_code == 401


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_redis_that_was_killed_and_started_again_on_its_file_has_forgotten_nothing(
    tmp_path: Path, make: Make
) -> None:
    with served(tmp_path, make, "--appendonly", "yes", "--appendfsync", "always") as (service, store):
        live, revoked = _tokens(service)
        store.kill()
        for token in (live, revoked):
            answer = service.get("/api/me", token=token)
            assert (answer.status_code, bool(answer.headers["Retry-After"])) == (503, True)
        assert service.post("/auth/logout", token=live).status_code == 503
        assert service.get("/verify?max_staleness=inf", token=live).status_code == 200
        assert service.get("/healthz").json()["denylist"] == {"status": "unavailable"}
        store.start()
        _until_decided(service, live, revoked)


def test_a_redis_that_comes_back_empty_decides_nothing_until_somebody_opens_it(tmp_path: Path) -> None:
    with served(tmp_path, "valkey") as (service, store):
        live, revoked = _tokens(service)
        store.kill()
        store.start()
        _until_it_answers(store)
        deadline = time.monotonic() + 60
        while service.get("/healthz").json()["denylist"] != {"status": "empty"}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for _ in range(10):
            for token in (live, revoked):
                assert service.get("/api/me", token=token).status_code == 503
        assert service.post("/auth/login", json=ADMIN).status_code == 503
        assert service.post("/auth/logout", token=live).status_code == 503
        assert not store.client().exists("{denylist}:head"), "nothing that was asked opened it"

        assert done("app", "init", env=service.env, timeout_seconds=60).returncode == 0
        _until_decided(service, live, revoked, live_status=401)
        assert service.get("/api/me", token=service.login()["access_token"]).status_code == 200


def _until_it_answers(store: Server) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            store.client().ping()
        except redis.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


def test_a_hundred_connections_killed_in_the_middle_give_no_wrong_answer(tmp_path: Path) -> None:
    with served(tmp_path, "redis", APP_WORKER_CLASS="gthread") as (service, store):
        live, revoked = _tokens(service)
        answers: Counter[tuple[str, int]] = Counter()
        ended = threading.Event()

        def ask(name: str, token: str) -> None:
            while not ended.is_set():
                answers[name, service.get("/api/me", token=token).status_code] += 1

        threads = [threading.Thread(target=ask, args=one) for one in (("live", live), ("revoked", revoked)) * 3]
        for thread in threads:
            thread.start()
        try:
            _kill_connections(store.client(), 100)
        finally:
            ended.set()
            for thread in threads:
                thread.join(60)
        assert answers.keys() <= {("live", 200), ("live", 503), ("revoked", 401), ("revoked", 503)}
        assert answers["live", 200] > 0
        assert answers["revoked", 401] > 0
        _until_decided(service, live, revoked)


def _kill_connections(client: "redis.Redis", times: int) -> None:
    """One at a time, always the one that was used last: it is the likeliest to be in the middle of something."""
    asked: Callable[..., Any] = client.execute_command
    mine = int(asked("CLIENT", "ID"))
    deadline = time.monotonic() + 60
    killed = 0
    while killed < times:
        assert time.monotonic() < deadline, f"only {killed} connections could be killed"
        others = [one for one in client.client_list(_type="normal") if int(one["id"]) != mine]
        for one in sorted(others, key=lambda one: (int(one["idle"]), one["cmd"] != "mget", -int(one["id"])))[:1]:
            killed += int(asked("CLIENT", "KILL", "ID", one["id"]))
