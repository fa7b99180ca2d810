"""connect: one URL, explicit timeouts, no hidden retries, no secrets in messages; and what a sick Redis looks like."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from revocation import ConfigurationError, DenylistUnavailableError, Handle, RedisDenylist, connect
from revocation.denylist import UNCONDITIONAL
from revocation.redis.connect import DEFAULT_TIMEOUT_SECONDS
from revocation.redis.url import redact
from tests.revocation.forge import ISSUER
from tests.revocation.stores import opened
from tests.servers import Server, StartServer, free_port, plain

SESSION = Handle("session", "s-1", issuer=ISSUER)


def made(url: str) -> Any:
    """A connection as the client makes them, not opened."""
    return plain(connect(url)).connection_pool.make_connection()


# URLs


@pytest.mark.parametrize(
    "url",
    [
        *("redis://127.0.0.1:1/0", "redis://user:p%40ss@127.0.0.1/3", "redis://localhost?db=2", "redis://[::1]:7000/0"),
        *(
            "rediss://127.0.0.1:1/0?ssl_ca_certs=/x",
            "unix:///tmp/x.sock",
            "unix://u:p@/tmp/x.sock?db=1",
            "embedded:/tmp/x",
        ),
    ],
)
def test_every_timeout_is_explicit_and_nothing_is_retried(url: str) -> None:
    connection = made(url)

    assert connection.socket_timeout == DEFAULT_TIMEOUT_SECONDS == 0.1
    assert connection.socket_connect_timeout == DEFAULT_TIMEOUT_SECONDS
    assert connection.retry.get_retries() == 0
    assert connection.health_check_interval == 0
    assert connection.get_protocol() == 2


def test_timeouts_are_the_callers() -> None:
    pool = plain(connect("unix:///tmp/x.sock", timeout_seconds=3)).connection_pool

    assert pool.connection_kwargs["socket_timeout"] == pool.connection_kwargs["socket_connect_timeout"] == 3


def test_connecting_asks_nothing() -> None:
    connect(f"redis://127.0.0.1:{free_port()}/0")
    connect("unix:///nowhere/at/all.sock")


def test_tls_checks_certificate_and_host_unless_told_otherwise() -> None:
    connection = made("rediss://redis.example/0")

    assert connection.check_hostname is True
    assert connection.cert_reqs.name == "CERT_REQUIRED"


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost", "localhost:6379", "http://localhost", "redis:localhost", "REDIS://localhost", "redis+x://h"),
        *("redis://localhost:99999", "redis://localhost:port", "redis://[::1", "redis://localhost?db=x"),
        *(
            "redis://localhost?sockettimeout=1",
            "redis://localhost?ssl=1",
            "unix:///tmp/x?nope=1",
            "memory:",
            "memory://",
        ),
        *("redis://h?socket_timeout=50", "redis://h?retry=5", "redis://h?retry_on_timeout=1", "redis://h?protocol=3"),
        *("redis://h?decode_responses=1", "redis://h?health_check_interval=9", "redis://h?socket_connect_timeout="),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError):
        connect(url)


@pytest.mark.parametrize(
    "url",
    [
        *("redis://user:s3cret@localhost:99999/0", "redis://:s3cret@localhost:port", "foo://:s3cret@localhost"),
        *(
            "redis://localhost?password=s3cret&nope=1",
            "redis://:pa/s3cret@localhost/0",
            "redis://:s3cret/pa@localhost/0",
        ),
        *("redis://:s3cret#x@localhost:x", "redis://u:x?s3cret@localhost", "redis://u:[s3cret@localhost/0"),
        *("redis://u:s3cret@[::1", "unix://u:s3cret@/tmp/x?nope=1", "rediss://:x@s3cret@localhost?nope=1"),
        *("redis://localhost?retry=1&password=s3cret", "redis://s3cret@localhost:x"),
    ],
)
def test_no_message_shows_a_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(url)

    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__


def test_a_redacted_url_shows_where_but_not_who() -> None:
    assert redact("redis://user:s3cret@localhost:6379/0") == "redis://***@localhost:6379/0"
    assert redact("redis://localhost:6379/0") == "redis://localhost:6379/0"
    assert redact("embedded") == "embedded"


def test_an_embedded_server_may_live_in_any_directory(tmp_path: Path) -> None:
    directory = tmp_path / "a b?c#d%41"

    assert plain(connect(f"embedded:{directory}")).connection_pool.connection_kwargs["path"] == str(
        directory / "valkey.sock"
    )


def test_memory_is_a_server_of_its_own_each_time() -> None:
    one, other = plain(connect("memory")), plain(connect("memory"))
    one.set("x", 1)

    assert other.get("x") is None
    assert opened(one, "denylist").latest_cutoff([SESSION]) == 0


# Sick servers


def unavailable(denylist: RedisDenylist, ask: Callable[[RedisDenylist], object]) -> float:
    """How long it took to say that there is no answer, in seconds."""
    started = time.monotonic()
    with pytest.raises(DenylistUnavailableError):
        ask(denylist)
    return time.monotonic() - started


QUESTIONS: dict[str, Callable[[RedisDenylist], object]] = {
    "check": lambda denylist: denylist.latest_cutoff([SESSION]),
    "revoke": lambda denylist: denylist.revoke(SESSION),
    "undo": lambda denylist: denylist.undo("1-1-00000000"),
    "mint": lambda denylist: denylist.now_ms(),
    "find": lambda denylist: denylist.find("1-1-00000000"),
    "page": lambda denylist: denylist.page(),
    "open": lambda denylist: denylist.open(),
    "head": lambda denylist: denylist.head(),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_hung_server_costs_one_timeout(start_server: StartServer, question: str) -> None:
    server = start_server()
    denylist = opened(connect(server.url, timeout_seconds=0.3), "denylist")
    denylist.revoke(SESSION)

    with server.paused():
        elapsed = unavailable(denylist, QUESTIONS[question])

    assert 0.25 < elapsed < 3


@pytest.mark.parametrize("warm", [True, False])
def test_a_hung_server_is_soon_left_alone_and_taken_back_when_it_recovers(
    start_server: StartServer, warm: bool
) -> None:
    server = start_server()
    patient = opened(server.client(), "denylist")
    patient.revoke(SESSION)
    denylist = RedisDenylist(connect(server.url, timeout_seconds=0.3))
    if warm:
        denylist.latest_cutoff([SESSION])

    with server.paused():
        for _ in range(3):
            assert unavailable(denylist, QUESTIONS["check"]) < 3
        assert denylist.link.breaker.is_open
        # At most one call a second is let through now, and all others cost nothing.
        elapsed = [unavailable(denylist, QUESTIONS["check"]) for _ in range(200)]
        assert sorted(elapsed)[150] < 0.05
    deadline = time.monotonic() + 10
    while denylist.link.breaker.is_open:
        try:
            assert denylist.latest_cutoff([SESSION]) == UNCONDITIONAL
        except DenylistUnavailableError:
            assert time.monotonic() < deadline, "it never recovered"
            time.sleep(0.01)


def test_a_listener_that_never_answers_costs_one_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        denylist = RedisDenylist(connect(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", timeout_seconds=0.3))

        assert 0.25 < unavailable(denylist, QUESTIONS["check"]) < 3


def test_a_listener_that_speaks_something_else_is_no_answer() -> None:
    for said in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff\x15\x03\x03", b"$5\r\nab", b""):
        with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:

            def answer(listener: socket.socket = listener, said: bytes = said) -> None:
                peer, _ = listener.accept()
                with peer:
                    peer.recv(1000)
                    peer.sendall(said)

            threads.submit(answer)
            url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
            unavailable(RedisDenylist(connect(url, timeout_seconds=1)), QUESTIONS["check"])


@pytest.mark.parametrize("url", ["unix:///nowhere/at/all.sock", "redis://127.0.0.1:{port}/0"])
def test_a_server_that_is_not_there_is_noticed_at_once(url: str) -> None:
    denylist = RedisDenylist(connect(url.format(port=free_port()), timeout_seconds=5))

    assert unavailable(denylist, QUESTIONS["check"]) < 3


def test_a_server_that_dies_is_unavailable_and_never_an_answer(start_server: StartServer) -> None:
    server = start_server()
    denylist = opened(connect(server.url, timeout_seconds=1), "denylist")
    denylist.revoke(SESSION)
    server.kill()

    for ask in QUESTIONS.values():
        unavailable(denylist, ask)


def test_a_full_server_refuses_revocations_and_still_answers_checks(start_server: StartServer) -> None:
    server = start_server()
    denylist = opened(connect(server.url, timeout_seconds=5), "denylist")
    denylist.revoke(SESSION)
    before = denylist.head()
    server.client().config_set("maxmemory", "1")

    for _ in range(5):
        unavailable(denylist, QUESTIONS["revoke"])
    assert denylist.latest_cutoff([SESSION]) == UNCONDITIONAL
    assert not denylist.link.breaker.is_open

    server.client().config_set("maxmemory", "0")
    assert denylist.head() == before
    denylist.revoke(SESSION)


def test_more_calls_at_once_than_connections_say_nothing_about_the_server(valkey: Server, namespace: str) -> None:
    opened(valkey.client(), namespace)
    denylist = RedisDenylist(connect(f"{valkey.url}?max_connections=1", timeout_seconds=10), namespace=namespace)
    denylist.latest_cutoff([SESSION])
    taken = denylist.link.client.connection_pool.get_connection()

    for _ in range(10):
        unavailable(denylist, QUESTIONS["check"])
    assert not denylist.link.breaker.is_open

    denylist.link.client.connection_pool.release(taken)
    assert denylist.latest_cutoff([SESSION]) == 0


def test_a_cluster_of_which_no_node_answers_is_unavailable() -> None:
    denylist = RedisDenylist(connect(f"redis+cluster://127.0.0.1:{free_port()}"))
    with pytest.raises(DenylistUnavailableError):
        denylist.latest_cutoff([SESSION])
