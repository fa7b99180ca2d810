"""What is particular to the deny-list in Redis: one MGET, one script, readable keys, and many callers at once."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import redis

from revocation import (
    DenylistEmptyError,
    DenylistUnavailableError,
    Handle,
    RedisDenylist,
    connect,
)
from revocation.denylist import UNCONDITIONAL
from revocation.redis.follower import Follower
from tests.support.denylists import SESSION, SUBJECT, can_mint, log_of, opened, until
from tests.support.servers import Make, Server, StartServer
from tests.support.tokens import ISSUER, claims_of


def calls(client: "redis.Redis") -> dict[str, int]:
    """How often each command was run since the last CONFIG RESETSTAT."""
    stats = cast("dict[str, dict[str, int]]", client.info("commandstats"))
    return {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}


# Asking


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_check_is_one_mget_and_one_wait_whatever_the_number_of_handles(start_server: StartServer, make: Make) -> None:
    client = start_server(make).client()
    denylist = opened(client, "denylist")
    claims = claims_of(issued_at_ms=denylist.now_ms())
    denylist.revoke_many([Handle("subject", f"other-{number}", issuer=ISSUER) for number in range(10)])
    denylist.latest_cutoff(claims.handles)
    client.config_resetstat()

    for count in range(len(claims.handles) + 1):
        denylist.latest_cutoff(claims.handles[:count])
    denylist.latest_cutoffs([claims.handles] * 50)

    counted = {name: number for name, number in calls(client).items() if name not in ("config|resetstat", "info")}
    assert counted == {"mget": 8, "wait": 8}


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_check_is_one_round_trip_also_while_an_epoch_is_young(start_server: StartServer, make: Make) -> None:
    client = start_server(make).client()
    denylist = RedisDenylist(client)
    denylist.open()
    until(lambda: can_mint(denylist))
    denylist.latest_cutoff([SUBJECT])
    client.config_resetstat()
    trips = 0
    connection: Any = cast("Any", client.connection_pool).get_connection()
    client.connection_pool.release(connection)

    with pytest.MonkeyPatch.context() as patched:
        send = connection.send_packed_command

        def counted(command: Any, **options: Any) -> None:
            nonlocal trips
            trips += 1
            send(command, **options)

        patched.setattr(connection, "send_packed_command", counted)
        denylist.latest_cutoff([SUBJECT, SESSION])

    assert trips == 1
    asked = calls(client)
    assert (asked["mget"], asked["time"], asked["wait"]) == (1, 1, 1)


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


def test_a_revoked_key_stands_in_its_entry_and_in_lasting_and_never_ends(denylist: RedisDenylist) -> None:
    client, key = denylist.link.client, Handle("key", "k1", issuer=ISSUER)
    made = denylist.revoke(key, actor="root").revocations[0]

    assert client.pttl(denylist.key(key.name)) == -1
    assert client.zscore(denylist.key("lasting:expiry"), made.id) == UNCONDITIONAL
    assert denylist.latest_cutoff([key]) == UNCONDITIONAL
    assert key.name not in denylist.head().text


def test_a_revoked_key_is_known_to_who_follows_later_though_its_entry_and_its_line_are_gone(
    denylist: RedisDenylist,
) -> None:
    client, key = denylist.link.client, Handle("key", "k1", issuer=ISSUER)
    denylist.revoke(key)
    client.delete(denylist.key(key.name), denylist.key("log"))
    denylist.open(new_epoch=True)
    until(lambda: can_mint(denylist))
    follower = Follower(denylist, shortest_seconds=0.004)
    follower._id = "stepped"

    for _ in range(3):
        follower.beat()

    assert follower._view.stamp > -math.inf
    assert follower._view.latest_cutoff([key]) == UNCONDITIONAL


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
    client.hset(denylist.key("app:session:1"), "exp", denylist.now_ms() // 1000 + 600)
    client.hset(denylist.key("app:session:2"), "exp", denylist.now_ms() // 1000 + 600)

    denylist.end_many({SESSION: "app:session:1"})
    denylist.end_many({SESSION: "app:session:missing"})

    assert not client.exists(denylist.key("app:session:1"))
    assert client.exists(denylist.key("app:session:2"))
    with pytest.raises(DenylistEmptyError):
        client.delete(denylist.key("head")), denylist.end_many({SESSION: "app:session:2"})
    assert client.exists(denylist.key("app:session:2"))


def test_an_ended_session_stays_revoked_for_as_long_as_the_last_access_token_it_was_given(
    denylist: RedisDenylist,
) -> None:
    client, exp = denylist.link.client, denylist.now_ms() // 1000 + 600
    client.hset(denylist.key("app:session:1"), "exp", exp)

    ended = denylist.end_many({SESSION: "app:session:1"}).revocation

    assert ended is not None
    assert ended.expires_at_ms == denylist.lifetimes.dead_at_ms(exp)
    assert 600_000 < client.pttl(denylist.key(SESSION.name)) <= 600_000 + 90_000


def test_a_record_that_is_none_keeps_the_session_from_being_half_ended(denylist: RedisDenylist) -> None:
    client = denylist.link.client
    client.set(denylist.key("app:session:1"), "state")

    with pytest.raises(DenylistUnavailableError, match="no part of a deny-list"):
        denylist.end_many({SESSION: "app:session:1"})

    assert client.exists(denylist.key("app:session:1"))
    assert denylist.latest_cutoff([SESSION]) == 0
    assert log_of(denylist) == []


@pytest.mark.parametrize("foreign", range(3))
def test_a_batch_of_which_one_entry_is_of_another_type_writes_nothing(denylist: RedisDenylist, foreign: int) -> None:
    client = denylist.link.client
    handles = [SUBJECT, SESSION, Handle("key", "k", issuer=ISSUER)]
    client.hset(denylist.key(handles[foreign].name), "x", "y")
    before = denylist.head()

    for _ in range(2):
        with pytest.raises(DenylistUnavailableError, match="no part of a deny-list"):
            denylist.revoke_many(handles)

    assert log_of(denylist) == []
    assert denylist.head() == before
    assert [client.exists(denylist.key(one.name)) for one in handles] == [one == foreign for one in range(3)]


# The same once more


def test_the_same_once_more_writes_neither_entry_nor_line(denylist: RedisDenylist) -> None:
    client = denylist.link.client
    handles = [SUBJECT, SESSION, Handle("key", "k", issuer=ISSUER)]
    first = denylist.revoke_many(handles[1:], actor="root", reason="stolen").revocations
    subject = denylist.revoke(SUBJECT, actor="root", reason="stolen", issued_before_ms=5).revocations[0]
    entries = [client.get(denylist.key(one.name)) for one in handles]
    before = log_of(denylist), client.hgetall(denylist.key("lasting"))

    again = denylist.revoke_many(handles[1:], actor="root", reason="stolen").revocations
    once_more = denylist.revoke(SUBJECT, actor="root", reason="stolen", issued_before_ms=4).revocations[0]

    assert [one.id for one in again] == [one.id for one in first]
    assert (once_more.id, once_more.issued_before_ms) == (subject.id, 5)
    assert [client.get(denylist.key(one.name)) for one in handles] == entries
    assert (log_of(denylist), client.hgetall(denylist.key("lasting"))) == before


@pytest.mark.parametrize(
    ("actor", "reason"), [("", ""), ("", "stolen"), ("grace", "stolen"), ("root", "found"), ("root", "")]
)
def test_another_actor_another_reason_and_nobody_are_revocations_of_their_own(
    denylist: RedisDenylist, actor: str, reason: str
) -> None:
    denylist.revoke(SESSION, actor="root", reason="stolen")

    own = denylist.revoke(SESSION, actor=actor, reason=reason).revocations[0]
    mine = denylist.revoke(SESSION, actor=actor, reason=reason).revocations[0]

    assert (own.id == mine.id) == bool(actor)
    assert len(log_of(denylist)) == (2 if actor else 3)
    assert denylist.undo(own.id)
    assert denylist.latest_cutoff([SESSION]) == UNCONDITIONAL


def test_a_later_cutoff_by_the_same_actor_is_written(denylist: RedisDenylist) -> None:
    first = denylist.revoke(SUBJECT, actor="root").revocations[0]
    # In the same millisecond it would be the same cut-off.
    until(lambda: denylist.now_ms() > (first.issued_before_ms or 0))
    second = denylist.revoke(SUBJECT, actor="root").revocations[0]

    assert second.id != first.id
    assert denylist.latest_cutoff([SUBJECT]) == second.issued_before_ms


def test_what_ends_too_early_is_written_again_by_the_same_actor(denylist: RedisDenylist) -> None:
    now = denylist.now_ms() // 1000
    ends = [
        denylist.revoke(Handle("token", "t", issuer=ISSUER, expires_at=now + seconds), actor="root").revocations[0]
        for seconds in (60, 600, 300)
    ]

    assert ends[0].id != ends[1].id == ends[2].id
    assert denylist.link.client.pttl(denylist.key("token:" + ends[0].handle.name.partition(":")[2])) > 600_000


def test_while_clocks_are_too_far_apart_every_caller_is_told(valkey: Server, namespace: str) -> None:
    opened(valkey.client(), namespace)
    host = RedisDenylist(valkey.client(), namespace=namespace, clock=lambda: time.time() + 20)
    for _ in range(3):
        with pytest.raises(DenylistUnavailableError, match="too far apart: set both by NTP"):
            host.now_ms()
