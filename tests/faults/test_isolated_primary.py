"""The primary of three is cut off together with a worker: it goes on answering, and must not be believed."""

import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import redis
from redis.sentinel import SentinelConnectionPool

from revocation import (
    Claims,
    DenylistUnavailableError,
    Guard,
    Handle,
    Lifetimes,
    RedisDenylist,
    RevokedTokenError,
    connect,
)
from revocation.cli.log_watch import LogWatch
from tests.support.proxy import Fault, swallowed
from tests.support.sentinels import Sentinels, three_nodes
from tests.support.servers import plain

BOUND_SECONDS = 1.0

#: How long the cut lasts with FAULTS_LONG=1; else until the guard that asks no replica has gone wrong often enough.
LONG_SECONDS = 10.0 if os.environ.get("FAULTS_LONG") == "1" else 0.0
ENOUGH = 20
PATIENCE_SECONDS = 30.0


@pytest.fixture(name="nodes")
def _nodes(tmp_path: Path) -> Iterator[Sentinels]:
    with three_nodes() as nodes:
        yield nodes


class Open:
    """Deny-lists, closed at the end of the test with everything that they opened."""

    def __init__(self) -> None:
        self.guards: list[Guard] = []
        self._clients: list[redis.Redis] = []

    def denylist(self, url: str, *, min_replicas: int) -> RedisDenylist:
        client = plain(connect(url, timeout_seconds=0.2))
        self._clients.append(client)
        pool = client.connection_pool
        if isinstance(pool, SentinelConnectionPool):
            self._clients += pool.sentinel_manager.sentinels
        return RedisDenylist(client, lifetimes=Lifetimes(leeway_seconds=5), min_replicas=min_replicas)

    def guard(self, url: str, *, min_replicas: int) -> Guard:
        guard = Guard(None, self.denylist(url, min_replicas=min_replicas), max_staleness=BOUND_SECONDS)
        self.guards.append(guard)
        return guard

    def close(self) -> None:
        for guard in self.guards:
            guard.stop()
        for client in self._clients:
            client.close()


@pytest.fixture(name="opened")
def _opened(nodes: Sentinels) -> Iterator[Open]:
    opened = Open()
    yield opened
    opened.close()


def claims(number: int) -> Claims:
    now = int(time.time())
    return Claims.from_mapping(
        {"iss": "https://auth.example", "sub": "ada", "jti": f"t{number}", "iat": now - 10, "exp": now + 900}
    )


def accepts(guard: Guard, token: Claims, *, max_staleness: float) -> bool:
    try:
        guard.check(token, max_staleness=max_staleness)
    except (RevokedTokenError, DenylistUnavailableError):
        return False
    return True


def test_an_isolated_primary_with_too_few_replicas_accepts_nothing_that_was_revoked_elsewhere(
    nodes: Sentinels, opened: Open
) -> None:
    majority = opened.denylist(nodes.url, min_replicas=1)
    majority.open(accept_existing=True)
    guarded = opened.guard(nodes.first_primary_url, min_replicas=1)
    unguarded = opened.guard(nodes.first_primary_url, min_replicas=0)
    tokens = [claims(number) for number in range(20)]
    assert accepts(guarded, tokens[0], max_staleness=BOUND_SECONDS)
    assert accepts(unguarded, tokens[0], max_staleness=BOUND_SECONDS)

    acknowledged: dict[int, float] = {}
    guards = {"guarded": guarded, "unguarded": unguarded}
    wrong = {(name, bound): 0 for name in guards for bound in (0.0, BOUND_SECONDS)}
    with nodes.proxy.faulty(Fault(request=swallowed, reply=swallowed)):
        began = time.monotonic()
        while (
            min(wrong["unguarded", 0.0], wrong["unguarded", BOUND_SECONDS]) < ENOUGH
            or time.monotonic() < began + LONG_SECONDS
        ):
            assert time.monotonic() < began + PATIENCE_SECONDS, f"the control does not go wrong: {wrong}"
            number = len(acknowledged)
            try:
                majority.revoke(Handle.token(tokens[number % len(tokens)]))
                acknowledged.setdefault(number % len(tokens), time.monotonic())
            except DenylistUnavailableError:
                time.sleep(0.02)
            for revoked, at in acknowledged.items():
                sent = time.monotonic()
                for bound in (0.0, BOUND_SECONDS):
                    for name, guard in guards.items():
                        if sent > at + bound:
                            wrong[name, bound] += accepts(guard, tokens[revoked], max_staleness=bound)

    # That the other one went wrong is what makes 0 mean something.
    assert [wrong["guarded", bound] for bound in (0.0, BOUND_SECONDS)] == [0, 0], wrong
    print(f"cut off for {time.monotonic() - began:.1f} s: {wrong}")  # noqa: T201 (the figures)


def test_followers_and_watches_follow_a_failover_and_know_everything_that_was_acknowledged(
    nodes: Sentinels, opened: Open
) -> None:
    revoker = opened.denylist(nodes.url, min_replicas=1)
    revoker.open(accept_existing=True)
    said: list[str] = []
    watch = LogWatch(opened.denylist(nodes.url, min_replicas=1), say=said.append).changes()
    guard = opened.guard(nodes.url, min_replicas=1)
    before, after, good = claims(1), claims(2), claims(3)
    assert accepts(guard, before, max_staleness=BOUND_SECONDS)
    revoker.revoke(Handle.token(before))

    with nodes.proxy.faulty(Fault(request=swallowed, reply=swallowed)):
        deadline = time.monotonic() + 60
        while True:
            try:
                revoker.revoke(Handle.token(after))
                break
            except DenylistUnavailableError:
                assert time.monotonic() < deadline, "no failover"
                time.sleep(0.05)
        while not accepts(guard, good, max_staleness=0):
            assert time.monotonic() < deadline, "good tokens are not accepted after the failover"
            time.sleep(0.05)
        assert not accepts(guard, before, max_staleness=0)
        assert not accepts(guard, after, max_staleness=0)
        watched = set()
        while after.token_id not in watched:
            watched |= {change.revocation.handle.value for change in islice(watch, 1) if change.revocation}
        assert before.token_id in watched
