"""Worker: gunicorn's threaded worker, whose threads are for whole requests.

gunicorn gives a connection to a thread when it is accepted, and the thread reads the request, however slowly it comes:
four clients that send a byte a second take all four threads of a process. Here a request waits in the kernel's buffer
until all of it has arrived, and costs no thread before. Whoever needs longer than `REQUEST_SECONDS` is hung up on.

What this overrides is no interface that gunicorn promises, so pyproject.toml bounds its version.
"""

import bisect
import fcntl
import re
import select
import selectors
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from gunicorn.workers.gthread import TConn, ThreadWorker

from app.problems import MAX_BODY_BYTES

#: How long a request may take to arrive, its body included.
REQUEST_SECONDS: Final = 10.0

#: Longer heads are cut off here; the limits for their lines, which gunicorn knows, are below.
_MAX_HEAD_BYTES: Final = 96 * 1024

_USUAL_BYTES: Final = 8 * 1024

#: How long a connection that is over waits for its client to hang up first, so that the answer is not lost.
_LINGER_SECONDS: Final = 2.0

_SIOCOUTQNSD: Final = 0x894B  # linux/sockios.h: how many bytes have not been sent yet

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*(?:\r|$)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_ASKS: Final = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?:\r|$)", re.IGNORECASE)
_LAST_CHUNK: Final = re.compile(rb"(?:^|\r\n)0+(?:[ \t]*;[^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*\r\n$")


class _Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection that knows whether its next request has arrived."""

    def __init__(self, *args: Any, linger: "Callable[[_Connection], None]") -> None:
        super().__init__(*args)
        self._linger = linger
        self._asked = False
        self._waits_for = 1
        self._is_held_back = False
        #: When the request that is arriving must be there; None between requests.
        self.deadline: float | None = None
        #: Whether no other request may follow: nobody reads what is left of this one.
        self.is_last = False

    def is_whole(self) -> bool:
        """Whether a thread may read the next request, as all of it is there, or no more of it is wanted.

        Otherwise the connection becomes readable when so much more has arrived that another look is worthwhile.
        """
        if self.sock.family == socket.AF_UNIX:
            return True  # the kernel cannot wait for a number of bytes there, and the proxy in front buffers requests
        held = b"" if self.parser is None else self.parser.unreader.buf.getvalue()
        try:
            arrived = self._peek()
        except BlockingIOError:
            if not held:
                return False
            arrived = b""
        except OSError:
            return True
        else:
            if not arrived:
                return True
        wanted = self._length(held + arrived)
        if wanted and self._has_ended():
            # The kernel would call the connection readable again at once, until the deadline.
            self.is_last = True
            return True
        if wanted:
            self._wait_for(wanted - len(held))
        return not wanted

    @property
    def has_begun(self) -> bool:
        """Whether a part of a request has arrived, and the connection waits for the rest."""
        return self._waits_for > 1

    def takes_answers(self) -> bool:
        """Whether the client has read earlier answers, so that the kernel takes the next one without waiting.

        Otherwise the connection becomes writable when it has.
        """
        if self.parser is None or sys.platform != "linux":
            return True
        unsent = struct.unpack("i", fcntl.ioctl(self.sock, _SIOCOUTQNSD, bytes(4)))[0]
        if bool(unsent) != self._is_held_back:
            self._is_held_back = bool(unsent)
            # While this is set, send() would wait as well. 0 is the system's default, which is no limit.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 1 if unsent else 0)
        return not unsent

    def hand_over(self) -> None:
        """Make the connection ready for a thread."""
        self._wait_for(1)
        self.deadline = None
        self._asked = False
        self.data_ready = True

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002  # gunicorn's signature
        if graceful:
            self._linger(self)
        else:
            super().close()

    def _peek(self) -> bytes:
        """All that has arrived. It stays in the kernel's buffer."""
        for limit in (_USUAL_BYTES, _MAX_HEAD_BYTES + MAX_BODY_BYTES):
            arrived: bytes = self.sock.recv(limit, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            if len(arrived) < limit:
                break
        return arrived

    def _has_ended(self) -> bool:
        """Whether the client has said that it sends no more."""
        if sys.platform != "linux":
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        return bool(poll.poll(0))

    def _wait_for(self, arrived: int) -> None:
        """Let the kernel call the connection readable when so many bytes are in its buffer."""
        if arrived != self._waits_for:
            self._waits_for = arrived
            with suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, arrived)

    def _length(self, data: bytes) -> int:
        """Up to which byte the request has to arrive before a thread reads it; 0 where the thread may begin."""
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            if len(data) >= _MAX_HEAD_BYTES:
                self._cut_off()
                return 0
            # A line that ends otherwise is refused at once.
            return 0 if data.count(b"\n") != data.count(b"\r\n") else len(data) + 1
        if _CHUNKED.search(head):
            if len(body) <= MAX_BODY_BYTES and not _LAST_CHUNK.search(body):
                self._let_come(head)
                return len(data) + 1
            self._cut_off()
            return 0
        length = int(found[1]) if (found := _LENGTH.search(head)) else 0
        if length > MAX_BODY_BYTES:
            self.is_last = True  # nobody reads it
            return 0
        if length > len(body):
            self._let_come(head)
            return len(head) + len(end) + length
        return 0

    def _cut_off(self) -> None:
        """Let a thread read what is there, and then the end."""
        self.is_last = True
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)

    def _let_come(self, head: bytes) -> None:
        """Tell a client that waits for it to send its body (RFC 9110, section 10.1.1)."""
        if not self._asked and _ASKS.search(head):
            self._asked = True
            with suppress(OSError):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n", socket.MSG_DONTWAIT)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Threads for whole requests."""

    #: The connections whose request is arriving, and those that linger, by their timeout.
    pending_conns: deque[_Connection]

    def accept(self, listener: Any) -> bool:
        """Take one connection; False where there is none."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        self.nr_conns += 1
        self.enqueue_req(_Connection(self.cfg, client, address, listener.getsockname(), linger=self._linger))
        return True

    def enqueue_req(self, conn: _Connection) -> None:
        if conn.deadline is None:
            conn.deadline = time.monotonic() + REQUEST_SECONDS
        again = partial(self.on_pending_socket_readable, conn)
        if not conn.is_whole():
            self._park(conn, until=conn.deadline, callback=again)
        elif not conn.takes_answers():
            self._park(conn, until=conn.deadline, callback=again, event=selectors.EVENT_WRITE)
        else:
            conn.hand_over()
            super().enqueue_req(conn)

    def handle_request(self, req: Any, conn: _Connection) -> bool:
        if conn.is_last:
            req.force_close()
        kept: bool = super().handle_request(req, conn)
        return kept

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001  # gunicorn's signature
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            # Who has connected is served. Who comes later must be refused, and not wait for the last request to end.
            for listener in self.sockets:
                while self.accept(listener):
                    pass
                listener.close()

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        # A request that has begun to arrive is served, and nobody waits for one that has not.
        for conn in self.pending_conns:
            if not conn.has_begun:
                conn.timeout = min(conn.timeout, deadline)
        self.pending_conns = deque(sorted(self.pending_conns, key=lambda one: one.timeout))

    def _linger(self, conn: _Connection) -> None:
        """Close a connection when its client has, without a thread that waits for that."""
        with suppress(OSError):
            conn.sock.shutdown(socket.SHUT_WR)
            self.nr_conns += 1
            self._park(conn, until=time.monotonic() + _LINGER_SECONDS, callback=partial(self._drain, conn))
            return
        conn.close()

    def _drain(self, conn: _Connection, _socket: object) -> None:
        with suppress(BlockingIOError):
            with suppress(ConnectionError):
                if conn.sock.recv(MAX_BODY_BYTES):
                    return
            self.poller.unregister(conn.sock)
            self.pending_conns.remove(conn)
            self.nr_conns -= 1
            conn.close()

    def _park(
        self,
        conn: _Connection,
        *,
        until: float,
        callback: Callable[[object], None],
        event: int = selectors.EVENT_READ,
    ) -> None:
        conn.sock.setblocking(False)
        conn.timeout = until
        bisect.insort(self.pending_conns, conn, key=lambda one: one.timeout)
        self.poller.register(conn.sock, event, callback)
