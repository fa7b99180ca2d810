"""Replicas: with `min_replicas` nothing counts that they do not have, neither an acknowledgement nor an answer."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from revocation import ConfigurationError, DenylistUnavailableError, Handle, Lifetimes, RedisDenylist, connect
from revocation.redis.follower import Follower
from tests.support.denylists import until
from tests.support.replicas import PRIMARY_OPTIONS, Replica, replica_of
from tests.support.servers import running
from tests.support.tokens import ISSUER

ADA = Handle("session", "s-ada", issuer=ISSUER)
BOB = Handle("session", "s-bob", issuer=ISSUER)


@pytest.fixture
def replica() -> Iterator[Replica]:
    with running("valkey", *PRIMARY_OPTIONS) as primary, replica_of(primary) as replica:
        yield replica


@pytest.fixture
def denylist(replica: Replica) -> Iterator[RedisDenylist]:
    denylist = RedisDenylist(connect(f"unix://{replica.primary.socket}", timeout_seconds=2), min_replicas=1)
    denylist.open(accept_existing=True)
    yield denylist
    denylist.link.close()


def test_what_was_acknowledged_is_there_after_a_failover(replica: Replica, denylist: RedisDenylist) -> None:
    denylist.revoke(ADA)
    replica.primary.kill()
    held = replica.server.client().get(denylist.key(ADA.name))
    assert isinstance(held, bytes)
    assert held.startswith(b"* ")


def test_without_its_replica_a_primary_is_not_believed(replica: Replica, denylist: RedisDenylist) -> None:
    """It looks well: the link is open, and what the replica acknowledged last was everything there was."""
    follower = Follower(denylist, shortest_seconds=0.004)
    follower._id = "stepped"
    follower.beat()
    stamp = follower._view.stamp
    assert denylist.latest_cutoff([ADA]) == 0
    denylist.link._wait_ms = 100

    replica.fall_behind()

    for ask in (
        lambda: denylist.latest_cutoff([ADA]),
        lambda: denylist.revoke(ADA),
        lambda: denylist.open(new_epoch=True),
        follower.beat,
    ):
        with pytest.raises(DenylistUnavailableError, match="Only 0 of 1 replicas"):
            ask()
    assert follower._view.stamp == stamp
    # Written where nobody may count on it: whoever asks this server still gets no answer.
    assert denylist.link.client.exists(denylist.key(ADA.name))
    with pytest.raises(DenylistUnavailableError):
        denylist.latest_cutoff([BOB])


class InTurns(list[Any]):
    """A pool's connections, the one first that was used longest ago."""

    def pop(self, index: Any = 0) -> Any:
        return super().pop(0)


def test_the_replicas_are_asked_on_the_connection_that_wrote(replica: Replica, denylist: RedisDenylist) -> None:
    """WAIT on a connection that has written nothing has nothing to wait for, and counts every replica there is."""
    pool: Any = denylist.link.client.connection_pool
    for connection in [pool.get_connection(), pool.get_connection()]:
        pool.release(connection)
    pool._available_connections = InTurns(pool._available_connections)
    denylist.link._wait_ms = 100
    replica.fall_behind()

    for ask in (lambda: denylist.latest_cutoff([ADA]), lambda: denylist.revoke(ADA)):
        with pytest.raises(DenylistUnavailableError, match="Only 0 of 1 replicas"):
            ask()


def test_a_minimum_that_is_no_majority_is_refused(replica: Replica) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(running("valkey", "--replicaof", "127.0.0.1", str(replica.link.port)))
        client = replica.primary.client()
        until(lambda: client.info("replication")["connected_slaves"] == 3)
        denylist = RedisDenylist(client, min_replicas=1)
        with pytest.raises(ConfigurationError, match="no majority of 4"):
            denylist.open()
        assert not client.exists(denylist.key("head"))


def test_a_server_that_has_forgotten_the_scripts_is_given_them_again_and_runs_each_once(
    replica: Replica, denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where somebody makes it forget them between the loading and the running."""
    client = replica.primary.client()
    load = type(denylist.link.client).script_load
    flushes = iter((True,))

    def forgotten(loading: Any, text: str) -> Any:
        loaded = load(loading, text)
        if next(flushes, False):
            client.script_flush()
        return loaded

    monkeypatch.setattr(type(denylist.link.client), "script_load", forgotten)
    client.script_flush()

    receipt = denylist.revoke(ADA)

    assert receipt.written
    assert client.xlen(denylist.key("log")) == 1
    assert replica.server.client().exists(denylist.key(ADA.name))
    assert denylist.latest_cutoff([ADA]) > 0


@pytest.mark.parametrize("lacks", ["the head", "the settings", "its time"])
def test_what_a_replica_lacks_is_no_answer_and_the_next_call_looks_for_the_primary(
    replica: Replica, denylist: RedisDenylist, lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A demoted server that lags: a script that writes nothing is not refused there, and knew of no primary."""
    life = 10**6 if lacks == "the settings" else 60
    here = RedisDenylist(
        connect(f"unix://{replica.server.socket}", timeout_seconds=2),
        lifetimes=Lifetimes(max_token_seconds=life),
    )
    if lacks == "its time":
        denylist.open(new_epoch=True)
        assert replica.primary.client().wait(1, 8_000) == 1
    if lacks == "the head":
        replica.primary.client().delete(denylist.key("head"))
        assert replica.primary.client().wait(1, 8_000) == 1
    left: list[bool] = []
    monkeypatch.setattr(here.link, "leave", lambda: left.append(True))

    with pytest.raises(DenylistUnavailableError, match="not the primary of the deny-list"):
        here.now_ms()

    assert left == [True]
