"""What is particular to the deny-list in Redis: one MGET, one script, readable keys, and many callers at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
import redis

from revocation import (
    DenylistEmptyError,
    Handle,
    RedisDenylist,
    connect,
)
from revocation.denylist import UNCONDITIONAL
from tests.support.denylists import SESSION, SUBJECT, log_of, opened
from tests.support.servers import Make, Server, StartServer
from tests.support.tokens import ISSUER, claims_of


def calls(client: "redis.Redis") -> dict[str, int]:
    """How often each command was run since the last CONFIG RESETSTAT."""
    stats = cast("dict[str, dict[str, int]]", client.info("commandstats"))
    return {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}


# Asking


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_check_is_one_mget_whatever_the_number_of_handles(start_server: StartServer, make: Make) -> None:
    client = start_server(make).client()
    denylist = opened(client, "denylist")
    claims = claims_of(issued_at_ms=denylist.now_ms())
    denylist.revoke_many([Handle("subject", f"other-{number}", issuer=ISSUER) for number in range(10)])
    denylist.latest_cutoff(claims.handles)
    client.config_resetstat()

    for count in range(len(claims.handles) + 1):
        denylist.latest_cutoff(claims.handles[:count])
    denylist.latest_cutoffs([claims.handles] * 50)

    counted = calls(client)
    assert {name: number for name, number in counted.items() if name not in ("config|resetstat", "info")} == {"mget": 8}


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_revocation_is_one_script(start_server: StartServer, make: Make) -> None:
    client = start_server(make).client()
    denylist = opened(client, "denylist")
    first = denylist.revoke(SUBJECT).revocations[0]
    denylist.undo(first.id)
    client.config_resetstat()

    denylist.revoke_many([Handle("token", f"jti-{number}", issuer=ISSUER) for number in range(256)])
    assert calls(client)["evalsha"] == 1
    denylist.revoke(SUBJECT)
    assert calls(client)["evalsha"] == 2
    assert "eval" not in calls(client)


def test_many_tokens_are_judged_together(denylist: RedisDenylist) -> None:
    now = denylist.now_ms()
    many = [claims_of(issued_at_ms=now - 1000, sub=f"user-{number}", sid=None, key_id=None) for number in range(5)]
    denylist.revoke(Handle.subject(many[1]), issued_before_ms=now - 500)
    denylist.revoke(Handle.token(many[3]))

    cutoffs = denylist.latest_cutoffs([one.handles for one in many])

    assert cutoffs == [0, now - 500, 0, UNCONDITIONAL, 0]
    assert denylist.latest_cutoffs([]) == []
    assert denylist.latest_cutoffs([(), many[3].handles]) == [0, UNCONDITIONAL]


def test_the_constructor_asks_nothing() -> None:
    RedisDenylist(connect("redis://127.0.0.1:1/0"))


def test_a_script_that_the_server_forgot_is_loaded_again(start_server: StartServer) -> None:
    client = start_server().client()
    denylist = opened(client, "denylist")
    client.script_flush()

    assert denylist.revoke(SUBJECT).revocation is not None


# Keys and expiries


def test_an_entry_is_readable_and_its_ttl_ends_with_the_token(denylist: RedisDenylist, namespace: str) -> None:
    now = denylist.now_ms()
    claims = claims_of(issued_at_ms=now, lifetime_seconds=900, iss="auth-example", jti="fN3-_x")

    denylist.revoke(Handle.token(claims))

    key = f"{{{namespace}}}:token:auth-example:fN3-_x"
    client = denylist.link.client
    assert client.exists(key)
    left = client.pttl(key)
    dead_in = 1000 * (claims.expires_at + 30 + 60) - now
    assert dead_in - 10_000 < left <= dead_in
    assert cast("bytes", client.get(key)).startswith(b"* ")


def test_a_value_that_is_not_readable_is_hashed(denylist: RedisDenylist, namespace: str) -> None:
    denylist.revoke(SUBJECT)

    [key] = cast("list[bytes]", list(denylist.link.client.scan_iter(f"{{{namespace}}}:subject:*")))
    _, issuer, value = key.decode().removeprefix(f"{{{namespace}}}:").split(":")
    assert value == "ada"
    assert issuer.startswith("~")
    assert len(issuer) == 65
    assert set(issuer[1:]) <= set("0123456789abcdef")


@pytest.mark.parametrize("seconds", [(600, 60), (60, 600)])
def test_the_ttl_never_shrinks(denylist: RedisDenylist, seconds: tuple[int, int]) -> None:
    now = denylist.now_ms() / 1000
    for after in seconds:
        denylist.revoke(Handle("token", "x", issuer=ISSUER, expires_at=now + after))

    assert denylist.link.client.pttl(denylist.key(Handle("token", "x", issuer=ISSUER).name)) > 680_000


def test_an_entry_that_somebody_made_lasting_stays_so(denylist: RedisDenylist) -> None:
    client, key = denylist.link.client, denylist.key(SUBJECT.name)
    denylist.revoke(SUBJECT)
    client.persist(key)

    second = denylist.revoke(SUBJECT).revocations[0]
    assert client.pttl(key) == -1
    denylist.undo(second.id)
    assert client.pttl(key) == -1


def test_an_entry_never_lives_for_no_time_or_for_ever_by_rounding(denylist: RedisDenylist) -> None:
    client = denylist.link.client
    for offset in (-90.0, -89.999, -89.5, -89.001, -89.0):
        denylist.revoke(Handle("token", f"edge{offset}", issuer=ISSUER, expires_at=denylist.now_ms() / 1000 + offset))

    for key in client.scan_iter(denylist.key("token:*")):
        assert client.pttl(key) != -1


# Entries that this version did not write


@pytest.mark.parametrize(
    "entry",
    [
        *(
            b"",
            b" ",
            b"garbage",
            b"12",
            b"*",
            b"12 ",
            b"12 =12",
            b"12 a=12",
            b"5 1-1-a=5 +a=1",
            b"-5 a=-5",
            b"1e9 1-1-a=1",
            b"\xff 1-1-a=1",
            b"12  1-1-a=12",
        ),
        *(
            b"12 1-1-a=12 ",
            b"12 1-1-a=12\n",
            b"x 1-1-a=5",
            b"12 1-1-a=x",
            b"nan 1-1-a=5",
            b"12.5 1-1-a=5",
            b'{"v":2}',
            b"\xd9\xa1 1-1-a=1",
        ),
    ],
)
def test_an_unreadable_entry_means_revoked_and_stays_so(denylist: RedisDenylist, entry: bytes) -> None:
    denylist.link.client.set(denylist.key(SUBJECT.name), entry, px=600_000)
    assert denylist.latest_cutoff([SUBJECT]) == UNCONDITIONAL

    weaker = denylist.revoke(SUBJECT, issued_before_ms=1).revocation
    assert denylist.latest_cutoff([SUBJECT]) == UNCONDITIONAL

    assert weaker is not None
    assert denylist.undo(weaker.id)
    assert denylist.latest_cutoff([SUBJECT]) == UNCONDITIONAL


def test_a_revoked_key_is_refused_by_the_head_though_its_entry_is_gone(denylist: RedisDenylist) -> None:
    key = Handle("key", "k1", issuer=ISSUER)
    denylist.revoke(key)
    denylist.link.client.delete(denylist.key(key.name))

    assert denylist.latest_cutoff([key]) == UNCONDITIONAL


# Many at once


def test_fifty_threads_revoking_one_handle_leave_a_valid_entry(any_server: Server, namespace: str) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=20), namespace)
    now = denylist.now_ms()
    line = threading.Barrier(50)

    def revoke(number: int) -> str:
        line.wait(30)
        return denylist.revoke(SUBJECT, issued_before_ms=now - number).revocations[0].id

    with ThreadPoolExecutor(50) as threads:
        ids = list(threads.map(revoke, range(50)))

    assert len(set(ids)) == 50
    assert denylist.latest_cutoff([SUBJECT]) == now
    log = log_of(denylist)
    assert len(log) == 50
    assert [fields["prev"] for _, fields in log[1:]] == [f"{id_}-{fields['tag']}" for id_, fields in log[:-1]]
    entry = cast("bytes", denylist.link.client.get(denylist.key(SUBJECT.name))).decode()
    assert len(entry.split(" ")) == 1 + 8
    assert entry == log[-1][1]["entry"]


def test_fifty_threads_undoing_one_revocation_undo_it_once(any_server: Server, namespace: str) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=20), namespace)
    mine, _theirs = denylist.revoke_many([SESSION, SESSION]).revocations

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: denylist.undo(mine.id), range(50)))

    assert sum(answers) == 1
    assert denylist.latest_cutoff([SESSION]) == UNCONDITIONAL


def test_revocations_by_processes_at_the_same_time_are_one_chain(any_server: Server, namespace: str) -> None:
    denylists = [opened(connect(any_server.url, timeout_seconds=20), namespace) for _ in range(4)]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda one: [one.revoke_many([SUBJECT, SESSION]) for _ in range(25)], denylists))

    log = log_of(denylists[0])
    assert len(log) == 200
    assert [fields["prev"] for _, fields in log[1:]] == [f"{id_}-{fields['tag']}" for id_, fields in log[:-1]]


def test_ten_thousand_handles_are_revoked_in_one_call(any_server: Server, namespace: str) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=20), namespace)
    handles = [Handle("token", f"jti-{number}", issuer=ISSUER) for number in range(10_000)]

    receipt = denylist.revoke_many(handles, reason="breach")

    assert [one.handle for one in receipt.revocations] == handles
    assert len({one.id for one in receipt.revocations}) == 10_000
    assert denylist.link.client.xlen(denylist.key("log")) == 10_000
    for first in range(0, 10_000, 1000):
        cutoffs = denylist.latest_cutoffs([[handle] for handle in handles[first : first + 1000]])
        assert cutoffs == [UNCONDITIONAL] * 1000


def test_what_goes_with_a_revocation_goes_in_the_same_step(denylist: RedisDenylist) -> None:
    client = denylist.link.client
    client.set(denylist.key("app:session:1"), "state")
    client.set(denylist.key("app:session:2"), "state")

    denylist.end(SESSION, record="app:session:1")
    denylist.end(SESSION, record="app:session:missing")

    assert not client.exists(denylist.key("app:session:1"))
    assert client.exists(denylist.key("app:session:2"))
    with pytest.raises(DenylistEmptyError):
        client.delete(denylist.key("head")), denylist.end(SESSION, record="app:session:2")
    assert client.exists(denylist.key("app:session:2"))
