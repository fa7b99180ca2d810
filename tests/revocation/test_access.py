"""Which servers are refused, and who may reach one: eviction, few rights, TLS."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from revocation import (
    ConfigurationError,
    ConflictError,
    DenylistUnavailableError,
    Handle,
    Lifetimes,
    RedisDenylist,
    connect,
)
from revocation.denylist import UNCONDITIONAL
from revocation.doctor.rights import NEEDED
from revocation.redis.follower import Follower
from tests.support.certificates import certificates
from tests.support.denylists import SESSION, SUBJECT, all_pages, can_mint, opened, until
from tests.support.ports import free_port
from tests.support.servers import Make, Server, StartServer
from tests.support.tokens import ISSUER, claims_of

#: The rules of a Redis user that may do what the library does, and nothing else; tests/test_rights.py compares them
#: with the code. SELECT is needed besides where the URL names a database; INFO may be left out (one warning says that
#: the eviction policy cannot be read), and so may WAIT (a SET takes its place).
MINIMAL_ACL = tuple(f"+{name}" for name in NEEDED)


# Eviction


def test_a_server_that_evicts_is_refused(start_server: StartServer) -> None:
    server = start_server("valkey", "--maxmemory-policy", "allkeys-lru")
    denylist = RedisDenylist(connect(server.url, timeout_seconds=5))

    for ask in (lambda: denylist.latest_cutoff([SUBJECT]), lambda: denylist.revoke(SUBJECT), denylist.open):
        with pytest.raises(DenylistUnavailableError, match=r"allkeys-lru.*allow eviction") as refused:
            ask()
        assert refused.value.settings == ("allow_eviction",)

    allowed = RedisDenylist(connect(server.url, timeout_seconds=5), allow_eviction=True)
    allowed.open(accept_existing=True)
    assert allowed.latest_cutoff([SUBJECT]) == 0
    server.client().config_set("maxmemory-policy", "noeviction")
    assert denylist.latest_cutoff([SUBJECT]) == 0


# Who may touch it


def with_user(server: Server, *rules: str) -> str:
    """The URL of a Redis user with these rules."""
    admin: Any = server.client()  # whose execute_command has no types
    admin.execute_command("ACL", "SETUSER", "library", "reset", "on", ">pass", *rules)
    return server.url.replace("unix://", "unix://library:pass@")


def follow(denylist: RedisDenylist, *, beats: int, follower: Follower | None = None) -> Follower:
    """Some beats of a follower, one by one."""
    follower = follower or Follower(denylist, shortest_seconds=0.004, longest_seconds=0.1)
    follower._id = "stepped"
    for _ in range(beats):
        follower.beat()
    return follower


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_user_without_wait_writes_a_key_with_every_check_and_is_warned_once(
    start_server: StartServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(make)
    url = with_user(server, "~{denylist}:*", *(rule for rule in MINIMAL_ACL if rule != "+wait"))
    denylist = RedisDenylist(connect(url, timeout_seconds=5))
    with caplog.at_level(logging.WARNING, "revocation"):
        denylist.open(accept_existing=True)
        for _ in range(3):
            assert denylist.latest_cutoff([SESSION]) == 0
            assert denylist.revoke(SUBJECT).revocation is not None
            follow(denylist, beats=2)

    assert [record.getMessage() for record in caplog.records if "WAIT" in record.getMessage()] == [
        "This user of Redis may not use WAIT: grant it `+wait`. Until then every check writes a key."
    ]
    assert server.client().exists("{denylist}:probe")
    # On a replica that write fails, so a server that was demoted does not vouch.
    server.client().replicaof("127.0.0.1", "1")
    with pytest.raises(DenylistUnavailableError, match="not the primary"):
        denylist.latest_cutoff([SESSION])


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_user_with_few_rights_can_do_everything_and_is_never_refused(start_server: StartServer, make: Make) -> None:
    server = start_server(make)
    url = with_user(server, "~{denylist}:*", *MINIMAL_ACL)
    lasting = Lifetimes(max_token_seconds=1, leeway_seconds=0, margin_seconds=0)
    denylist = RedisDenylist(connect(url, timeout_seconds=5), lifetimes=lasting)

    denylist.open(accept_existing=True)
    claims = claims_of(issued_at_ms=denylist.now_ms())
    receipt = denylist.revoke_many(claims.handles, reason="all kinds")
    assert denylist.latest_cutoff(claims.handles) == UNCONDITIONAL
    for _ in range(9):
        denylist.revoke(SUBJECT)
    server.client().xadd("{denylist}:log", {"junk": "1"}, id=f"{denylist.now_ms() + 5000}-0")
    denylist.revoke(SUBJECT)
    server.client().xtrim("{denylist}:log", maxlen=0, approximate=False)
    server.client().zadd("{denylist}:lasting:expiry", {"stale": 1})
    denylist.revoke(SUBJECT)
    assert len(all_pages(denylist, limit=2)) > 9
    with pytest.raises(ConflictError):
        denylist.undo(receipt.revocations[2].id)
    assert denylist.undo(receipt.revocations[1].id)
    assert denylist.find(receipt.revocations[4].id) is not None
    assert denylist.undo(receipt.revocations[4].id)
    for name in ("app:session:x", "app:session:missing"):
        server.client().hset("{denylist}:app:session:x", "exp", denylist.now_ms() // 1000 + 600)
        denylist.end_many({SESSION: name})
    key = Handle("key", "k1", issuer=ISSUER)
    for _ in range(2):
        denylist.revoke(key, actor="root")
    assert len(denylist.of_handle(key)) == 1
    denylist.changes(after=denylist.changes()[1])
    follow(denylist, beats=3)
    time.sleep(1.1)  # the horizon: the log is trimmed
    denylist.revoke(SUBJECT)
    assert server.client().xlen("{denylist}:log") < 10
    # The follower opens a new epoch and gives the key back.
    follower = follow(denylist, beats=3)
    server.client().delete("{denylist}:head", denylist.key(key.name), "{denylist}:lasting", "{denylist}:lasting:expiry")
    follow(denylist, beats=3, follower=follower)
    server.client().delete(denylist.key(key.name))
    denylist.open(new_epoch=True)
    until(lambda: can_mint(denylist))
    follow(denylist, beats=3, follower=follower)
    assert denylist.latest_cutoff([key]) == UNCONDITIONAL
    denylist.leases.give_back("stepped")
    denylist.revoke(SUBJECT, wait_seconds=1)
    assert denylist.leases.ages() == {}
    server.client().set("{denylist}:head", "1 e 1 0-0 - 0 86400 key:a:b")
    denylist.open(new_epoch=True)

    assert server.client().acl_log() == []


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_user_with_few_rights_can_do_nothing_else(start_server: StartServer, make: Make) -> None:
    server = start_server(make)
    client: Any = connect(with_user(server, "~{denylist}:*", *MINIMAL_ACL), timeout_seconds=5)
    forbidden: list[tuple[str, ...]] = [
        *(
            ("FLUSHALL",),
            ("FLUSHDB",),
            ("KEYS", "*"),
            ("SCAN", "0"),
            ("CONFIG", "GET", "*"),
            ("CONFIG", "SET", "a", "b"),
        ),
        *(("EVAL", "return 1", "0"), ("SCRIPT", "FLUSH"), ("FUNCTION", "LIST"), ("ACL", "LIST"), ("SHUTDOWN",)),
        *(("GET", "other"), ("SET", "denylist:x", "1"), ("MGET", "{denylist}:head", "other"), ("DEL", "{other}:head")),
        *(
            ("XGROUP", "CREATE", "{denylist}:log", "g", "0"),
            ("XDEL", "{denylist}:log", "1-1"),
            ("EXPIRE", "{denylist}:x", "1"),
        ),
        *(("RENAME", "{denylist}:head", "{denylist}:x"), ("CLIENT", "LIST"), ("MONITOR",)),
        *(("PUBLISH", "c", "m"), ("REPLICAOF", "NO", "ONE"), ("MIGRATE", "h", "1", "k", "0", "1"), ("SAVE",)),
    ]
    for command in forbidden:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)


def test_a_script_may_not_reach_beyond_the_namespace(start_server: StartServer) -> None:
    server = start_server()
    url = with_user(server, "~{denylist}:*", *MINIMAL_ACL)
    other = RedisDenylist(connect(url, timeout_seconds=5), namespace="other")
    opened(server.client(), "other")

    with pytest.raises(DenylistUnavailableError):
        other.latest_cutoff([SUBJECT])
    with pytest.raises(DenylistUnavailableError):
        other.revoke(SUBJECT)


def test_an_unreadable_eviction_policy_is_one_warning(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server()
    url = with_user(server, "~{denylist}:*", *(rule for rule in MINIMAL_ACL if rule != "+info"))
    denylist = RedisDenylist(connect(url, timeout_seconds=5))

    with caplog.at_level(logging.WARNING, "revocation"):
        denylist.open(accept_existing=True)
        for _ in range(3):
            denylist.latest_cutoff([SUBJECT])
            denylist.revoke(SUBJECT)

    assert [record.getMessage() for record in caplog.records if "eviction policy" in record.getMessage()] == [
        "The eviction policy of Redis cannot be read; make sure that maxmemory-policy is noeviction."
    ]


def test_wrong_credentials_are_no_answer(start_server: StartServer) -> None:
    server = start_server()
    url = with_user(server, "~{denylist}:*", *MINIMAL_ACL).replace(":pass@", ":wrong@")

    with pytest.raises(DenylistUnavailableError, match="refuses the user or the password") as caught:
        RedisDenylist(connect(url, timeout_seconds=5)).latest_cutoff([SUBJECT])
    assert caught.value.settings == ("redis_url",)


# TLS


def test_tls_with_the_right_authority_and_host_works(start_server: StartServer, tmp_path: Path) -> None:
    own = certificates(tmp_path / "own", host="127.0.0.1")
    server = start_server("redis", tls=own)

    denylist = opened(
        connect(f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={own.authority}", timeout_seconds=5), "denylist"
    )

    assert denylist.revoke(SUBJECT).revocation is not None
    assert denylist.latest_cutoff([SUBJECT]) > 0


def test_every_new_tls_connection_is_ready_at_once(start_server: StartServer, tmp_path: Path) -> None:
    """TLS 1.3 sends session tickets after the handshake, which are no answer of Redis and no sign of a broken link."""
    own = certificates(tmp_path / "own", host="127.0.0.1")
    url = f"rediss://127.0.0.1:{start_server('redis', tls=own).port}/0?ssl_ca_certs={own.authority}"
    opened(connect(url, timeout_seconds=5), "denylist")

    for _ in range(30):
        assert RedisDenylist(connect(url, timeout_seconds=5)).latest_cutoff([SUBJECT]) == 0


def test_tls_with_an_unknown_authority_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    own = certificates(tmp_path / "own", host="127.0.0.1")
    foreign = certificates(tmp_path / "foreign", host="127.0.0.1")
    server = start_server("redis", tls=own)

    for trust in (f"?ssl_ca_certs={foreign.authority}", ""):
        denylist = RedisDenylist(connect(f"rediss://127.0.0.1:{server.port}/0{trust}", timeout_seconds=5))
        with pytest.raises(DenylistUnavailableError, match=r"(?i)certificate is not accepted") as caught:
            denylist.latest_cutoff([SUBJECT])
        assert caught.value.settings == ("redis_url",)


def test_tls_to_another_host_than_the_certificate_names_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    own = certificates(tmp_path / "own", host="redis.example")
    server = start_server("redis", tls=own)

    url = f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={own.authority}"
    with pytest.raises(DenylistUnavailableError, match=r"(?i)certificate.*127\.0\.0\.1"):
        RedisDenylist(connect(url, timeout_seconds=5)).latest_cutoff([SUBJECT])


@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster"])
def test_a_file_that_goes_missing_later_is_named_and_no_waiting_is_said_to_help(tmp_path: Path, scheme: str) -> None:
    """A connection that is made later needs the file again."""
    own = certificates(tmp_path / "own", host="127.0.0.1")
    url = f"{scheme}://127.0.0.1:{free_port()}?ssl_ca_certs={own.authority}"
    denylist = RedisDenylist(connect(url, timeout_seconds=5))
    own.authority.unlink()

    with pytest.raises(DenylistUnavailableError, match=f"ssl_ca_certs names {own.authority}") as caught:
        denylist.latest_cutoff([SUBJECT])
    assert caught.value.settings == ("redis_url",)

    with pytest.raises(ConfigurationError, match=f"ssl_ca_certs names {own.authority}"):
        connect(url)


def test_a_server_that_is_away_is_no_fault_of_the_settings(tmp_path: Path) -> None:
    own = certificates(tmp_path / "own", host="127.0.0.1")
    for url in (f"rediss://127.0.0.1:{free_port()}?ssl_ca_certs={own.authority}", f"redis://127.0.0.1:{free_port()}"):
        with pytest.raises(DenylistUnavailableError, match="does not answer") as caught:
            RedisDenylist(connect(url, timeout_seconds=5)).latest_cutoff([SUBJECT])
        assert caught.value.settings == ()


def test_no_tls_to_a_tls_port_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("redis", tls=certificates(tmp_path, host="127.0.0.1"))

    with pytest.raises(DenylistUnavailableError):
        RedisDenylist(connect(f"redis://127.0.0.1:{server.port}/0", timeout_seconds=5)).latest_cutoff([SUBJECT])
