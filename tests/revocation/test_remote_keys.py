"""RemoteKeys: keys of a real issuer, over HTTP and HTTPS, while it exchanges them, errs, hangs and lies."""

import asyncio
import contextlib
import logging
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from revocation import (
    Accepted,
    Claims,
    ConfigurationError,
    Guard,
    InvalidTokenError,
    MemoryDenylist,
    RemoteKeys,
    TokenVerifier,
)
from revocation.https import Https
from revocation.remote_keys import LONGEST_FRESH_SECONDS, PAUSE_SECONDS
from revocation.testing import Clock
from tests.support.certificates import Certificates, certificates
from tests.support.ports import free_port
from tests.support.processes import spawned
from tests.support.provider import Answer, Provider, providing
from tests.support.tokens import AUDIENCE, encoded


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def keys(provider: Provider, clock: Clock) -> RemoteKeys:
    return RemoteKeys(provider.jwks_url, http_on_loopback=True, clock=clock)


def verifier_of(provider: Provider, keys: RemoteKeys, **options: Any) -> TokenVerifier:
    return TokenVerifier(keys, issuer=provider.issuer, audience=AUDIENCE, **options)


@pytest.fixture
def verifier(provider: Provider, keys: RemoteKeys) -> TokenVerifier:
    return verifier_of(provider, keys)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a thread in the background does."""
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.002)


def reason(verifier: TokenVerifier, token: str) -> str | None:
    try:
        verifier.verify(token)
    except InvalidTokenError as error:
        return error.reason
    return None


def ids(keys: RemoteKeys) -> list[str]:
    return [key.id for key in keys.key_set()]


# Reading


def test_nothing_is_asked_before_there_is_a_token(provider: Provider, verifier: TokenVerifier) -> None:
    assert provider.asked.total() == 0
    assert verifier.verify(provider.token()).key_id == "key-1"
    for _ in range(3):
        assert reason(verifier, provider.token()) is None
    assert provider.fetches == 1


def test_a_key_that_the_issuer_has_by_now_is_found_at_once(provider: Provider, verifier: TokenVerifier) -> None:
    assert reason(verifier, provider.token()) is None
    for kind in (RSAKey, ECKey):
        provider.rotate(kind=kind)
        assert reason(verifier, provider.token()) is None
        verifier._keys._caused_at -= PAUSE_SECONDS  # type: ignore[attr-defined]  # as if ten seconds had passed
    assert provider.fetches == 3


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        *(("max-age=600", 600), ("public, MAX-AGE=600, must-revalidate", 600), ('max-age="600"', 600)),
        *(("max-age=1", 60), ("max-age=0", 60), ("no-store", 60), ("no-cache, max-age=600", 60)),
        *(("max-age=31536000", 3600), ("max-age=9999999999", 3600)),
        *(("public", 300), ("", 300), ("s-maxage=600", 300), ("max-age=x", 300), ("max-age=-5", 300)),
    ],
)
def test_keys_are_read_again_when_the_issuer_says_so_within_bounds(
    provider: Provider, keys: RemoteKeys, clock: Clock, control: str, seconds: int
) -> None:
    provider.headers["Cache-Control"] = control
    keys.key_set()
    clock.advance(seconds - 0.01)
    keys.key_set()
    assert provider.fetches == 1
    clock.advance(0.01)
    keys.key_set()
    until(lambda: provider.fetches == 2)


def test_the_age_of_an_answer_counts(provider: Provider, keys: RemoteKeys, clock: Clock) -> None:
    provider.headers |= {"Cache-Control": "max-age=600", "Age": "400"}
    keys.key_set()
    clock.advance(200)
    keys.key_set()
    until(lambda: provider.fetches == 2)


def test_nobody_waits_for_a_look_in_the_background(
    provider: Provider, keys: RemoteKeys, verifier: TokenVerifier, clock: Clock
) -> None:
    assert reason(verifier, provider.token()) is None
    provider.answers.clear()
    clock.advance(300)
    for _ in range(3):
        assert reason(verifier, provider.token()) is None
    until(lambda: provider.fetches == 2)

    provider.rotate()
    provider.answers.set()
    until(lambda: ids(keys) == ["key-2", "key-1"])
    assert reason(verifier, provider.token()) is None


def test_keys_that_nobody_asked_for_in_hours_are_read_before_they_are_used(
    provider: Provider, verifier: TokenVerifier, clock: Clock
) -> None:
    old = provider.token()
    assert reason(verifier, old) is None
    provider.rotate(keep=0)
    clock.advance(LONGEST_FRESH_SECONDS)

    assert reason(verifier, old) == "unknown_key"


def test_the_set_is_the_same_where_the_keys_are(provider: Provider, keys: RemoteKeys, clock: Clock) -> None:
    """Another set would make every verifier forget the tokens that it has verified."""
    provider.rotate()
    first = keys.key_set()
    clock.advance(PAUSE_SECONDS)
    provider.keys.reverse()
    assert keys.refreshed() is first
    assert provider.fetches == 2


# Errors


def broken(provider: Provider, **change: Any) -> dict[str, Answer | Callable[[BaseHTTPRequestHandler], Answer | None]]:
    def drip(request: BaseHTTPRequestHandler) -> None:
        """Send a byte whenever the reader has lost patience with a socket that sends nothing."""
        stop = time.monotonic() + 60
        try:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while time.monotonic() < stop:
                request.wfile.write(b"x")
                time.sleep(0.02)
        except OSError:
            pass

    there = {"Location": provider.jwks_url + "-elsewhere"}
    return {
        "500": (500, {}, provider.document()),
        "404": (404, {}, provider.document()),
        "201": (201, {}, provider.document()),
        "redirect": (302, there, b""),
        "redirect for ever": (308, there, provider.document()),
        "to a file": (301, {"Location": "file:///etc/passwd"}, b""),
        "HTML": (200, {}, b"<html>"),
        "empty": (200, {}, b""),
        "no keys": (200, {}, b'{"keys": []}'),
        "a list": (200, {}, b"[]"),
        "null": (200, {}, b"null"),
        "nested": (200, {}, b"[" * 100_000),
        "UTF-16": (200, {}, provider.document().decode().encode("utf-16")),
        "too long": (200, {}, b" " * 300_000 + provider.document()),
        "cut": (200, {"Content-Length": "100000"}, provider.document()[:-20]),
        "only odd keys": (200, {}, b'{"keys": [{"kty": "oct", "k": "AAAA"}, 7]}'),
        "hangs up": lambda _: None,
        "drips": drip,
    }


@pytest.mark.parametrize("fault", sorted(broken(Provider("http://127.0.0.1"))))
def test_errors_keep_the_old_keys_and_are_logged_once(
    provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    keys = RemoteKeys(provider.jwks_url, http_on_loopback=True, clock=clock, timeout_seconds=0.3)
    verifier = verifier_of(provider, keys)
    assert reason(verifier, provider.token()) is None
    good, token = keys.key_set(), provider.token()
    provider.overrides["/jwks"] = broken(provider)[fault]
    provider.overrides["/jwks-elsewhere"] = (200, {}, provider.document())

    for number in range(2):
        clock.advance(PAUSE_SECONDS)
        assert keys.refreshed() is good
        until(lambda seen=number: provider.fetches == 2 + seen and keys._here().fetch is None)  # type: ignore[misc]
    assert reason(verifier, token) is None
    assert provider.asked["/jwks-elsewhere"] == 0
    [line] = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert "going on with the 1 read before" in line
    assert "\n" not in line

    # Mended, it is read again, without anybody who waits.
    provider.overrides.clear()
    provider.rotate()
    clock.advance(PAUSE_SECONDS)
    keys.key_set()
    until(lambda: len(keys.key_set()) == 2 and keys._here().fetch is None)
    assert [record.getMessage() for record in caplog.records if "read again" in record.getMessage()]


def test_a_provider_that_was_never_there_is_an_unknown_key_and_then_known(
    provider: Provider, keys: RemoteKeys, verifier: TokenVerifier, clock: Clock
) -> None:
    provider.overrides["/jwks"] = (503, {}, b"")
    assert [reason(verifier, provider.token()) for _ in range(5)] == ["unknown_key"] * 5
    assert provider.fetches == 1

    provider.overrides.clear()
    clock.advance(PAUSE_SECONDS)
    assert reason(verifier, provider.token()) is None


def test_one_odd_key_is_left_out_and_named_once(
    provider: Provider, keys: RemoteKeys, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    provider.keys.append(OctKey.generate_key(256, {"kid": "shared"}, private=True))
    with_secret = provider.document().replace(b'"kty": "oct"', b'"k": "c2VjcmV0", "kty": "oct"')
    provider.overrides["/jwks"] = (200, {}, with_secret)
    for number in range(3):
        provider.keys.insert(0, ECKey.generate_key("P-256", {"kid": f"next-{number}"}, private=True))
        assert ids(keys) != []
        clock.advance(PAUSE_SECONDS)
        keys.refreshed()
    assert [record.getMessage().count("'shared'") for record in caplog.records] == [1]
    assert "c2VjcmV0" not in caplog.text


# Floods


def test_made_up_keys_cause_one_fetch_in_ten_seconds(provider: Provider, keys: RemoteKeys, clock: Clock) -> None:
    verifier = verifier_of(provider, keys)
    assert reason(verifier, provider.token()) is None
    made_up = [f"{encoded({'alg': 'ES256', 'typ': 'at+jwt', 'kid': f'x{n}'})}.e30.AAAA" for n in range(10_000)]
    few = made_up[:200]

    def flood(tokens: list[str]) -> None:
        with ThreadPoolExecutor(16) as threads:
            assert set(threads.map(lambda token: reason(verifier, token), tokens)) == {"unknown_key"}

    flood(made_up)
    assert provider.fetches == 2
    clock.advance(PAUSE_SECONDS - 0.01)
    flood(few)
    assert provider.fetches == 2
    clock.advance(0.01)
    flood(few)
    assert provider.fetches == 3
    assert reason(verifier, provider.token()) is None


def test_signatures_that_do_not_verify_without_a_kid_cause_one_fetch_in_ten_seconds(
    provider: Provider, verifier: TokenVerifier
) -> None:
    head = {"alg": "ES256", "typ": "at+jwt"}
    assert reason(verifier, provider.token(header={"kid": None})) is None
    for number in range(200):
        assert reason(verifier, f"{encoded(head)}.{encoded({'n': number})}.{'A' * 86}") == "signature"
    assert provider.fetches == 2
    provider.rotate()
    verifier._keys._caused_at -= PAUSE_SECONDS  # type: ignore[attr-defined]  # as if ten seconds had passed
    assert reason(verifier, provider.token(header={"kid": None})) is None


def test_who_has_a_known_key_waits_for_nobody_and_who_has_not_for_the_time_of_a_fetch(
    provider: Provider, clock: Clock
) -> None:
    keys = RemoteKeys(provider.jwks_url, http_on_loopback=True, clock=clock, timeout_seconds=0.5)
    verifier = verifier_of(provider, keys)
    known = provider.token()
    assert reason(verifier, known) is None
    provider.rotate(keep=0)
    provider.answers.clear()

    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(reason, verifier, provider.token()) for _ in range(8)]
        until(lambda: provider.fetches == 2)
        for _ in range(100):
            assert reason(verifier, known) is None
        assert not any(one.done() for one in waiting)
        assert {one.result(timeout=30) for one in waiting} == {"unknown_key"}
    assert provider.fetches == 2


@pytest.mark.parametrize("cold", [True, False], ids=["the first token", "a new key"])
def test_everybody_who_waits_gets_the_keys_of_the_one_fetch(provider: Provider, cold: bool) -> None:
    verifier = verifier_of(provider, RemoteKeys(provider.jwks_url, http_on_loopback=True))
    if not cold:
        assert reason(verifier, provider.token()) is None
        provider.rotate()
    provider.answers.clear()
    with ThreadPoolExecutor(16) as threads:
        waiting = [threads.submit(reason, verifier, provider.token()) for _ in range(16)]
        until(lambda: provider.fetches == (1 if cold else 2))
        provider.answers.set()
        assert [one.result(timeout=30) for one in waiting] == [None] * 16
    assert provider.fetches == (1 if cold else 2)


# It shows


def test_keys_are_exchanged_under_load_and_no_token_is_refused_wrongly(provider: Provider, clock: Clock) -> None:
    verifier = verifier_of(provider, RemoteKeys(provider.jwks_url, http_on_loopback=True, clock=clock), cache_size=0)
    refused: list[str] = []
    judged, ends = [0] * 4, threading.Event()

    def load(number: int) -> None:
        while not ends.is_set():
            why = reason(verifier, provider.token())
            judged[number] += 1
            if why is not None:
                refused.append(why)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        done = min(judged)
        until(lambda least=done: min(judged) >= least + 3)  # type: ignore[misc]
        clock.advance(PAUSE_SECONDS)
        provider.rotate()
    ends.set()
    for thread in threads:
        thread.join(timeout=30)

    assert refused == []
    assert provider.fetches >= 10
    assert sum(judged) >= 120


def test_a_provider_that_is_down_for_a_minute_changes_nothing(
    provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    keys = RemoteKeys(provider.jwks_url, http_on_loopback=True, clock=clock)
    verifier = verifier_of(provider, keys, cache_size=0)
    assert reason(verifier, provider.token()) is None
    clock.advance(295)
    # Nobody listens there any more.
    keys._url = f"http://127.0.0.1:{free_port()}/jwks"
    before = keys.key_set()
    for _ in range(65):
        clock.advance(1)
        assert reason(verifier, provider.token()) is None
        until(lambda: keys._here().fetch is None)
    assert keys.key_set() is before
    assert len(caplog.records) == 1

    keys._url = provider.jwks_url
    provider.rotate()
    clock.advance(PAUSE_SECONDS)
    assert reason(verifier, provider.token()) is None


def test_no_event_loop_waits_for_an_issuer(provider: Provider, clock: Clock) -> None:
    keys = RemoteKeys(provider.jwks_url, http_on_loopback=True, clock=clock)
    guard = Guard(verifier_of(provider, keys), MemoryDenylist(), max_staleness=math.inf)

    async def story() -> None:
        for _ in range(2):
            provider.answers.clear()
            token, fetches = provider.token(), provider.fetches
            assert guard.decide_nowait(token) is None
            waiting = [asyncio.create_task(guard.decide_async(token)) for _ in range(20)]
            while provider.fetches == fetches:  # noqa: ASYNC110 (another thread counts them)
                await asyncio.sleep(0.001)
            # The loop goes on, and what is known is decided.
            assert not any(one.done() for one in waiting)
            provider.answers.set()
            assert all(isinstance(decision, Accepted) for decision in await asyncio.gather(*waiting))
            assert isinstance(guard.decide_nowait(token), Accepted)
            provider.rotate()
            clock.advance(PAUSE_SECONDS)
        # Called without await, it may wait, as everywhere.
        assert isinstance(guard.decide(provider.token()), Accepted)
        other = Guard(verifier_of(provider, RemoteKeys(provider.jwks_url, http_on_loopback=True)), MemoryDenylist())
        now = time.time()
        other.check({"sub": "ada", "jti": "x", "iat": now, "exp": now + 60}, key_id="key-3")

    asyncio.run(story())
    assert provider.fetches == 4


def test_under_gevent_others_go_on_while_one_waits_for_keys(provider: Provider) -> None:
    program = f"""
from gevent import monkey; monkey.patch_all()
import gevent
from revocation import RemoteKeys
keys = RemoteKeys({provider.jwks_url!r}, http_on_loopback=True)
waiting = [gevent.spawn(keys.key_set) for _ in range(3)]
gevent.sleep(0.001)
print("goes on", flush=True)
gevent.joinall(waiting, timeout=30)
print([len(one.value) for one in waiting])
"""
    provider.answers.clear()
    with spawned([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "goes on\n"
        until(lambda: provider.fetches == 1)
        provider.answers.set()
        out, _ = process.communicate(timeout=60)
    assert out == "[1, 1, 1]\n"
    assert provider.fetches == 1


# HTTPS


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


def test_keys_are_read_over_tls_from_the_host_that_was_named(tls: Certificates, tmp_path: Path) -> None:
    with providing(tls=tls) as provider:
        assert provider.jwks_url.startswith("https://localhost:")
        trusted = RemoteKeys(provider.jwks_url, ca_file=tls.authority)
        assert reason(verifier_of(provider, trusted), provider.token()) is None

        other = certificates(tmp_path)
        by_address = provider.jwks_url.replace("localhost", "127.0.0.1")
        for keys in (
            RemoteKeys(provider.jwks_url),
            RemoteKeys(provider.jwks_url, ca_file=other.authority),
            RemoteKeys(by_address, ca_file=tls.authority),
        ):
            assert reason(verifier_of(provider, keys), provider.token()) == "unknown_key"
        assert provider.fetches == 1


@pytest.mark.parametrize("begins", [b"HTTP/1.1 200 OK\r\nX-Drip: ", b"\x16\x03\x03\x40\x00"], ids=["tunnel", "TLS"])
def test_a_fetch_ends_in_time_however_slowly_a_proxy_or_a_handshake_goes_on(begins: bytes) -> None:
    has_ended = threading.Event()

    def drip(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client, contextlib.suppress(OSError):
            client.recv(4096)
            client.sendall(begins)
            while not has_ended.wait(0.02):
                client.sendall(b"\x02")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = threading.Thread(target=drip, args=(listening,), daemon=True)
        dripping.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        through, url = (f"http://{address}", "https://a.example") if b"HTTP" in begins else (None, f"https://{address}")
        started = time.monotonic()
        with pytest.raises(TimeoutError, match=r"took longer than 0\.3 s"):
            Https(timeout_seconds=0.3, proxy=through).get(url)
        assert time.monotonic() - started < 5
        has_ended.set()
        dripping.join(timeout=30)


def test_a_fetch_that_never_ends_keeps_nobody_from_the_next(
    provider: Provider, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a name server does not answer, which no deadline of ours ends."""
    keys = RemoteKeys(provider.jwks_url, http_on_loopback=True, clock=clock, timeout_seconds=0.4)
    goes_on, old = threading.Event(), provider.document()

    def hang(_: str) -> Any:
        goes_on.wait(60)
        return old, Message()

    with monkeypatch.context() as patch:
        patch.setattr(keys._https, "get", hang)
        assert ids(keys) == []
        hanging = keys._here().fetch
    assert hanging is not None
    provider.rotate()
    until(lambda: keys.key_set() is not None and keys._here().fetch is None)
    assert "the last fetch has not come to an end" in caplog.text

    def reads_both() -> bool:
        clock.advance(PAUSE_SECONDS)
        return len(ids(keys)) == 2

    until(reads_both)

    # What it reads in the end is older than what was read since.
    goes_on.set()
    hanging.result(30)
    assert len(ids(keys)) == 2


def test_a_proxy_is_asked_to_connect_and_sees_nothing_else(tls: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, nobody)
    with (
        contextlib.ExitStack() as stack,
        providing(tls=tls) as provider,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        seen: list[bytes] = []

        def proxy() -> None:
            client, _ = listening.accept()
            stack.enter_context(client)
            request = client.recv(4096)
            seen.append(request)
            place = request.split()[1].decode()
            host, _, port = place.rpartition(":")
            upstream = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            threads = [
                threading.Thread(target=pump, args=pair, daemon=True)
                for pair in ((client, upstream), (upstream, client))
            ]
            for thread in threads:
                thread.start()

        def pump(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    seen.append(data)
                    sink.sendall(data)

        threading.Thread(target=proxy, daemon=True).start()
        address = f"http://ada:p%40ss@127.0.0.1:{listening.getsockname()[1]}"
        keys = RemoteKeys(provider.jwks_url, ca_file=tls.authority, proxy=address)
        assert ids(keys) == ["key-1"]
        assert seen[0].startswith(b"CONNECT localhost:")
        assert b"Proxy-Authorization: Basic YWRhOnBAc3M=" in seen[0]
        assert b"key-1" not in b"".join(seen)
        # Without one that is named, none is asked.
        assert ids(RemoteKeys(provider.jwks_url, ca_file=tls.authority)) == ["key-1"]


# Discovery


@pytest.mark.parametrize("path", ["", "/", "/realms/main", "/oauth2/default/"])
def test_the_metadata_of_an_issuer_says_where_its_keys_are(path: str) -> None:
    with providing(path=path) as provider:
        provider.jwks_path = f"{path.rstrip('/')}/jwks"
        where = f"{path.rstrip('/')}/.well-known/openid-configuration"
        provider.overrides[where] = (200, {}, provider.metadata())
        verifier = verifier_of(provider, RemoteKeys(issuer=provider.issuer, http_on_loopback=True))
        assert reason(verifier, provider.token()) is None
        assert provider.asked == {where: 1, provider.jwks_path: 1}


def test_the_metadata_of_rfc_8414_is_read_where_there_is_no_other() -> None:
    with providing(path="/tenant") as provider:
        provider.overrides["/tenant/.well-known/openid-configuration"] = (404, {}, b"")
        provider.overrides["/.well-known/oauth-authorization-server/tenant"] = (200, {}, provider.metadata())
        assert ids(RemoteKeys(issuer=provider.issuer, http_on_loopback=True)) == ["key-1"]


@pytest.mark.parametrize(
    "metadata",
    [
        *(b'{"issuer": "https://other.example", "jwks_uri": "%s"}', b'{"jwks_uri": "%s"}', b"[]", b"null", b"<html>"),
        *(b'{"issuer": "ISSUER"}', b'{"issuer": "ISSUER", "jwks_uri": 7}'),
        *(b'{"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}', b'{"issuer": "ISSUER", "jwks_uri": "ftp://x/y"}'),
        *(
            b'{"issuer": "ISSUER", "jwks_uri": "http://issuer.example/jwks"}',
            b'{"issuer": "ISSUER/", "jwks_uri": "%s"}',
        ),
    ],
)
def test_metadata_that_is_another_issuers_or_leads_elsewhere_is_not_followed(
    provider: Provider, metadata: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    text = metadata.replace(b"ISSUER", provider.issuer.encode()).replace(b"%s", provider.jwks_url.encode())
    provider.overrides["/.well-known/openid-configuration"] = (200, {}, text)
    keys = RemoteKeys(issuer=provider.issuer, http_on_loopback=True)
    assert ids(keys) == []
    assert provider.fetches == 0
    assert len(caplog.records) == 1


def test_an_issuer_that_moves_its_keys_is_followed(provider: Provider, clock: Clock) -> None:
    keys = RemoteKeys(issuer=provider.issuer, http_on_loopback=True, clock=clock)
    verifier = verifier_of(provider, keys)
    assert reason(verifier, provider.token()) is None
    provider.jwks_path = "/jwks"
    provider.overrides["/jwks"] = (404, {}, b"")
    moved = provider.metadata().replace(b"/jwks", b"/keys")
    provider.overrides["/.well-known/openid-configuration"] = (200, {}, moved)
    provider.rotate()
    provider.overrides["/keys"] = lambda _: (200, {}, provider.document())

    clock.advance(PAUSE_SECONDS)
    assert reason(verifier, provider.token()) == "unknown_key"
    clock.advance(PAUSE_SECONDS)
    assert reason(verifier, provider.token()) is None


# Settings


@pytest.mark.parametrize(
    "url",
    [
        *("http://issuer.example/jwks", "http://127.0.0.1/jwks", "http://localhost/jwks", "file:///etc/passwd"),
        *("ftp://issuer.example/", "//issuer.example/jwks", "issuer.example/jwks", "", "https://", "https:///jwks"),
        *("https://ada:secret@issuer.example/", "https://issuer.example/#x", "https://issuer.example:x/"),
        *("https://issuer.example/a b", "https://issuer.example/\r\nX: y", "https://issuér.example/", "https://[::1/"),
    ],
)
def test_only_https_is_read(url: str) -> None:
    with pytest.raises(ConfigurationError):
        RemoteKeys(url)
    with pytest.raises(ConfigurationError):
        RemoteKeys(issuer=url)


@pytest.mark.parametrize("url", ["http://issuer.example/", "http://10.0.0.1/", "http://127.0.0.1.example/"])
def test_http_is_for_loopback(url: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        RemoteKeys(url, http_on_loopback=True)


def test_options_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    url = "https://issuer.example/jwks"
    (tmp_path / "empty.pem").write_text("")
    for options in ({}, {"url": url, "issuer": url}):
        with pytest.raises(ConfigurationError, match="either"):
            RemoteKeys(**options)  # type: ignore[arg-type]  # what somebody could have written
    for file in (tmp_path / "empty.pem", tmp_path / "missing.pem", tmp_path):
        with pytest.raises(ConfigurationError, match="certificates"):
            RemoteKeys(url, ca_file=file)
    for proxy in ("proxy.example:3128", "https://proxy.example:3128", "http://proxy.example", "http://p:secret@:1"):
        with pytest.raises(ConfigurationError, match="proxy") as caught:
            RemoteKeys(url, proxy=proxy)
        assert "secret" not in str(caught.value)


# Processes


def test_a_fork_during_a_fetch_takes_no_wait_along(provider: Provider) -> None:
    keys = RemoteKeys(provider.jwks_url, http_on_loopback=True)
    verifier = verifier_of(provider, keys)
    token = provider.token()
    provider.answers.clear()
    parent = threading.Thread(target=reason, args=(verifier, token))
    parent.start()
    until(lambda: provider.fetches == 1)
    threads = threading.active_count()

    child = os.fork()
    if child == 0:
        code = 1
        try:
            alone = threading.active_count() == 1
            code = 0 if alone and reason(verifier, token) is None else 2
        finally:
            os._exit(code)
    until(lambda: provider.fetches == 2)
    provider.answers.set()
    _, status = os.waitpid(child, 0)
    parent.join(timeout=30)

    assert os.waitstatus_to_exitcode(status) == 0
    assert threads > 1


def test_its_thread_ends_with_the_fetch(provider: Provider, keys: RemoteKeys, verifier: TokenVerifier) -> None:
    assert isinstance(verifier.verify(provider.token()), Claims)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "revocation-keys"])
