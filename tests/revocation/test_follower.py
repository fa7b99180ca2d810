"""Follower: what a process may decide from memory after a stop, a fork, a lost thread and an old epoch."""

import gc
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from revocation import DenylistUnavailableError, Guard, Handle, RedisDenylist
from revocation.redis.follower import Follower
from revocation.redis.head import Head
from tests.support.denylists import opened, until
from tests.support.servers import Server
from tests.support.tokens import ISSUER

ADA = Handle("session", "ada", issuer=ISSUER)


@pytest.fixture
def denylist(valkey: Server, namespace: str) -> RedisDenylist:
    made = opened(valkey.client(), namespace)
    born = made.head().birth_ms
    while made.now_ms() <= born:
        pass
    return made


class Stepped(Follower):
    def _ensure_running(self) -> None:
        self._id = self._id or "stepped"


@pytest.fixture
def follower(denylist: RedisDenylist) -> Iterator[Stepped]:
    made = Stepped(denylist, shortest_seconds=0.004, longest_seconds=60.0)
    made.beat()
    made.beat()
    assert made.look_up([ADA])[1] < 60
    yield made
    made.stop()


def test_a_stopped_follower_decides_nothing_from_memory(follower: Stepped) -> None:
    follower.stop()
    assert follower.look_up([ADA])[1] == math.inf


def test_what_was_stopped_follows_again_when_it_is_started(denylist: RedisDenylist) -> None:
    follower = Follower(denylist, shortest_seconds=1.0, longest_seconds=60.0)
    follower.start()
    until(lambda: follower.look_up([ADA])[1] < 60)
    follower.stop()
    denylist.revoke(ADA)
    assert follower.look_up([ADA])[1] == math.inf
    assert denylist.leases.living() == {}

    follower.start()
    try:
        until(lambda: follower.look_up([ADA])[1] < 60)
        assert follower.look_up([ADA])[0] == math.inf
        assert len(denylist.leases.living()) == 1
    finally:
        follower.stop()
    assert denylist.leases.living() == {}


def test_a_beat_from_before_a_stop_makes_nothing_fresh_after_it(
    follower: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The answer of the beat arrives when the follower was stopped and started again, and its lease was given back.
    take = Follower._take
    monkeypatch.setattr(follower, "_thread", threading.current_thread())

    def late(self: Follower, *answer: Any) -> None:
        monkeypatch.setattr(follower, "_thread", None)
        follower.stop()
        monkeypatch.setattr(follower, "_thread", threading.current_thread())
        follower.start()
        take(self, *answer)

    with monkeypatch.context() as patch:
        patch.setattr(Follower, "_take", late)
        follower.beat()
    assert follower.look_up([ADA])[1] == math.inf
    follower._thread = None


def test_what_a_fork_inherits_has_no_lease_and_decides_nothing(
    follower: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda _: None)
    follower._pid = 1
    Follower._ensure_running(follower)
    assert follower.state.age_seconds == math.inf
    follower._thread = None


def test_where_no_thread_starts_redis_is_asked_and_it_is_tried_again(
    denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    follower = Follower(denylist)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        assert follower.look_up([ADA])[1] == math.inf
    assert "does not start" in caplog.text
    follower.start()
    assert follower._thread is not None
    assert follower._thread.is_alive()
    follower.stop()


def test_a_follower_that_nobody_holds_ends_and_gives_its_lease_back(denylist: RedisDenylist) -> None:
    guard = Guard(None, denylist, bounds=[20])
    assert isinstance(guard.follower, Follower)
    guard.start()
    thread = guard.follower._thread
    assert thread is not None
    until(lambda: bool(denylist.leases.living()))

    del guard
    gc.collect()

    thread.join(10)
    assert not thread.is_alive()
    assert denylist.leases.living() == {}


FOLLOWS_AND_ENDS = """
import sys, time
from revocation import Guard, RedisDenylist, connect
denylist = RedisDenylist(connect(sys.argv[1], timeout_seconds=5), namespace=sys.argv[2])
guard = Guard(None, denylist, bounds=[20])
guard.start()
deadline = time.monotonic() + 60
while not denylist.leases.living() and time.monotonic() < deadline:
    time.sleep(0.01)
print(len(denylist.leases.living()))
"""


def test_a_process_that_ends_gives_its_lease_back_and_says_nothing(
    valkey: Server, denylist: RedisDenylist, namespace: str
) -> None:
    command = [sys.executable, "-c", FOLLOWS_AND_ENDS, valkey.url, namespace]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")
    # Its key would live for twenty seconds more.
    assert denylist.leases.living() == {}


def test_an_older_epoch_that_comes_back_is_noticed(follower: Stepped, denylist: RedisDenylist) -> None:
    client, key = denylist.link.client, denylist.key("head")
    old = client.get(key)
    denylist.open(new_epoch=True)
    for _ in range(3):
        follower.beat()
    known = follower._view.everything_ms
    client.set(key, old)  # type: ignore[arg-type]  # bytes

    with pytest.raises(DenylistUnavailableError, match="knows less"):
        follower.ask([[ADA]])
    follower.beat()
    assert follower.state.amnesia == 1
    assert Head.parse(client.get(key)).everything_ms > known  # type: ignore[arg-type]  # bytes


def test_an_empty_redis_is_not_kept_from_being_opened(valkey: Server, namespace: str) -> None:
    denylist = RedisDenylist(valkey.client(), namespace=namespace)
    follower = Stepped(denylist, shortest_seconds=0.004)
    for _ in range(3):
        with pytest.raises(DenylistUnavailableError, match="revocation init") as caught:
            follower.beat()
        follower._note_failure(caught.value)
    assert not denylist.link.breaker.is_open
    assert denylist.open()[1]
    follower.stop()


@pytest.mark.parametrize("last", ["x", "1", "-", "a-b"])
def test_a_head_without_a_place_in_the_log_is_unreadable(last: str) -> None:
    with pytest.raises(DenylistUnavailableError):
        Head.parse(f"1 e 5 {last} - 0 86400".encode())


def test_a_strict_bound_is_never_decided_from_memory(denylist: RedisDenylist, follower: Stepped) -> None:
    # By a coarse clock knowledge may be 0 s old.
    from revocation import Guard
    from tests.support.tokens import claims_of

    guard = Guard(None, denylist, follower=follower)
    stamp = follower._view.stamp
    follower._clock = lambda: stamp
    told: list[str] = []
    guard._on_decision = lambda decision: told.append(decision.source)
    guard.check(claims_of(issued_at_ms=denylist.now_ms()), max_staleness=0)
    assert told == ["redis"]


def test_more_entries_than_one_beat_reads_are_caught_up_with(
    denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("revocation.redis.follower._READ_AT_ONCE", 10)
    soon = denylist.now_ms() / 1000 + 600
    handles = [Handle("token", f"t-{number}", issuer=ISSUER, expires_at=soon) for number in range(35)]
    denylist.revoke_many(handles)
    epoch = denylist.head().epoch
    follower = Stepped(denylist, shortest_seconds=0.004)
    follower.start()
    for behind in range(3):
        follower.beat()
        assert follower.state.entries == 10 * (behind + 1)
        assert follower.look_up([ADA])[1] == math.inf, "it has not caught up"
    follower.beat()
    assert follower.state.entries == 35
    assert follower.state.age_seconds < math.inf
    assert (follower.state.breaks, denylist.head().epoch) == (0, epoch)
    follower.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_was_ended_is_started_again_by_the_next_question(
    denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(denylist, shortest_seconds=0.04)
    ended = threading.Event()
    beat = Follower.beat

    def ends_once(self: Follower) -> None:
        if not ended.is_set():
            ended.set()
            raise GeneratorExit
        beat(self)

    monkeypatch.setattr(Follower, "beat", ends_once)
    follower.start()
    first = follower._thread
    assert first is not None
    first.join(10)
    assert not first.is_alive()
    try:
        until(lambda: follower.look_up([ADA])[1] < 60)
        assert follower._thread is not first
    finally:
        follower.stop()


def test_while_its_link_is_down_the_gate_is_closed(follower: Stepped, denylist: RedisDenylist) -> None:
    # The first may be a connection that was closed, and is tried again.
    follower._note_failure(redis.ConnectionError("gone"))
    assert not denylist.link.breaker.is_open
    follower._note_failure(redis.ConnectionError("gone"))
    assert denylist.link.breaker.is_open
    with pytest.raises(DenylistUnavailableError, match="did not answer the last times"):
        follower.ask([[ADA]])
    follower.beat()
    assert not denylist.link.breaker.is_open
