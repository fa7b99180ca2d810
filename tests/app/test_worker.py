"""The threads of a worker are for whole requests: slow clients wait elsewhere, and are served all the same."""

import contextlib
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Self

import pytest

from app.problems import MAX_BODY_BYTES
from app.worker import REQUEST_SECONDS
from tests.support.ports import free_port
from tests.support.processes import end

PATIENCE_SECONDS = 30

#: Answers with the body that it reads; `/unread` reads none, and `/large` is longer than sockets usually hold.
APP = f"""
def app(environ, start_response):
    path, length = environ["PATH_INFO"], int(environ.get("CONTENT_LENGTH") or 0)
    body = b"x" * 300_000 if path == "/large" else b"unread"
    if path != "/unread" and path != "/large" and length <= {MAX_BODY_BYTES}:
        body = environ["wsgi.input"].read() or b"nothing"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """gunicorn with one worker of one thread."""
    directory = tmp_path_factory.mktemp("worker")
    (directory / "echo.py").write_text(APP)
    address = ("127.0.0.1", free_port())
    command = [sys.executable, "-m", "gunicorn", "-k", "app.worker.Worker", "--threads", "1", "--no-control-socket"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--limit-request-field_size", "65536", "-b", f"127.0.0.1:{address[1]}", "echo:app"],
            cwd=directory,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(address, timeout=PATIENCE_SECONDS):
                break
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.02)
        yield address
    finally:
        end(process)
    assert "Traceback" not in (directory / "log").read_text()


class Client:
    """One connection, byte by byte."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE_SECONDS)
        self._read = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._read.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.socket.sendall(part)

    def answer(self) -> tuple[int, bytes, bool]:
        """Status, body, and whether the server closes."""
        status = int(self._read.readline().split()[1])
        headers = {}
        while (line := self._read.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        body = self._read.read(int(headers.get(b"content-length", 0)))
        return status, body, headers.get(b"connection") == b"close"

    def is_open(self) -> bool:
        """Whether the server has neither answered nor hung up."""
        return not select.select([self.socket], [], [], 0)[0]

    def is_hung_up_on(self) -> bool:
        with contextlib.suppress(ConnectionError):
            return self._read.read(1) == b""
        return True


@pytest.fixture
def client(address: tuple[str, int]) -> Iterator[Client]:
    with Client(address) as client:
        yield client


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"

UNFINISHED = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ",
    "all of a head but its last byte": b"GET / HTTP/1.1\r\nHost: x\r\n\r",
    "half a body": HEAD + b"Content-Length: 5000\r\n\r\n" + b"x" * 2500,
    "a large body but its last byte": HEAD
    + b"Content-Length: %d\r\n\r\n" % MAX_BODY_BYTES
    + b"x" * (MAX_BODY_BYTES - 1),
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "chunks without an end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
    "a body that waits to be asked for": HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("sent", UNFINISHED.values(), ids=UNFINISHED)
def test_a_request_that_has_not_arrived_holds_no_thread(address: tuple[str, int], client: Client, sent: bytes) -> None:
    client.send(sent)
    for _ in range(2):
        with Client(address) as quick:
            quick.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert quick.answer() == (200, b"nothing", False)
    if b"Expect" in sent:
        assert client.answer()[0] == 100
    assert client.is_open(), "it was answered beside the slow client, and not after it"


@pytest.mark.parametrize("sent", UNFINISHED.values(), ids=UNFINISHED)
def test_nobody_waits_for_the_rest_of_a_request_that_its_client_has_ended(client: Client, sent: bytes) -> None:
    """The worker computed without a pause until it hung up after REQUEST_SECONDS, and served nobody well meanwhile."""
    client.socket.settimeout(REQUEST_SECONDS / 2)
    client.send(sent)
    client.socket.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionResetError):
        while client.socket.recv(65_536):
            pass


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /", id="half a request behind a whole one"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", id="a client that does not hang up"),
        pytest.param(HEAD + b"Content-Length: 5000000\r\n\r\nxx", id="a body that nobody reads"),
    ],
)
def test_a_client_that_goes_on_after_its_answer_holds_no_thread(
    address: tuple[str, int], client: Client, sent: bytes
) -> None:
    client.send(sent)
    assert client.answer()[0] == 200
    with Client(address) as quick:
        quick.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert quick.answer() == (200, b"nothing", False)


def test_a_client_that_reads_no_answers_holds_no_thread(address: tuple[str, int]) -> None:
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    deaf.settimeout(PATIENCE_SECONDS)
    with contextlib.closing(deaf), deaf.makefile("rb") as read:
        deaf.connect(address)
        deaf.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        with Client(address) as quick:
            quick.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert quick.answer() == (200, b"nothing", False)
        # None of the answers is lost.
        for _ in range(20):
            while read.readline() != b"\r\n":
                pass
            assert read.read(300_000) == b"x" * 300_000


WHOLE = {
    "a body": (HEAD + b"Content-Length: 5\r\n\r\nabcde", b"abcde"),
    "its length in another case": (HEAD + b"cONTENT-lENGTH:5\r\n\r\nabcde", b"abcde"),
    "no body": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"nothing"),
    "a line before it": (b"\r\n" + HEAD + b"Content-Length: 5\r\n\r\nabcde", b"abcde"),
}


@pytest.mark.parametrize(("sent", "body"), WHOLE.values(), ids=WHOLE)
def test_a_request_that_comes_byte_by_byte_is_served_and_another_after_it(
    client: Client, sent: bytes, body: bytes
) -> None:
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(2):
        client.send(*(bytes([one]) for one in sent))
        assert client.answer() == (200, body, False)
    assert client.is_open()


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0;x=y\r\n\r\n", b"0\r\nX-Sum: 1\r\n\r\n"])
def test_chunks_are_served_and_end_the_connection(client: Client, end: bytes) -> None:
    client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nab", b"cde\r\n", b"9\r\n\r\n0\r\n\r\nfg\r\n", end)
    assert client.answer() == (200, b"abcde\r\n0\r\n\r\nfg", True)


def test_chunks_that_look_like_their_end_hold_no_thread(address: tuple[str, int], client: Client) -> None:
    client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab\r\n0\r\n\r\n")
    with Client(address) as quick:
        quick.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert quick.answer() == (200, b"nothing", False)


def test_several_requests_at_once_are_served_in_order(client: Client) -> None:
    client.send(WHOLE["a body"][0] + WHOLE["no body"][0] + HEAD + b"Content-Length: 3\r\n\r\nxyz")
    assert [client.answer()[1] for _ in range(3)] == [b"abcde", b"nothing", b"xyz"]


def test_who_waits_to_be_asked_for_a_body_is_asked(client: Client) -> None:
    client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert client.answer()[0] == 100
    client.send(b"abcde")
    while (answer := client.answer())[0] == 100:
        pass
    assert answer == (200, b"abcde", False)


def test_a_body_that_nobody_reads_gets_its_answer_and_the_connection_ends(client: Client) -> None:
    client.send(HEAD + b"Content-Length: 2000000\r\n\r\n" + b"x" * 1000)
    assert client.answer() == (200, b"unread", True)
    client.socket.shutdown(socket.SHUT_WR)
    assert client.is_hung_up_on()


def test_a_long_field_is_read_and_a_head_without_an_end_is_cut_off(address: tuple[str, int], client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Uri: /" + b"a" * 60_000 + b"\r\n\r\n")
    assert client.answer() == (200, b"nothing", False)
    with Client(address) as endless, contextlib.suppress(ConnectionError):
        endless.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"X-A: " + b"a" * 8000 + b"\r\n") * 20)
        assert endless.is_hung_up_on() or endless.answer()[0] >= 400


def test_a_bare_line_feed_is_refused_at_once(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\nHost: x\n\n")
    assert client.answer()[0] == 400
