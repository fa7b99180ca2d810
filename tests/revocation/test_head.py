"""The head: without one there is no answer; how epochs begin, and who may take part."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from revocation import (
    ConfigurationError,
    DenylistEmptyError,
    DenylistUnavailableError,
    Guard,
    Handle,
    Lifetimes,
    RedisDenylist,
    connect,
)
from revocation.denylist import UNCONDITIONAL, is_revoked
from tests.support.denylists import SESSION, SUBJECT, can_mint, log_of, opened, until
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


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b" ", b"garbage", b"1", b"2 e 1 0-0 - 0 86400", b"1 e 1 0-0 - x 86400", b"1 e 1 0-0 - 0 x"),
        *(b"1 e 1 0-0 - 0", b"\xff\xfe", b"10 e 1 0-0 - 0 86400"),
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


def test_a_process_with_another_longest_token_life_takes_no_part(
    client: "redis.Redis", denylist: RedisDenylist, namespace: str
) -> None:
    other = RedisDenylist(client, namespace=namespace, lifetimes=Lifetimes(max_token_seconds=3600))

    for ask in (lambda: other.latest_cutoff([SESSION]), lambda: other.revoke(SESSION), other.now_ms, other.head):
        with pytest.raises(DenylistUnavailableError, match=r"at most 86400 seconds.* 3600") as unavailable:
            ask()
        assert unavailable.value.settings == ("max_token_lifetime_seconds",)
    with pytest.raises(ConfigurationError, match=r"at most 86400 seconds.* 3600") as refused:
        other.open()
    assert refused.value.settings == ("max_token_lifetime_seconds",)
    assert log_of(denylist) == []


def test_the_longest_token_life_changes_with_a_new_epoch_and_not_while_somebody_follows(
    client: "redis.Redis", denylist: RedisDenylist, namespace: str
) -> None:
    other = RedisDenylist(client, namespace=namespace, lifetimes=Lifetimes(max_token_seconds=3600))
    guard = Guard(None, denylist)
    guard.start()
    until(lambda: bool(denylist.leases.living()))

    with pytest.raises(ConfigurationError, match="stop them all"):
        other.open(new_epoch=True)
    assert denylist.head().max_token_seconds == 86400
    guard.stop()
    head, opened_now = other.open(new_epoch=True)

    assert opened_now
    assert head.max_token_seconds == other.head().max_token_seconds == 3600


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
    assert (head.last_id, head.last_tag, head.keys) == ("0-0", "-", ())
    assert denylist.latest_cutoff([]) == denylist.latest_cutoff([SUBJECT]) == head.everything_ms
    assert is_revoked(claims_of(issued_at_ms=head.birth_ms), denylist.latest_cutoff([SUBJECT]))

    # Until the clock has passed the cut-off nothing is minted or written: it would be refused, or overlooked.
    with pytest.raises(DenylistUnavailableError, match="opens when"):
        denylist.now_ms()
    with pytest.raises(DenylistUnavailableError, match="opens when"):
        denylist.revoke(SUBJECT)
    until(lambda: can_mint(denylist))
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


def test_a_new_epoch_cuts_off_everything_and_forgets_nothing(denylist: RedisDenylist) -> None:
    key = Handle("key", "k1", issuer=ISSUER)
    denylist.revoke_many([SUBJECT, SESSION, key])
    before = denylist.head()

    head, opened_now = denylist.open(new_epoch=True)

    assert opened_now
    assert head.epoch != before.epoch
    assert head.everything_ms >= before.birth_ms + 1000
    assert (head.last_id, head.last_tag, head.keys) == (before.last_id, before.last_tag, before.keys)
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


def test_a_process_whose_clock_is_off_does_not_open(
    client: "redis.Redis", namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    denylist = RedisDenylist(client, namespace=namespace)
    real = time.time
    for ahead in (-31, 31, 3600):
        with monkeypatch.context() as patched:
            patched.setattr("revocation.redis.denylist.time.time", lambda ahead=ahead: real() + ahead)
            with pytest.raises(ConfigurationError, match="NTP"):
                denylist.open()
    assert not client.exists(denylist.key("head"))


def test_without_a_leeway_clocks_may_still_differ_by_a_second(client: "redis.Redis", namespace: str) -> None:
    opened(client, namespace, lifetimes=Lifetimes(leeway_seconds=0))
