"""The head: without one there is no answer; how epochs begin, and who may take part."""

import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import pytest
import redis

from revocation import (
    ConfigurationError,
    DenylistEmptyError,
    DenylistUnavailableError,
    Guard,
    Handle,
    InvalidTokenError,
    Lifetimes,
    RedisDenylist,
    connect,
)
from revocation.denylist import UNCONDITIONAL, is_revoked
from revocation.redis.follower import Follower
from tests.support.denylists import SESSION, SUBJECT, all_pages, can_mint, log_of, opened, until
from tests.support.servers import Server
from tests.support.tokens import ISSUER, claims_of


def test_without_a_head_there_is_no_answer_and_no_revocation(client: "redis.Redis", namespace: str) -> None:
    denylist = RedisDenylist(client, namespace=namespace)

    questions: list[Callable[[], object]] = [
        lambda: denylist.latest_cutoff([SUBJECT]),
        lambda: denylist.latest_cutoff([]),
        lambda: denylist.revoke(SUBJECT),
        lambda: denylist.revoke_many([SUBJECT, SESSION]),
        denylist.now_ms,
        denylist.head,
    ]
    for ask in questions:
        with pytest.raises(DenylistEmptyError, match="revocation init"):
            ask()
    assert list(client.scan_iter(f"*{namespace}*")) == []


def test_a_redis_that_comes_back_empty_is_not_said_to_be_silent(client: "redis.Redis", namespace: str) -> None:
    denylist = RedisDenylist(client, namespace=namespace)
    breaker = denylist.link.breaker
    for _ in range(3):
        breaker.failed()
    breaker._closed_again_at = 0.0

    for _ in range(3):
        with pytest.raises(DenylistEmptyError):
            denylist.now_ms()


def test_a_head_that_is_lost_later_is_noticed_and_not_replaced_by_a_revocation(denylist: RedisDenylist) -> None:
    client = denylist.link.client
    standing = denylist.revoke(SUBJECT).revocations[0]
    before = log_of(denylist)
    client.delete(denylist.key("head"))

    for ask in (lambda: denylist.latest_cutoff([SESSION]), lambda: denylist.revoke(SESSION), denylist.now_ms):
        with pytest.raises(DenylistEmptyError):
            ask()
    with pytest.raises(DenylistEmptyError):
        denylist.undo(standing.id)
    assert not client.exists(denylist.key("head"))
    assert log_of(denylist) == before


READABLE = b"2 e - 0-0 - 11 0-0 12 run replid 13 86400 30 60 2592000 60000 0 1"


def test_the_head_that_the_unreadable_ones_are_made_of_can_be_read(denylist: RedisDenylist) -> None:
    denylist.link.client.set(denylist.key("head"), READABLE)

    assert (denylist.head().epoch, denylist.head().text) == ("e", READABLE.decode())
    assert denylist.latest_cutoff([SESSION]) == 12
    assert denylist.now_ms() > 12


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b" ", b"garbage", b"2", b"3 e 1 0-0 - 0 86400", b"\xff\xfe", b"10 e 1 0-0 - 0 86400"),
        *(READABLE[:-2], READABLE + b" 1", READABLE[1:], b"3" + READABLE[1:], b"1" + READABLE),
        *(READABLE.replace(word, b"x") for word in (b"0-0", b"11", b"12", b"13", b"86400", b"30", b"60")),
    ],
)
def test_an_unreadable_head_is_no_answer(denylist: RedisDenylist, head: bytes) -> None:
    denylist.link.client.set(denylist.key("head"), head)

    for ask in (lambda: denylist.latest_cutoff([SESSION]), lambda: denylist.revoke(SESSION), denylist.now_ms):
        with pytest.raises(DenylistUnavailableError) as caught:
            ask()
        assert not isinstance(caught.value, DenylistEmptyError)
    with pytest.raises(DenylistUnavailableError):
        denylist.open()
    assert denylist.link.client.get(denylist.key("head")) == head


@pytest.mark.parametrize(
    ("accepted", "named", "setting"),
    [
        ((Lifetimes(max_token_seconds=86_401), 0), r"86400 seconds.*token life.* 86401", "max_token_lifetime_seconds"),
        ((Lifetimes(leeway_seconds=31), 0), r"30 seconds.*leeway.* 31", "leeway_seconds"),
        ((Lifetimes(), 30 * 86_400 + 1), r"2592000 seconds.*session life.* 2592001", "session_lifetime_seconds"),
    ],
)
def test_a_process_that_accepts_what_entries_do_not_outlive_takes_no_part(
    denylist: RedisDenylist, accepted: tuple[Lifetimes, int], named: str, setting: str, namespace: str
) -> None:
    client, (lifetimes, own_session_seconds) = denylist.link.client, accepted
    other = RedisDenylist(client, namespace=namespace, lifetimes=lifetimes, own_session_seconds=own_session_seconds)
    before = denylist.head()

    for ask in (lambda: other.latest_cutoff([SESSION]), lambda: other.revoke(SESSION), other.now_ms, other.head):
        with pytest.raises(DenylistUnavailableError, match=named) as unavailable:
            ask()
        assert unavailable.value.settings == (setting,)
    with pytest.raises(ConfigurationError, match=named) as refused:
        other.open()
    assert refused.value.settings == (setting,)
    assert log_of(denylist) == []
    assert denylist.head().settings == before.settings


def test_a_process_with_shorter_settings_takes_part_and_writes_what_the_head_says(
    client: "redis.Redis", denylist: RedisDenylist, namespace: str
) -> None:
    shorter = Lifetimes(max_token_seconds=60, leeway_seconds=0, margin_seconds=0, session_seconds=60)
    other = RedisDenylist(client, namespace=namespace, lifetimes=shorter)
    subject = Handle("subject", "bob", issuer=ISSUER)
    token = Handle("token", "t", issuer=ISSUER, expires_at=denylist.now_ms() // 1000 + 600)
    undated = Handle("token", "u", issuer=ISSUER)

    theirs = other.revoke_many([SUBJECT, SESSION, token, undated]).revocations
    ours = denylist.revoke_many([subject, token]).revocations

    settings = denylist.head().settings
    assert settings == denylist.lifetimes
    assert other.open() == (denylist.head(), False)
    for revocation in theirs[:2]:
        assert (revocation.expires_at_ms or 0) >= revocation.created_at_ms + settings.entry_ms("session")
    assert theirs[2].expires_at_ms == ours[1].expires_at_ms == settings.dead_at_ms(token.expires_at or 0)
    assert (theirs[3].expires_at_ms or 0) >= theirs[3].created_at_ms + settings.entry_ms("token")
    assert client.pttl(denylist.key(SUBJECT.name)) >= settings.entry_ms("subject")
    assert other.latest_cutoff([subject]) == ours[0].issued_before_ms


@pytest.mark.parametrize("bound", [0, 60.0])
@pytest.mark.parametrize("life", [600, 100_000])
def test_a_process_that_is_told_no_token_life_takes_that_of_the_head(
    client: "redis.Redis", namespace: str, life: int, bound: float
) -> None:
    """Whoever opened the deny-list has said how long entries live; an API beside it need not be told again."""
    opened(client, namespace, lifetimes=Lifetimes(max_token_seconds=life))
    denylist = RedisDenylist(client, namespace=namespace)
    guard = Guard(None, denylist, max_staleness=bound)
    guard.start()
    now_ms = denylist.now_ms()
    if bound:
        follower = guard.follower
        assert follower is not None
        until(lambda: follower.state.age_seconds < 30)

    guard.check(claims_of(issued_at_ms=now_ms, lifetime_seconds=life))
    with pytest.raises(InvalidTokenError, match=f"longer than {life} seconds"):
        guard.check(claims_of(issued_at_ms=now_ms, lifetime_seconds=life + 1))

    assert denylist.lifetimes.max_token_seconds == life
    assert denylist.open() == (denylist.head(), False)
    guard.stop()


def test_a_process_that_mints_longer_than_entries_live_takes_no_part_whatever_it_takes_from_the_head(
    client: "redis.Redis", namespace: str
) -> None:
    opened(client, namespace, lifetimes=Lifetimes(max_token_seconds=600))
    minting = [RedisDenylist(client, namespace=namespace, own_token_seconds=life) for life in (600, 601)]

    assert minting[0].now_ms()
    with pytest.raises(DenylistUnavailableError, match=r"600 seconds.*token life.* 601"):
        minting[1].now_ms()


def test_the_longest_token_life_changes_with_a_new_epoch_and_not_while_somebody_follows(
    client: "redis.Redis", denylist: RedisDenylist, namespace: str
) -> None:
    other = RedisDenylist(client, namespace=namespace, lifetimes=Lifetimes(max_token_seconds=3600))
    guard = Guard(None, denylist)
    guard.start()
    until(lambda: bool(denylist.leases.living()))

    with pytest.raises(ConfigurationError, match="stop every process first"):
        other.open(new_epoch=True)
    assert denylist.head().settings.max_token_seconds == 86400
    guard.stop()
    head, opened_now = other.open(new_epoch=True)

    assert opened_now
    assert head.settings == other.head().settings == Lifetimes(max_token_seconds=3600)


def test_a_lost_head_is_no_answer_to_those_who_look_for_revocations(denylist: RedisDenylist) -> None:
    made = denylist.revoke(SESSION).revocations[0]
    denylist.link.client.delete(denylist.key("head"))

    for ask in (denylist.page, lambda: denylist.find(made.id), lambda: denylist.undo(made.id)):
        with pytest.raises(DenylistEmptyError):
            ask()
    denylist.link.client.delete(denylist.key("log"))
    with pytest.raises(DenylistEmptyError):
        denylist.undo(made.id)


def test_the_first_epoch_cuts_off_what_came_before(client: "redis.Redis", namespace: str) -> None:
    denylist = RedisDenylist(client, namespace=namespace)

    head, opened_now = denylist.open()

    assert opened_now
    assert head.everything_ms >= head.birth_ms + 1000
    assert (head.last_id, head.last_tag, head.floor, head.replaced) == ("0-0", "-", "0-0", ())

    # Until the clock has passed the cut-off nothing is accepted, minted or written: it would be overlooked.
    for handles in ([], [SUBJECT]):
        with pytest.raises(DenylistUnavailableError, match="opens when"):
            denylist.latest_cutoff(handles)
    with pytest.raises(DenylistUnavailableError, match="opens when"):
        denylist.now_ms()
    with pytest.raises(DenylistUnavailableError, match="opens when"):
        denylist.revoke(SUBJECT)
    until(lambda: can_mint(denylist))
    assert denylist.latest_cutoff([]) == denylist.latest_cutoff([SUBJECT]) == head.everything_ms
    assert is_revoked(claims_of(issued_at_ms=head.birth_ms), denylist.latest_cutoff([SUBJECT]))
    minted = claims_of(issued_at_ms=denylist.now_ms())
    assert not is_revoked(minted, denylist.latest_cutoff(minted.handles))

    # A weaker cut-off of one handle does not lift the cut-off of everything.
    denylist.revoke(SUBJECT, issued_before_ms=head.everything_ms - 5000)
    assert denylist.latest_cutoff([SUBJECT]) == head.everything_ms


def test_the_first_epoch_can_accept_what_is_out_there(client: "redis.Redis", namespace: str) -> None:
    denylist = RedisDenylist(client, namespace=namespace)

    head, opened_now = denylist.open(accept_existing=True)

    assert opened_now
    assert head.everything_ms == 0
    assert denylist.latest_cutoff([SUBJECT]) == 0
    assert denylist.now_ms() >= head.birth_ms


def test_opening_again_changes_nothing(denylist: RedisDenylist) -> None:
    denylist.revoke(SUBJECT)
    before = denylist.head()

    assert denylist.open() == (before, False)
    assert denylist.open(accept_existing=True) == (before, False)
    assert denylist.head() == before


def test_opening_again_raises_the_longest_bound_and_never_lowers_it(denylist: RedisDenylist) -> None:
    before = denylist.head()
    assert before.bound_ms == 60_000

    raised, opened_now = denylist.open(longest_bound_seconds=90)
    lower, _ = denylist.open(longest_bound_seconds=0.5)

    assert not opened_now
    assert raised == replace(before, bound_ms=90_000, text=raised.text)
    assert lower == raised == denylist.head()


def test_a_new_epoch_cuts_off_everything_and_forgets_nothing(denylist: RedisDenylist) -> None:
    key = Handle("key", "k1", issuer=ISSUER)
    denylist.revoke_many([SUBJECT, SESSION, key])
    before = denylist.head()

    head, opened_now = denylist.open(new_epoch=True)

    assert opened_now
    assert head.epoch != before.epoch
    assert head.everything_ms >= before.birth_ms + 1000
    assert head.replaced == (before.epoch, *before.replaced)
    assert (head.last_id, head.last_tag, head.floor) == (before.last_id, before.last_tag, before.floor)
    until(lambda: can_mint(denylist))
    assert denylist.latest_cutoff([SESSION]) == denylist.latest_cutoff([key]) == UNCONDITIONAL
    assert denylist.latest_cutoff([SUBJECT]) == head.everything_ms


def test_a_newer_epoch_never_lowers_the_cutoff_of_everything(client: "redis.Redis", namespace: str) -> None:
    denylist = RedisDenylist(client, namespace=namespace)
    first, _ = denylist.open()

    second, _ = denylist.open(new_epoch=True, accept_existing=True)

    assert second.epoch != first.epoch
    assert second.everything_ms == first.everything_ms


@pytest.mark.parametrize("open_already", [False, True])
def test_eight_processes_open_one_epoch(any_server: Server, namespace: str, open_already: bool) -> None:
    denylists = [RedisDenylist(connect(any_server.url, timeout_seconds=10), namespace=namespace) for _ in range(8)]
    if open_already:
        denylists[0].open(accept_existing=True)
    line = threading.Barrier(8)

    def open_one(denylist: RedisDenylist) -> tuple[str, bool]:
        line.wait(30)
        head, opened_now = denylist.open()
        return head.epoch, opened_now

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(open_one, denylists))

    assert len({epoch for epoch, _ in answers}) == 1
    assert sum(opened_now for _, opened_now in answers) == (0 if open_already else 1)


def test_eight_processes_opening_a_new_epoch_agree_on_the_last(any_server: Server, namespace: str) -> None:
    denylists = [RedisDenylist(connect(any_server.url, timeout_seconds=10), namespace=namespace) for _ in range(8)]
    first, _ = denylists[0].open(accept_existing=True)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda one: one.open(new_epoch=True), denylists))

    # Who read the epoch of before finds another in force; who read a new one may replace it. Each is opened once.
    assert any(opened_now for _, opened_now in answers)
    ours = [head.epoch for head, opened_now in answers if opened_now]
    assert len(set(ours)) == len(ours)
    last = denylists[0].head()
    assert last.epoch in ours
    assert last.everything_ms >= first.birth_ms + 1000
    assert {head.epoch for head, _ in answers} <= set(ours)


@pytest.mark.parametrize("ahead", [-31, 31, 3600])
def test_a_process_whose_clock_is_off_does_not_open(client: "redis.Redis", namespace: str, ahead: int) -> None:
    denylist = RedisDenylist(client, namespace=namespace, clock=lambda: time.time() + ahead)

    for new_epoch in (False, True):
        with pytest.raises(ConfigurationError, match="NTP"):
            denylist.open(new_epoch=new_epoch)
    assert not client.exists(denylist.key("head"))


def test_without_a_leeway_clocks_may_still_differ_by_a_second(client: "redis.Redis", namespace: str) -> None:
    opened(client, namespace, lifetimes=Lifetimes(leeway_seconds=0))


# A deny-list of the first edition

#: Issuer and key id are readable in the first name; the second hides its issuer.
K1, K2, K3 = Handle("key", "k1", issuer="auth"), Handle("key", "k2", issuer=ISSUER), Handle("key", "k3", issuer=ISSUER)


@pytest.fixture
def first_edition(client: "redis.Redis", namespace: str) -> RedisDenylist:
    """A deny-list as the first edition left it: two keys with their entries, one that only the head remembers."""
    denylist = RedisDenylist(client, namespace=namespace)
    key, now = denylist.key, int(time.time() * 1000)
    ids = [f"{now - 1000}-{number}-0123abc{number}" for number in range(5)]
    about = [
        json.dumps(
            [{"kind": h.kind, "issuer": h.issuer, "value": h.value, "actor": "root", "reason": "leak"}, "*", end]
        )
        for h, end in ((K1, "never"), (K2, "never"), (K2, "never"), (SESSION, str(now + 10**9)))
    ]
    entries = {K1: f"* {ids[0]}=*", K2: f"* {ids[1]}=* {ids[2]}=*", SESSION: f"* {ids[3]}=*"}
    previous = "0-0--"
    for id_, text, handle in zip(ids, about, (K1, K2, K2, SESSION), strict=False):
        stream_id, _, tag = id_.rpartition("-")
        change = f"{previous} {tag} revoke never {handle.name} {entries[handle]}"
        client.xadd(key("log"), {"change": change, "about": text}, id=stream_id)
        client.hset(key("lasting"), id_, text)
        client.zadd(key("lasting:expiry"), {id_: math.inf if handle.kind == "key" else now + 10**9})
        previous = id_
    for handle, entry in entries.items():
        client.set(key(handle.name), entry, px=None if handle.kind == "key" else 10**9)
    client.hset(key("lasting"), ids[4], "-")
    client.zadd(key("lasting:expiry"), {ids[4]: now + 10**6})
    stream_id, _, tag = previous.rpartition("-")
    names = " ".join(handle.name for handle in (K1, K2, K3))
    client.set(key("head"), f"1 0123456789abcdef {now - 5000} {stream_id} {tag} 0 86400 {names}")
    return denylist


def contents(denylist: RedisDenylist) -> dict[str, object]:
    """All that stands in a namespace."""
    client = denylist.link.client
    read: dict[bytes, Callable[[bytes], object]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    keys = cast("list[bytes]", list(client.scan_iter(denylist.key("*"))))
    return {key.decode().partition(":")[2]: read[cast("bytes", client.type(key))](key) for key in keys}


def test_a_head_of_the_first_edition_is_told_in_words_by_every_operation(first_edition: RedisDenylist) -> None:
    client = first_edition.link.client
    before = contents(first_edition)
    follower = Follower(first_edition, shortest_seconds=0.004)
    client.hset(first_edition.key("app:session:1"), "exp", "1")

    operations: list[Callable[[], object]] = [
        lambda: first_edition.latest_cutoff([K1]),
        lambda: first_edition.latest_cutoffs([[SUBJECT], []]),
        lambda: first_edition.revoke(SUBJECT),
        lambda: first_edition.revoke_many([SUBJECT, SESSION]),
        lambda: first_edition.end_many({SESSION: "app:session:1"}),
        lambda: first_edition.undo("1-1-0123abcd"),
        lambda: first_edition.find("1-1-0123abcd"),
        lambda: first_edition.of_handle(K1),
        first_edition.page,
        first_edition.changes,
        first_edition.now_ms,
        first_edition.head,
        follower.beat,
        lambda: first_edition.epochs.give_back("0123456789abcdef", {"1-1-0123abcd": (K1.name, "[]")}),
    ]
    for operation in operations:
        with pytest.raises(DenylistUnavailableError, match=r"older version.*revocation init --new-epoch"):
            operation()
    for accept_existing in (False, True):
        with pytest.raises(ConfigurationError, match=r"older version.*revocation init --new-epoch"):
            first_edition.open(accept_existing=accept_existing)
    assert client.hget(first_edition.key("app:session:1"), "exp") == b"1"
    after = contents(first_edition)
    # The beat renewed its lease, and nothing else was written.
    assert {name: after[name] for name in before} == before
    assert {name.partition(":")[0] for name in after.keys() - before.keys()} <= {"app", "follower", "followers"}


def test_a_new_epoch_takes_a_deny_list_of_the_first_edition_over_with_its_keys(first_edition: RedisDenylist) -> None:
    client = first_edition.link.client
    old = cast("bytes", client.get(first_edition.key(K2.name))).decode()

    head, opened_now = first_edition.open(new_epoch=True)

    assert opened_now
    assert head.replaced == ("0123456789abcdef",)
    assert head.everything_ms > head.birth_ms
    assert head.settings == first_edition.lifetimes
    until(lambda: can_mint(first_edition))
    claims = [claims_of(issued_at_ms=first_edition.now_ms(), iss=h.issuer, key_id=h.value) for h in (K1, K2, K3)]
    # A thief's token of a revoked key is as new as it likes, and a strict check refuses it.
    assert all(is_revoked(one, first_edition.latest_cutoff(one.handles)) for one in claims)
    assert all(first_edition.latest_cutoff([key]) == UNCONDITIONAL for key in (K1, K2, K3, SESSION))
    assert first_edition.latest_cutoff([Handle("key", "k4", issuer=ISSUER)]) == head.everything_ms
    assert is_revoked(claims_of(issued_at_ms=head.birth_ms), first_edition.latest_cutoff([]))
    assert client.get(first_edition.key(K2.name)) == old.encode()
    assert [client.pttl(first_edition.key(key.name)) for key in (K1, K2, K3)] == [-1, -1, -1]
    assert client.zcount(first_edition.key("lasting:expiry"), "+inf", "+inf") == 4
    # The chain begins anew, and tells of the key that only the head remembered.
    (line,) = log_of(first_edition)
    assert (line[1]["op"], line[1]["prev"], line[1]["name"]) == ("restore", "0-0--", K3.name)


def test_who_follows_after_the_taking_over_knows_every_key_also_when_the_log_is_gone(
    first_edition: RedisDenylist,
) -> None:
    client = first_edition.link.client
    first_edition.open(new_epoch=True)
    client.delete(first_edition.key("log"))
    first_edition.open(new_epoch=True)
    until(lambda: can_mint(first_edition))
    follower = Follower(first_edition, shortest_seconds=0.004)
    follower._id = "stepped"

    for _ in range(3):
        follower.beat()
    client.delete(*client.scan_iter(first_edition.key("*")))
    for _ in range(3):
        follower.beat()
    until(lambda: can_mint(first_edition))

    # The follower has given them back.
    for key in (K1, K2, K3):
        assert follower._view.latest_cutoff([key]) == UNCONDITIONAL
        assert first_edition.latest_cutoff([key]) == UNCONDITIONAL


def test_what_was_taken_over_is_listed_and_undone_by_its_own_id(first_edition: RedisDenylist) -> None:
    first_edition.open(new_epoch=True)
    until(lambda: can_mint(first_edition))

    one, two = first_edition.of_handle(K2)
    assert (one.actor, one.reason, one.handle) == ("root", "leak", K2)
    assert first_edition.find(one.id) == one
    assert first_edition.undo(one.id)
    assert first_edition.latest_cutoff([K2]) == UNCONDITIONAL
    assert first_edition.undo(two.id)
    assert first_edition.latest_cutoff([K2]) == first_edition.head().everything_ms
    assert {revocation.handle for revocation in all_pages(first_edition)} >= {K1, SESSION}


def test_a_key_that_only_the_head_remembers_is_undone_where_its_name_can_be_read(
    client: "redis.Redis", namespace: str
) -> None:
    denylist = RedisDenylist(client, namespace=namespace)
    client.set(denylist.key("head"), f"1 e 1 0-0 - 0 86400 {K1.name} no:name key: key:a:b:c")

    denylist.open(new_epoch=True)
    until(lambda: can_mint(denylist))

    (taken,) = all_pages(denylist)
    assert taken.handle == K1
    assert denylist.undo(taken.id)
    assert denylist.latest_cutoff([K1]) == denylist.head().everything_ms


@pytest.mark.parametrize("head", ["1", "1 e", "1 e 1 0-0 - x 86400", "1 e 1 0-0 - 0 x", "1  e 1", "1 e 1 0-0 - 0"])
def test_a_broken_head_of_the_first_edition_has_a_way_on(client: "redis.Redis", namespace: str, head: str) -> None:
    denylist = RedisDenylist(client, namespace=namespace)
    client.set(denylist.key("head"), head)

    with pytest.raises(DenylistUnavailableError, match="older version"):
        denylist.latest_cutoff([SESSION])
    assert denylist.open(new_epoch=True)[1]

    until(lambda: can_mint(denylist))
    assert denylist.latest_cutoff([SESSION]) == denylist.head().everything_ms


def test_a_cutoff_of_everything_of_the_first_edition_is_never_lowered(client: "redis.Redis", namespace: str) -> None:
    denylist = RedisDenylist(client, namespace=namespace)
    cutoff = int(time.time() * 1000) + 2000
    client.set(denylist.key("head"), f"1 e 1 0-0 - {cutoff} 86400")

    assert denylist.open(new_epoch=True, accept_existing=True)[0].everything_ms == cutoff


def test_a_key_that_is_revoked_by_the_first_edition_during_the_taking_over_is_not_lost(
    first_edition: RedisDenylist, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, late = first_edition.link.client, Handle("key", "late", issuer="auth")
    take_over = first_edition.epochs._init

    def take_over_late(**call: Any) -> tuple[str, list[Any]]:
        client.append(first_edition.key("head"), f" {late.name}")
        return take_over(**call)

    monkeypatch.setattr(first_edition.epochs, "_init", take_over_late)

    with pytest.raises(DenylistUnavailableError, match="Stop every process"):
        first_edition.open(new_epoch=True)
    monkeypatch.undo()
    first_edition.open(new_epoch=True)

    until(lambda: can_mint(first_edition))
    assert first_edition.latest_cutoff([late]) == UNCONDITIONAL
