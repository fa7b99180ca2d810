"""connect: one URL, explicit timeouts, no hidden retries, no secrets in messages; and what a sick Redis looks like."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis

import revocation
from revocation import (
    ConfigurationError,
    Decision,
    DenylistUnavailableError,
    Guard,
    Handle,
    RedisDenylist,
    connect,
)
from revocation.defaults import TIMEOUT_SECONDS
from revocation.denylist import UNCONDITIONAL
from revocation.redis.connect import drop_connections, require_usable, with_timeout
from revocation.redis.url import redact
from revocation.settings import RevocationSettings
from tests.support.certificates import certificates
from tests.support.denylists import opened, until
from tests.support.ports import free_port
from tests.support.servers import Make, Server, StartServer, plain
from tests.support.tokens import ISSUER, claims_of

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
            "rediss://127.0.0.1:1/0?ssl_check_hostname=no",
            "unix:///tmp/x.sock",
            "unix://u:p@/tmp/x.sock?db=1",
            "embedded:/tmp/x",
        ),
    ],
)
def test_every_timeout_is_explicit_and_nothing_is_retried(url: str) -> None:
    connection = made(url)

    assert connection.socket_timeout == TIMEOUT_SECONDS == 0.1
    assert connection.socket_connect_timeout == TIMEOUT_SECONDS
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
        *("redis://h/x", "redis://h?timeout=1", "redis://h?redis_connect_func=f", "redis://h?max_connections=0"),
        *("redis://h/1?db=2", "redis://u@h?username=v", "embedded://", "rediss://h?ssl_min_version=TLSv1"),
        *("rediss://h?ssl_exclude_verify_flags=NONE_OF_THEM", "rediss://h?ssl_check_hostname=maybe"),
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
        *("redis://u:6379?s3cret@localhost", "redis+sentinel://u:s3cret@h/m", "rediss+cluster://u:s3cret@h:1/m"),
        *("redis+sentinel://h:1/m?sentinel_password=s3cret&nope=1", "redis+cluster://h:1?sentinel_password=s3cret"),
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


# TLS, Sentinel and Cluster


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://h?ssl_ca_certs=/x", "rediss://[user:password@]host"),
        ("redis+sentinel://h:1/m?ssl_ca_certs=/x", "rediss+sentinel://[user:password@]host:port,host:port/service"),
        ("redis+cluster://h:1?ssl_check_hostname=no", "rediss+cluster://[user:password@]host:port,host:port"),
        ("redis+cluster://h:1?sentinel_password=x", "redis+sentinel://[user:password@]host:port,host:port/service"),
        ("rediss://h?sentinel_username=x", "rediss+sentinel://[user:password@]host:port,host:port/service"),
        ("redis+sentinel://h:1/m?sentinel_username=x", "sentinel_username together with sentinel_password"),
        ("redis+cluster://h:1?db=1", "a cluster has no databases"),
        ("redis+cluster://h:1/m", "redis+cluster://[user:password@]host:port,host:port"),
        ("redis+sentinel://h:1,i:2", "host:port/service"),
        ("redis+sentinel://h/m", "host:port,host:port/service"),
        ("rediss+unix:///x", "rediss+cluster://"),
        ("unix:///x?ssl_ca_certs=/x", "rediss://"),
        ("rediss://h?ssl_cert_reqs=none", "certificates are always checked"),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "certificates are always checked"),
        ("rediss+cluster://h:1?ssl_cert_reqs=optional", "certificates are always checked"),
        ("rediss://h?ssl_keyfile=/x", "ssl_keyfile together with ssl_certfile"),
        ("redis://h?retry=3", "no retry: this library decides that"),
    ],
)
def test_a_bad_combination_is_refused_with_the_form_that_is_meant(url: str, told: str) -> None:
    for refused in (connect, lambda url: RevocationSettings.from_mapping({"REVOCATION_REDIS_URL": url})):
        with pytest.raises(ConfigurationError) as caught:
            refused(url)

        assert told in str(caught.value)


@pytest.mark.parametrize("scheme", ["rediss://h:1/0", "rediss+cluster://h:1", "rediss+sentinel://h:1/m"])
@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_ca_path", "ssl_certfile"])
def test_a_file_that_is_missing_is_named_at_once(scheme: str, option: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} names {tmp_path}/none.pem, which does not exist"):
        connect(f"{scheme}?{option}={tmp_path}/none.pem")


def test_a_file_that_holds_something_else_is_named_at_once(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for option in ("ssl_ca_certs", "ssl_certfile"):
        with pytest.raises(ConfigurationError, match=f"{option} names {empty}"):
            connect(f"rediss://h?{option}={empty}")


def test_certificates_of_authority_and_client_are_taken(tmp_path: Path) -> None:
    own = certificates(tmp_path)
    client = f"ssl_certfile={tmp_path}/server.pem&ssl_keyfile={tmp_path}/key.pem"

    connection = made(f"rediss://h:1/2?ssl_ca_certs={own.authority}&{client}&ssl_cert_reqs=required&client_name=me")

    assert (connection.host, connection.port, connection.db, connection.client_name) == ("h", 1, 2, "me")
    assert (connection.ca_certs, connection.certfile) == (str(own.authority), f"{tmp_path}/server.pem")
    assert connection.cert_reqs.name == "CERT_REQUIRED"


def test_sentinels_and_data_nodes_have_users_of_their_own() -> None:
    url = "rediss+sentinel://u:p%40@h:1,i:2/m/3?sentinel_username=v&sentinel_password=q%26&ssl_check_hostname=no"

    pool: Any = plain(connect(url)).connection_pool

    data = pool.make_connection()
    assert (data.username, data.password, data.db, pool.service_name) == ("u", "p@", 3, "m")
    asked = [sentinel.connection_pool.make_connection() for sentinel in pool.sentinel_manager.sentinels]
    assert [(one.host, one.port, one.username, one.password, one.db) for one in asked] == [
        ("h", 1, "v", "q&", 0),
        ("i", 2, "v", "q&", 0),
    ]
    for connection in (data, *asked):
        assert isinstance(connection, redis.SSLConnection)
        assert connection.cert_reqs.name == "CERT_REQUIRED"
        assert connection.check_hostname is False
        assert connection.socket_timeout == connection.socket_connect_timeout == TIMEOUT_SECONDS
        assert connection.retry.get_retries() == 0


def test_one_connection_for_questions_that_wait_reaches_the_same_primary_in_the_same_way() -> None:
    client = plain(connect("rediss+sentinel://u:p@h:1/m", timeout_seconds=1))

    pool: Any = with_timeout(client, added_seconds=2).connection_pool

    connection = pool.make_connection()
    assert isinstance(connection, redis.SSLConnection)
    assert (connection.username, connection.password, connection.socket_timeout) == ("u", "p", 3)
    assert (pool.max_connections, pool.service_name, pool.is_master) == (1, "m", True)


# Other clients


def replicas_only() -> object:
    untyped: Any = redis.sentinel.Sentinel
    return untyped([("127.0.0.1", 1)]).slave_for("m", protocol=2)


UNUSABLE: dict[str, tuple[Callable[[], object], str]] = {
    "URL": (lambda: "redis://:s3cret@h", r"RedisDenylist\(connect\(url\)\)"),
    "nothing": (lambda: None, "builtins.NoneType"),
    "text": (lambda: redis.Redis(decode_responses=True, protocol=2), "decode_responses=True.*leave it out"),
    "RESP3": (lambda: redis.Redis(protocol=3), "set protocol=2"),
    "other shapes": (lambda: redis.Redis(protocol=2, legacy_responses=False), "legacy_responses=False.*leave it out"),
    "other letters": (lambda: redis.Redis(protocol=2, encoding="utf-16"), "encoding='utf-16'.*leave it out"),
    "asyncio": (lambda: redis.asyncio.Redis(protocol=2), "decide_async"),
    "asyncio cluster": (lambda: redis.asyncio.RedisCluster(host="127.0.0.1", protocol=2), "decide_async"),
    "pipeline": (lambda: redis.Redis(protocol=2).pipeline(), "redis.client.Pipeline"),
    "replicas": (replicas_only, "master_for"),
    "fakeredis text": (lambda: fakeredis.FakeRedis(decode_responses=True, protocol=2), "decode_responses=True"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_client_that_cannot_work_is_refused_and_told_what_to_do(name: str) -> None:
    make, told = UNUSABLE[name]

    with pytest.raises(ConfigurationError, match=told) as caught:
        require_usable(make())

    assert "s3cret" not in str(caught.value)


def test_a_cluster_client_of_redis_py_is_refused() -> None:
    # Its constructor would ask the cluster.
    client = object.__new__(redis.RedisCluster)
    with pytest.raises(ConfigurationError, match=r"connect\('redis\+cluster://"):
        require_usable(client)


def test_one_connection_for_all_is_refused(valkey: Server) -> None:
    client = redis.Redis(unix_socket_path=str(valkey.socket), protocol=2, single_connection_client=True)
    with pytest.raises(ConfigurationError, match="single_connection_client"):
        require_usable(client)
    client.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda: redis.Redis(protocol=2),
        redis.Redis,
        lambda: fakeredis.FakeRedis(protocol=2),
        lambda: redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url("redis://h?protocol=2")),
        *(
            lambda url=url: connect(url)
            for url in ("memory", "redis://h", "redis+cluster://h:1", "redis+sentinel://h:1/m")
        ),
    ],
)
def test_clients_that_work_are_taken(make: Callable[[], object]) -> None:
    require_usable(make())


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
    deadline = time.monotonic() + 60
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


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_a_full_server_renews_no_lease_and_trips_nobodys_breaker(start_server: StartServer, make: Make) -> None:
    """A refusal is an answer: bounded checks ask Redis, as soon as the copy is too old, and are answered."""
    server = start_server(make)
    denylist = opened(connect(server.url, timeout_seconds=5), "denylist")
    decisions: list[Decision] = []
    guard = Guard(None, denylist, max_staleness=0.5, on_decision=decisions.append)
    claims = claims_of(issued_at_ms=denylist.now_ms())
    guard.start()
    follower = guard.follower
    assert follower is not None
    try:
        until(lambda: follower.state.age_seconds < 0.5)
        server.client().config_set("maxmemory", "1")
        until(lambda: not follower.state.is_connected)
        while follower.state.age_seconds < 1:
            for bound in (0.5, 0):
                guard.check(claims, max_staleness=bound)
            assert not denylist.link.breaker.is_open
        guard.check(claims)
        assert decisions[-1].source == "redis"

        server.client().config_set("maxmemory", "0")
        until(lambda: follower.state.age_seconds < 0.5)
        assert denylist.leases.living()
    finally:
        guard.stop()


def test_more_calls_at_once_than_connections_say_nothing_about_the_server(valkey: Server, namespace: str) -> None:
    opened(valkey.client(), namespace)
    # Each call waits for a connection until the timeout, so that all of them wait side by side.
    denylist = RedisDenylist(connect(f"{valkey.url}?max_connections=1", timeout_seconds=2), namespace=namespace)
    denylist.latest_cutoff([SESSION])
    taken = denylist.link.client.connection_pool.get_connection()

    with ThreadPoolExecutor(10) as threads:
        for job in [threads.submit(unavailable, denylist, QUESTIONS["check"]) for _ in range(10)]:
            job.result(60)
    assert not denylist.link.breaker.is_open

    denylist.link.client.connection_pool.release(taken)
    assert denylist.latest_cutoff([SESSION]) == 0


def checks_at_once(denylist: RedisDenylist, count: int) -> "Counter[str]":
    """What so many threads are answered that ask at the same moment."""
    together = threading.Barrier(count)

    def check() -> str:
        together.wait(30)
        try:
            return str(denylist.latest_cutoff([SESSION]))
        except DenylistUnavailableError as error:
            return str(error)

    with ThreadPoolExecutor(count) as threads:
        return Counter(job.result(60) for job in [threads.submit(check) for _ in range(count)])


def test_a_burst_waits_for_its_connections(valkey: Server, namespace: str) -> None:
    opened(valkey.client(), namespace)
    denylist = RedisDenylist(connect(f"{valkey.url}?max_connections=3", timeout_seconds=10), namespace=namespace)

    assert checks_at_once(denylist, 60) == {"0.0": 60}
    assert len(denylist.link.client.connection_pool._available_connections) <= 3


def test_a_burst_on_a_hung_server_is_over_after_two_timeouts(start_server: StartServer) -> None:
    server = start_server()
    opened(server.client(), "denylist")
    denylist = RedisDenylist(connect(f"{server.url}?max_connections=2", timeout_seconds=0.5))
    denylist.latest_cutoff([SESSION])

    with server.paused():
        started = time.monotonic()
        answers = checks_at_once(denylist, 20)
        elapsed = time.monotonic() - started

    assert not answers["0.0"]
    assert sum(answers.values()) == 20
    assert elapsed < 30


def test_four_hundred_strict_checks_at_once_under_gevent_are_all_answered(valkey: Server, namespace: str) -> None:
    opened(valkey.client(), namespace)
    program = f"""
from gevent import monkey; monkey.patch_all()
import collections, threading, gevent
from revocation import DenylistUnavailableError, Handle, RedisDenylist, connect
denylist = RedisDenylist(connect({valkey.url!r}, timeout_seconds=5), namespace={namespace!r})
handle = Handle("session", "s-1", issuer="https://auth.example")
denylist.latest_cutoff([handle])
# Redis holds its answers back until every greenlet has asked, or waits for a connection.
denylist.link.client.client_pause(500, all=True)
def check():
    try:
        return str(denylist.latest_cutoff([handle]))
    except DenylistUnavailableError as error:
        return str(error)
jobs = [gevent.spawn(check) for _ in range(400)]
gevent.joinall(jobs, timeout=60)
print(dict(collections.Counter(job.value for job in jobs)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=90, check=False)

    assert done.stdout.strip() == "{'0.0': 400}", done.stdout + done.stderr


def test_a_fork_inherits_no_locked_pool(valkey: Server, namespace: str) -> None:
    opened(valkey.client(), namespace)
    denylist = RedisDenylist(connect(valkey.url, timeout_seconds=5), namespace=namespace)
    denylist.latest_cutoff([SESSION])
    pool: Any = denylist.link.client.connection_pool
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with pool._lock, pool._event_dispatcher._lock:
            locked.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(10)
    child = os.fork()
    if child == 0:  # pragma: no cover  # the child leaves by os._exit
        signal.alarm(20)
        answer = 1
        with contextlib.suppress(BaseException):
            answer = int(denylist.latest_cutoff([SESSION]))
        os._exit(answer)
    done.set()
    holder.join(10)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert denylist.latest_cutoff([SESSION]) == 0


@pytest.mark.parametrize("make", ["server", "memory"])
def test_dropped_connections_end_when_they_are_idle(valkey: Server, make: str) -> None:
    client = plain(connect(valkey.url if make == "server" else "memory", timeout_seconds=5))
    pool: Any = client.connection_pool
    busy, idle = pool.get_connection(), pool.get_connection()
    pool.release(idle)

    drop_connections(client)

    assert idle._sock is None
    assert busy._sock is not None
    pool.release(busy)
    assert busy._sock is None
    assert client.ping()
    client.close()


def modules_after(program: str) -> set[str]:
    """What a new process has imported after this program."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


def test_settings_know_every_url_without_redis_py() -> None:
    # The package itself is not run: what else it imports is not asked here.
    program = f"""
import sys, types
sys.modules["revocation"] = package = types.ModuleType("revocation")
package.__path__ = [{str(Path(revocation.__file__).parent)!r}]
from revocation.settings import RevocationSettings
RevocationSettings.from_mapping({{"REVOCATION_REDIS_URL": "rediss+sentinel://h:1/m"}})
"""
    assert modules_after(program).isdisjoint(
        {"redis", "fcntl", "revocation.redis.embedded", "revocation.redis.connect"}
    )


def test_only_a_url_with_sentinels_imports_what_is_made_for_them() -> None:
    """redis-py imports its parts for Sentinels and clusters by itself; this library adds nothing to that."""
    assert "revocation.redis.sentinel" not in modules_after("from revocation import connect; connect('redis://h')")
    assert "revocation.redis.sentinel" in modules_after(
        "from revocation import connect; connect('redis+sentinel://h:1/m')"
    )


def test_a_cluster_of_which_no_node_answers_is_unavailable() -> None:
    denylist = RedisDenylist(connect(f"redis+cluster://127.0.0.1:{free_port()}"))
    with pytest.raises(DenylistUnavailableError):
        denylist.latest_cutoff([SESSION])
