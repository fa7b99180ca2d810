"""Leases: what counts as confirmed, who is waited for, and for how long."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis

from revocation import ConfigurationError, DenylistUnavailableError, Handle, RedisDenylist, Revocation
from revocation.redis.follower import Follower
from revocation.redis.leases import Written
from tests.support.denylists import opened
from tests.support.heads import text_of
from tests.support.round_trips import RoundTrips
from tests.support.servers import Server
from tests.support.tokens import ISSUER

ADA = Handle("session", "ada", issuer=ISSUER)
BOB = Handle("session", "bob", issuer=ISSUER)


@pytest.fixture
def client(valkey: Server) -> "redis.Redis":
    return valkey.client()


@pytest.fixture
def denylist(client: "redis.Redis", namespace: str) -> RedisDenylist:
    made = opened(client, namespace)
    born = made.head().birth_ms
    while made.now_ms() <= born:
        pass
    return made


def lease(denylist: RedisDenylist, name: str, value: str, *, px: int = 60_000) -> None:
    denylist.link.client.set(denylist.key(f"follower:{name}"), value, px=px)
    denylist.link.client.sadd(denylist.key("followers"), name)


def written(revocation: Revocation, *followers: str) -> Written:
    return Written(revocation.id, revocation.created_at_ms, followers, birth_ms=0, reign_ms=0)


def test_who_is_at_the_revocation_or_behind_it_in_the_same_log_has_confirmed(denylist: RedisDenylist) -> None:
    first, second = (denylist.revoke(one).revocations[0] for one in (ADA, BOB))
    for name, at in (("same", first.id), ("later", second.id), ("earlier", "0-0--")):
        lease(denylist, name, f"{at} 1000")
    confirmation = denylist.leases.await_confirmation(written(first, "same", "later", "earlier"), seconds=0)
    assert (confirmation.confirmed, confirmation.total, confirmation.enforced) == (2, 3, False)


def test_a_position_in_a_log_that_was_lost_confirms_nothing(denylist: RedisDenylist) -> None:
    # After a failover to a clock that lags, new entries have earlier ids than what a follower read before.
    revocation = denylist.revoke(ADA).revocations[0]
    ms = int(revocation.id.split("-")[0])
    lease(denylist, "same-id", f"{revocation.id[:-8]}deadbeef 1000")
    lease(denylist, "ahead", f"{ms + 500}-0-deadbeef 1000")
    everybody = written(revocation, "same-id", "ahead")
    assert denylist.leases.await_confirmation(everybody, seconds=0).confirmed == 0


@pytest.mark.parametrize("value", ["", "garbage", "v2 1-0-a 1000", "1-0-a x"])
def test_a_lease_of_another_version_lives_and_confirms_nothing(denylist: RedisDenylist, value: str) -> None:
    lease(denylist, "newer", value)
    receipt = denylist.revoke(ADA)
    assert (receipt.enforced, receipt.followers_confirmed, receipt.followers_total) == (False, 0, 1)


def test_a_lease_that_ran_out_is_forgotten_and_one_that_came_back_is_not(
    denylist: RedisDenylist, client: "redis.Redis"
) -> None:
    client.sadd(denylist.key("followers"), "dead")
    assert denylist.revoke(ADA).followers_total == 0
    assert not client.sismember(denylist.key("followers"), "dead")

    # Renewed between the look that found no lease and the forgetting.
    lease(denylist, "back", "0-0-- 1000")
    denylist.leases._read(["back"], [None])
    assert client.sismember(denylist.key("followers"), "back")


def test_after_an_epoch_the_longest_lease_ever_seen_counts(denylist: RedisDenylist, client: "redis.Redis") -> None:
    lease(denylist, "slow", "0-0-- 60000")
    denylist.revoke(ADA)
    client.delete(denylist.key("follower:slow"))
    assert denylist.revoke(BOB).enforced is False


def test_a_second_follower_does_not_shorten_the_lease_of_the_first(denylist: RedisDenylist) -> None:
    Follower(denylist, longest_seconds=60.0)
    Follower(denylist, longest_seconds=1.0)
    assert denylist.leases.own_ms >= 61_000


@pytest.mark.parametrize("shortest", [0.02, 0.5, 1.0])
def test_a_lease_outlives_the_bound_by_the_second_that_clocks_may_differ_by(
    denylist: RedisDenylist, shortest: float
) -> None:
    Follower(denylist, shortest_seconds=shortest, longest_seconds=1.0)
    assert denylist.leases.own_ms >= 2000


def test_a_revocation_that_is_gone_is_not_acknowledged(denylist: RedisDenylist, client: "redis.Redis") -> None:
    revocation = denylist.revoke(ADA).revocations[0]
    client.delete(denylist.key("log"))
    with pytest.raises(DenylistUnavailableError, match="revoke again"):
        denylist.leases.await_confirmation(written(revocation, "somebody"), seconds=0)


class Pauses:
    """Time passes in the receipt's pauses only, and followers confirm when they are as old as they are slow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, confirm: Callable[[], None], *, slow: float) -> None:
        self.now = 0.0
        self._confirm = confirm
        self._confirms_at = self._slow = slow
        monkeypatch.setattr(
            "revocation.redis.leases.time", SimpleNamespace(sleep=self.sleep, monotonic=lambda: self.now)
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self._confirms_at:
            self._confirm()

    def begin(self) -> None:
        self._confirms_at = self.now + self._slow


def test_a_receipt_learns_how_long_followers_take_and_looks_once_when_they_have_confirmed(
    denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch, round_trips: RoundTrips
) -> None:
    head = denylist.head()
    # No lease is from before this epoch.
    long_ago = text_of(head, birth_ms=head.birth_ms - 3_600_000, reign_ms=head.reign_ms - 3_600_000)
    denylist.link.client.set(denylist.key("head"), long_ago)
    revocation = denylist.revoke(ADA).revocations[0]
    pauses = Pauses(monkeypatch, lambda: lease(denylist, "one", f"{revocation.id} 1000"), slow=0.004)

    def looks() -> int:
        # Setting the lease is two round trips of the test's own.
        lease(denylist, "one", "0-0-- 1000")
        pauses.begin()
        return round_trips.of(lambda: receipt(denylist, revocation)) - 2

    def receipt(denylist: RedisDenylist, revocation: Revocation) -> None:
        assert denylist.leases.await_confirmation(written(revocation, "one"), seconds=1).enforced

    counts = [looks() for _ in range(40)]
    assert counts[0] > 1
    assert counts[-20:].count(1) >= 15


def test_a_receipt_that_waits_for_somebody_who_is_gone_asks_seldom(
    denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch, round_trips: RoundTrips
) -> None:
    revocation = denylist.revoke(ADA).revocations[0]
    lease(denylist, "gone", "0-0-- 60000")
    Pauses(monkeypatch, lambda: None, slow=60)
    wait = partial(denylist.leases.await_confirmation, written(revocation, "gone"), seconds=2)
    assert round_trips.of(wait) <= 60


def test_existing_tokens_are_not_accepted_while_somebody_follows(client: "redis.Redis", namespace: str) -> None:
    denylist = RedisDenylist(client, namespace=namespace)
    lease(denylist, "alive", "0-0-- 1000")
    with pytest.raises(ConfigurationError, match="follow this deny-list already"):
        denylist.open(accept_existing=True)


def test_expiries_count_from_an_instant_that_never_decreases(denylist: RedisDenylist, client: "redis.Redis") -> None:
    # Redis' clock went back, or junk has a later id: ids only order, and each line carries its own instant.
    ahead = denylist.now_ms() + 3_600_000
    client.xadd(denylist.key("log"), {"x": "y"}, id=f"{ahead}-0")
    head = denylist.head()
    client.set(denylist.key("head"), text_of(head, at_ms=ahead))
    revocation = denylist.revoke(ADA).revocations[0]
    [(_, fields)] = cast("Any", client).xrange(denylist.key("log"), revocation.id.rpartition("-")[0], count=1)
    words = fields[b"change"].split(b" ")
    assert words[3] == b"@%d" % ahead
    assert int(words[4]) - ahead >= denylist.lifetimes.entry_ms("session")
    assert abs(revocation.created_at_ms - denylist.now_ms()) < 60_000
