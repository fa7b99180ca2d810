"""The follower beat by beat, without its thread, by a clock of the test's own."""

import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from revocation import (
    DenylistEmptyError,
    DenylistUnavailableError,
    Guard,
    Handle,
    Receipt,
    RedisDenylist,
    RevokedTokenError,
)
from revocation.denylist import UNCONDITIONAL, Note
from revocation.handles import Kind
from revocation.redis.clock import boottime
from revocation.redis.follower import Follower
from revocation.redis.head import Head
from revocation.redis.records import about_revocation
from revocation.redis.view import View
from tests.support.denylists import opened
from tests.support.heads import text_of
from tests.support.round_trips import RoundTrips
from tests.support.servers import Server
from tests.support.tokens import ISSUER, claims_of

ADA = Handle("session", "s-ada", issuer=ISSUER)
BOB = Handle("session", "s-bob", issuer=ISSUER)
EVE = Handle("subject", "eve", issuer=ISSUER)
KEY = Handle("key", "k-1", issuer=ISSUER)


class Clock:
    """Stands still, or does something when it is read."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stepped(Follower):
    """Beats when the test says so."""

    def _ensure_running(self) -> None:
        self._id = self._id or "stepped"

    def until_fresh(self) -> "Stepped":
        # After an epoch began nothing is known before Redis' clock has passed the cut-off of everything.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.beat()
            if self._next is None and self._view.stamp > -math.inf:
                return self
        raise AssertionError("it does not catch up")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def denylist(valkey: Server, namespace: str) -> RedisDenylist:
    made = opened(valkey.client(), namespace)
    # What is written in the millisecond in which an epoch opens counts as from before it.
    born = made.head().birth_ms
    while made.now_ms() <= born:
        pass
    return made


@pytest.fixture
def follower(denylist: RedisDenylist, clock: Clock) -> Iterator[Stepped]:
    # Bounds so short that a beat waits for nothing.
    made = Stepped(denylist, shortest_seconds=0.004, longest_seconds=2.0, clock=clock)
    made.start()
    yield made
    made.stop()


def client(denylist: RedisDenylist) -> "redis.Redis":
    return denylist.link.client


def snapshot(denylist: RedisDenylist) -> dict[str, bytes]:
    """Everything in the namespace, as a backup holds it."""
    keys = client(denylist).keys(denylist.key("*").replace("{", "\\{"))
    return {key.decode(): client(denylist).dump(key) for key in keys}  # type: ignore[union-attr,misc]  # a list of bytes


def restore(denylist: RedisDenylist, backup: dict[str, bytes]) -> None:
    for key in client(denylist).keys(denylist.key("*")):
        client(denylist).delete(key)
    for name, value in backup.items():
        client(denylist).restore(name, 0, value)


# When it knows


def test_knowledge_is_as_old_as_the_question(follower: Stepped, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    follower.until_fresh()
    take = Follower._take

    def answered_late(self: Follower, *answer: Any) -> None:
        clock.now += 3.0
        take(self, *answer)

    monkeypatch.setattr(Follower, "_take", answered_late)
    follower.beat()
    assert follower.look_up([ADA])[1] == 3.0


def test_a_pause_between_look_up_and_clock_makes_it_older(
    follower: Stepped, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower.until_fresh()
    look = View.latest_cutoff

    def paused(self: View, handles: Any) -> float:
        found = look(self, handles)
        clock.now += 3.0
        return found

    monkeypatch.setattr(View, "latest_cutoff", paused)
    assert follower.look_up([ADA])[1] == 3.0


def test_what_arrives_between_stamp_and_look_up_is_seen(
    follower: Stepped, denylist: RedisDenylist, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process that is paused in a decision, and whose follower wakes up first: whoever reads the stamp last takes the
    # old look-up for fresh.
    follower.until_fresh()
    look = View.latest_cutoff

    def overtaken(self: View, handles: Any) -> float:
        found = look(self, handles)
        clock.now += 3.0
        denylist.revoke(ADA)
        follower.until_fresh()
        return found

    monkeypatch.setattr(View, "latest_cutoff", overtaken)
    cutoff, age = follower.look_up([ADA])
    assert cutoff == UNCONDITIONAL or age == 3.0


def test_it_applies_first_and_stamps_last(
    follower: Stepped, denylist: RedisDenylist, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower.until_fresh()
    denylist.revoke(ADA)
    clock.now += 5.0
    ages = []
    apply = View.apply

    def seen(self: View, *args: Any, **kwargs: Any) -> Any:
        ages.append(follower.state.age_seconds)
        return apply(self, *args, **kwargs)

    monkeypatch.setattr(View, "apply", seen)
    follower.beat()
    assert ages == [5.0]
    assert follower.state.age_seconds == 0.0


def test_the_clock_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: -1.0)
    assert boottime() == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=5)


def test_who_knows_too_little_asks_and_who_cannot_ask_says_neither_yes_nor_no(
    follower: Stepped, denylist: RedisDenylist, clock: Clock
) -> None:
    guard = Guard(None, denylist, follower=follower)
    claims = claims_of(issued_at_ms=denylist.now_ms(), tolerance_seconds=-60)
    follower.until_fresh()
    clock.now += 1.5
    denylist.link.breaker.trip()
    guard.check(claims, max_staleness=1.9)
    for bound in (0, 1.0):
        with pytest.raises(DenylistUnavailableError):
            guard.check(claims, max_staleness=bound)


# What it reads


def test_it_begins_with_the_oldest_entry(follower: Stepped, denylist: RedisDenylist) -> None:
    denylist.revoke(ADA)
    denylist.revoke(BOB)
    follower.until_fresh()
    assert [follower.look_up([one])[0] for one in (ADA, BOB)] == [UNCONDITIONAL, UNCONDITIONAL]


def test_of_several_cutoffs_the_latest_counts_in_any_order(follower: Stepped, denylist: RedisDenylist) -> None:
    client_ = Handle("client", "c", issuer=ISSUER)
    now = denylist.now_ms()
    denylist.revoke(EVE, issued_before_ms=now - 1000)
    denylist.revoke(client_, issued_before_ms=now - 5000)
    follower.until_fresh()
    for handles in ([EVE, client_], [client_, EVE]):
        assert follower.look_up(handles)[0] == now - 1000


def test_a_chained_entry_of_a_newer_form_ends_all_answers(follower: Stepped, denylist: RedisDenylist) -> None:
    denylist.revoke(ADA)
    follower.until_fresh()
    _append(denylist, "something new")
    follower.beat()
    with pytest.raises(DenylistUnavailableError):
        follower.look_up([BOB])


def test_junk_is_counted_and_harms_nobody(follower: Stepped, denylist: RedisDenylist, clock: Clock) -> None:
    denylist.revoke(ADA)
    follower.until_fresh()
    client(denylist).xadd(denylist.key("log"), {"change": "nonsense"})
    clock.now += 1
    follower.beat()
    assert (follower.state.junk, follower.state.breaks, follower.state.age_seconds) == (1, 0, 0.0)


def test_an_error_that_nobody_expects_does_not_end_the_thread(
    denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(denylist, shortest_seconds=0.04, longest_seconds=1.0)
    failed = threading.Event()
    beat = Follower.beat

    def fails_once(self: Follower) -> None:
        if not failed.is_set():
            failed.set()
            raise ValueError("nobody expects this")
        beat(self)

    monkeypatch.setattr(Follower, "beat", fails_once)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    follower.start()
    thread = follower._thread
    try:
        deadline = time.monotonic() + 60
        while follower.state.age_seconds > 1:
            assert time.monotonic() < deadline, "it never knew"
            time.sleep(0.01)
        assert follower._thread is thread
    finally:
        follower.stop()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_gets_a_follower_of_its_own(valkey: Server, denylist: RedisDenylist) -> None:
    follower = Follower(denylist, shortest_seconds=0.04, longest_seconds=1.0)
    follower.start()
    try:
        pid = os.fork()
        if pid == 0:
            deadline = time.monotonic() + 60
            follower.look_up([ADA])
            # The parent's knowledge grows old here; only a thread of this process makes it young.
            time.sleep(1.2)
            while follower.look_up([ADA])[1] > 1 and time.monotonic() < deadline:
                time.sleep(0.01)
            os._exit(0 if follower.look_up([ADA])[1] <= 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        follower.stop()


# What was lost


def _append(denylist: RedisDenylist, change: str, *, tag: str = "ffffffff", prev: str | None = None) -> str:
    """A chained entry by hand, and the head after it."""
    head = denylist.head()
    entry_id = client(denylist).xadd(denylist.key("log"), {"change": f"{prev or head.end} {tag} {change}"})
    _set_head(denylist, head, last_id=entry_id.decode(), last_tag=tag)  # type: ignore[union-attr]  # bytes
    return entry_id.decode()  # type: ignore[union-attr]  # bytes


def _set_head(denylist: RedisDenylist, head: Head, **changes: Any) -> None:
    client(denylist).set(denylist.key("head"), text_of(head, **changes))


def test_a_missing_entry_opens_an_epoch(follower: Stepped, denylist: RedisDenylist) -> None:
    follower.until_fresh()
    epoch = denylist.head().epoch
    denylist.revoke(ADA)
    entries: Any = client(denylist).xrange(denylist.key("log"))
    denylist.revoke(BOB)
    client(denylist).xdel(denylist.key("log"), entries[-1][0])
    follower.beat()
    assert denylist.head().epoch != epoch
    assert follower.state.breaks == 1
    follower.until_fresh()
    assert follower.look_up([ADA])[0] > denylist.head().birth_ms


def test_the_same_id_with_another_tag_is_another_entry(
    follower: Stepped, denylist: RedisDenylist, clock: Clock
) -> None:
    # What a lagging primary writes after a failover may have the very number that was lost.
    denylist.revoke(ADA)
    follower.until_fresh()
    head = denylist.head()
    _set_head(denylist, head, last_id=head.last_id, last_tag="another0")
    # The line might have come between the reading of the log and of the head: the second beat must have read it.
    clock.now += 1
    follower.beat()
    assert follower.look_up([BOB])[1] > 0
    follower.beat()
    assert denylist.head().epoch != head.epoch


def test_a_successor_of_the_same_id_with_another_tag_breaks_the_chain(
    follower: Stepped, denylist: RedisDenylist
) -> None:
    denylist.revoke(ADA)
    follower.until_fresh()
    head = denylist.head()
    _append(denylist, f"revoke @1 never {BOB.name} * {head.last_id}-x=*", prev=f"{head.last_id}-another0")
    follower.beat()
    assert denylist.head().epoch != head.epoch


def test_a_lost_head_opens_one_epoch_that_forgets_nothing(follower: Stepped, denylist: RedisDenylist) -> None:
    denylist.revoke(ADA)
    follower.until_fresh()
    client(denylist).delete(denylist.key("head"), denylist.key(ADA.name), denylist.key("log"))
    try:
        follower.beat()
    except DenylistEmptyError:
        pytest.fail("the beat that noticed the loss opened no epoch")
    head = denylist.head()
    follower.until_fresh()
    assert follower.state.amnesia == 1
    assert follower.look_up([ADA])[0] == UNCONDITIONAL
    assert follower.look_up([BOB])[0] == head.everything_ms >= time.time() * 1000 - 60_000


def test_who_holds_nothing_catches_up_with_a_new_epoch_too(follower: Stepped, denylist: RedisDenylist) -> None:
    follower.until_fresh()
    denylist.open(new_epoch=True)
    follower.until_fresh()
    assert follower.look_up([ADA])[0] == denylist.head().everything_ms


def open_after_loss(denylist: RedisDenylist, *, seen: str, clock: str = "", keys: Any = None) -> tuple[Head, list[str]]:
    """As a follower opens an epoch that knew of no other one."""
    return denylist.epochs.open_after_loss(seen=seen, own=(), clock=clock, new_log=False, keys=keys or {})


def test_the_epoch_that_was_seen_is_opened_anew_only_once(denylist: RedisDenylist) -> None:
    seen = denylist.head().epoch
    first, _ = open_after_loss(denylist, seen=seen)
    assert open_after_loss(denylist, seen=seen)[0] == first
    assert first.replaced == (seen,)


def test_an_epoch_begins_after_everything_that_its_noticer_has_seen(denylist: RedisDenylist) -> None:
    ahead = denylist.now_ms() + 5000
    record = about_revocation(KEY, Note("ada", "leaked"))
    keys = {f"{ahead}-0-0123abcd": (KEY.name, f'[{record},"*","never"]')}
    head, undone = open_after_loss(denylist, seen=denylist.head().epoch, clock=f"{ahead} {ahead - 1}", keys=keys)
    assert head.everything_ms >= ahead + 1000
    assert undone == []
    assert client(denylist).get(denylist.key(KEY.name)) == f"* {ahead}-0-0123abcd=*".encode()


def test_what_some_clock_once_said_does_not_close_the_deny_list_until_then(denylist: RedisDenylist) -> None:
    ahead = denylist.now_ms() + 86_400_000
    client(denylist).set(denylist.key("clock"), f"{ahead} {ahead}")
    client(denylist).xadd(denylist.key("log"), {"x": "y"}, id=f"{ahead}-0")
    head, _ = open_after_loss(denylist, seen=denylist.head().epoch, clock=f"{ahead} {ahead}")
    assert head.everything_ms < ahead - 86_000_000
    assert (head.last_id, head.floor) == ("0-0", "0-0")


def test_a_server_that_knows_less_gives_no_answer(follower: Stepped, denylist: RedisDenylist) -> None:
    before = snapshot(denylist)
    denylist.revoke(ADA)
    follower.until_fresh()
    restore(denylist, before)
    with pytest.raises(DenylistUnavailableError):
        follower.ask([[BOB]])


def test_what_is_held_is_refused_strictly_too(follower: Stepped, denylist: RedisDenylist) -> None:
    guard = Guard(None, denylist, follower=follower)
    claims = claims_of(issued_at_ms=denylist.now_ms(), sid="s-ada")
    denylist.revoke(ADA)
    follower.until_fresh()
    client(denylist).delete(denylist.key(ADA.name))
    with pytest.raises(RevokedTokenError):
        guard.check(claims, max_staleness=0)


def test_what_redis_forgets_is_kept_until_it_is_dead(follower: Stepped, denylist: RedisDenylist, clock: Clock) -> None:
    dead_in = denylist.lifetimes.entry_ms("session") / 1000
    denylist.revoke(ADA)
    follower.until_fresh()
    clock.now += dead_in - 1
    follower.beat()
    assert follower.look_up([ADA])[0] == UNCONDITIONAL
    # The end is rounded up to the full hour after the next.
    clock.now += 2 * 3600 + 3 * 60
    follower.beat()
    assert follower.state.entries == 0


def test_an_undo_brings_back(follower: Stepped, denylist: RedisDenylist) -> None:
    receipt = denylist.revoke(ADA)
    follower.until_fresh()
    assert receipt.revocation
    assert denylist.undo(receipt.revocation.id)
    follower.until_fresh()
    assert follower.look_up([ADA])[0] < UNCONDITIONAL


# What others may rely on


def test_a_lease_outlives_the_longest_bound(denylist: RedisDenylist) -> None:
    Follower(denylist, shortest_seconds=0.5, longest_seconds=60.0)
    assert denylist.leases.own_ms > 60_000


def _long_ago(denylist: RedisDenylist) -> None:
    """Let the epoch have opened so long ago that no lease is from before it."""
    head = denylist.head()
    _set_head(denylist, head, birth_ms=head.birth_ms - 3_600_000, reign_ms=head.reign_ms - 3_600_000)


def test_who_has_not_read_it_is_counted_and_holds_the_receipt_up(follower: Stepped, denylist: RedisDenylist) -> None:
    _long_ago(denylist)
    follower.until_fresh()
    receipt = denylist.revoke(ADA)
    assert (receipt.enforced, receipt.followers_confirmed, receipt.followers_total) == (False, 0, 1)


def test_who_has_read_it_confirms_it(
    follower: Stepped, denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch
) -> None:
    _long_ago(denylist)
    follower.until_fresh()
    look = denylist.leases._look

    def read_meanwhile(stream_id: str, ids: Sequence[str]) -> Any:
        follower.beat()
        follower.beat()
        return look(stream_id, ids)

    monkeypatch.setattr(denylist.leases, "_look", read_meanwhile)
    receipt = denylist.revoke(ADA)
    assert (receipt.enforced, receipt.followers_confirmed, receipt.followers_total) == (True, 1, 1)


def test_a_receipt_is_two_round_trips_where_followers_are_quick(
    follower: Stepped, denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch, round_trips: RoundTrips
) -> None:
    _long_ago(denylist)
    denylist.revoke(BOB)
    follower.until_fresh()

    def others_read(_seconds: float) -> None:
        for _ in range(2):
            beat = threading.Thread(target=follower.beat)
            beat.start()
            beat.join(timeout=60)

    monkeypatch.setattr("revocation.redis.leases.time", SimpleNamespace(sleep=others_read, monotonic=time.monotonic))
    receipts: list[Receipt] = []
    assert round_trips.of(lambda: receipts.append(denylist.revoke(ADA, wait_seconds=60))) == 2
    assert (receipts[0].enforced, receipts[0].followers_confirmed) == (True, 1)


@pytest.mark.parametrize("kind", ["session", "subject"])
def test_the_process_that_revoked_refuses_at_once(follower: Stepped, denylist: RedisDenylist, kind: Kind) -> None:
    claims = claims_of(session_id="s-ada", subject="ada", issued_at_ms=denylist.now_ms())
    guard = Guard(None, denylist, max_staleness=2.0, follower=follower)
    follower.until_fresh()
    guard.check(claims)
    denylist.revoke(next(handle for handle in claims.handles if handle.kind == kind), wait_seconds=0)
    # No beat has read it.
    assert follower.look_up(claims.handles)[1] < 2.0
    with pytest.raises(RevokedTokenError):
        guard.check(claims)


def test_an_entry_stands_to_the_last_millisecond(denylist: RedisDenylist) -> None:
    lifetimes = denylist.lifetimes
    end_ms = (denylist.now_ms() // 1000 + 2) * 1000
    token = Handle(
        "token", "t", issuer=ISSUER, expires_at=end_ms / 1000 - lifetimes.leeway_seconds - lifetimes.margin_seconds
    )
    denylist.revoke(token)
    left: Any = client(denylist).pttl(denylist.key(token.name))
    assert left + denylist.now_ms() >= end_ms


def test_after_an_epoch_opened_nothing_is_enforced_before_the_longest_lease(
    denylist: RedisDenylist, follower: Stepped
) -> None:
    # The flush took the leases, too; their holders may be fresh for as long as they lasted.
    client(denylist).delete(denylist.key("followers"), denylist.key("head"))
    denylist.open(accept_existing=True)
    receipt = denylist.revoke(ADA)
    assert receipt.followers_total == 0
    assert not receipt.enforced


def test_a_revocation_that_the_log_has_lost_is_not_acknowledged(
    follower: Stepped, denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower.until_fresh()
    look = denylist.leases._look

    def lost(stream_id: str, ids: Sequence[str]) -> Any:
        client(denylist).delete(denylist.key("log"))
        return look(stream_id, ids)

    monkeypatch.setattr(denylist.leases, "_look", lost)
    with pytest.raises(DenylistUnavailableError):
        denylist.revoke(ADA)


def test_too_few_replicas_are_no_answer_to_a_beat_and_none_to_a_strict_check(
    valkey: Server, denylist: RedisDenylist, follower: Stepped
) -> None:
    follower.until_fresh()
    denylist.link.min_replicas, denylist.link._wait_ms = 1, 20
    stamp = follower._view.stamp
    with pytest.raises(DenylistUnavailableError):
        follower.beat()
    assert follower._view.stamp == stamp
    with pytest.raises(DenylistUnavailableError):
        denylist.latest_cutoff([ADA])
