"""Https: reads a document from the host that was named, over TLS, within a time and a size, or not at all.

It stands on http.client: urllib follows redirects, knows `file:`, and takes a proxy from the environment, and what is
read here is the root of all trust.
"""

import http.client
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from contextlib import suppress
from email.message import Message
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from revocation.errors import ConfigurationError
from revocation.loopback import is_loopback

_MAX_BYTES: Final = 256 * 1024
_READ_AT_ONCE: Final = 16 * 1024
_CUT_AGAIN_SECONDS: Final = 0.1

_URL_CHARACTERS = re.compile(r"[\x21-\x7e]+")
_HEADERS: Final = {
    "Accept": "application/json, application/jwk-set+json",
    "User-Agent": "revocation",
    "Connection": "close",
}


class StatusError(OSError):
    """The server answered with another status than 200."""

    def __init__(self, url: str, status: int) -> None:
        self.status = status
        redirect = ", and redirects are not followed: name the place that it leads to"
        super().__init__(f"{url} answered {status}{redirect if 300 <= status < 400 else ''}")  # noqa: PLR2004 (redirects)


class Https:
    """Reads documents; `timeout_seconds` is the longest that one may take.

    `ca_file` names the authorities to trust in place of the system's. `proxy` (`http://user:password@host:port`) is
    asked to connect, and sees nothing but the host; variables of the environment name none. `http_on_loopback` is for
    tests. Raises ConfigurationError for a proxy or a file that cannot be used.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float = 5.0,
        ca_file: str | Path | None = None,
        proxy: str | None = None,
        http_on_loopback: bool = False,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self._http_on_loopback = http_on_loopback
        self._proxy = None if proxy is None else _checked_proxy(proxy)
        try:
            self._context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise ConfigurationError(f"{ca_file} holds no certificates that could be trusted: {error}") from error

    def checked(self, url: str) -> SplitResult:
        """The parts of a URL that may be read. Raises ConfigurationError for any other."""
        try:
            if not _URL_CHARACTERS.fullmatch(url):
                raise ValueError("it is not ASCII without spaces")
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigurationError(f"{url!r} is not a URL: {error}") from error
        if not host or parts.username is not None or "#" in url:
            raise ConfigurationError("give a URL with a host, and without a user and a fragment")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._http_on_loopback and is_loopback(host)):
            raise ConfigurationError(f"{url!r} is not an https URL: whoever is in between could answer in its place")
        return parts

    def get(self, url: str) -> tuple[bytes, Message]:
        """The body and the headers of the answer.

        Raises ConfigurationError for a URL that may not be read, and OSError (StatusError, TimeoutError) or
        http.client.HTTPException where no answer came, or none that could be used.
        """
        parts = self.checked(url)
        ends = time.monotonic() + self.timeout_seconds
        connection = self._connection(parts)
        has_ended = threading.Event()
        threading.Thread(target=_cut_at, args=(ends, connection, has_ended), daemon=True).start()
        try:
            connection.connect()
            if parts.scheme == "https":
                self._speak_tls(connection, str(parts.hostname))
            body, headers = self._answer(connection, parts, url)
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() < ends:
                raise
            raise self._late(url) from error
        finally:
            has_ended.set()
            connection.close()
        if time.monotonic() >= ends:
            raise self._late(url)
        return body, headers

    def _late(self, url: str) -> TimeoutError:
        return TimeoutError(f"{url} took longer than {self.timeout_seconds:g} s")

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        host = str(parts.hostname)
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=self.timeout_seconds)
        if self._proxy is None:
            return _Connection(host, parts.port, timeout=self.timeout_seconds)
        connection = _Connection(str(self._proxy.hostname), self._proxy.port, timeout=self.timeout_seconds)
        connection.set_tunnel(host, parts.port or 443, headers=_credentials(self._proxy))
        return connection

    def _speak_tls(self, connection: http.client.HTTPConnection, host: str) -> None:
        """Go on over TLS, with a socket that can be cut while hands are shaken."""
        connection.sock = self._context.wrap_socket(
            connection.sock, server_hostname=host, do_handshake_on_connect=False
        )
        connection.sock.do_handshake()

    def _answer(self, connection: http.client.HTTPConnection, parts: SplitResult, url: str) -> tuple[bytes, Message]:
        connection.request("GET", f"{parts.path or '/'}{parts.query and '?' + parts.query}", headers=_HEADERS)
        with connection.getresponse() as answer:
            if answer.status != http.HTTPStatus.OK:
                raise StatusError(url, answer.status)
            body = bytearray()
            while part := answer.read(_READ_AT_ONCE):
                body += part
                if len(body) > _MAX_BYTES:
                    raise OSError(f"{url} sent more than {_MAX_BYTES} bytes")
            return bytes(body), answer.headers


class _Connection(http.client.HTTPConnection):
    """A connection over which TLS is spoken later, behind a proxy's tunnel where there is one."""

    default_port = http.client.HTTPS_PORT


def _cut_at(ends: float, connection: http.client.HTTPConnection, has_ended: threading.Event) -> None:
    """From an instant on, end all waiting at a connection, whatever thread waits, and whatever is spoken over it.

    A time-out of a socket is one for each read of it: a proxy or a server that sends a byte a second would never end.
    A connection may get its socket late, so that this is done until it has ended.
    """
    left = max(0.0, ends - time.monotonic())
    while not has_ended.wait(left):
        connected: socket.socket | None = connection.sock
        if connected is not None:
            with suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)
        left = _CUT_AGAIN_SECONDS


def _checked_proxy(proxy: str) -> SplitResult:
    parts = urlsplit(proxy)
    with suppress(ValueError):
        if parts.scheme == "http" and parts.hostname and parts.port:
            return parts
    # What was given may hold a password.
    raise ConfigurationError("a proxy is given as http://host:port, or http://user:password@host:port")


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
