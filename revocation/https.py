"""Https: reads a document from the host that was named, over TLS, within a time and a size, or not at all.

It stands on http.client: urllib follows redirects, knows `file:`, and takes a proxy from the environment, and what is
read here is the root of all trust.
"""

import http.client
import ipaddress
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

_MAX_BYTES: Final = 256 * 1024
_READ_AT_ONCE: Final = 16 * 1024

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
        if parts.scheme != "https" and not (parts.scheme == "http" and self._http_on_loopback and _is_loopback(host)):
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
        try:
            connection.connect()
            # A time-out of a socket is one for each read of it: a server that sends a byte a second would never end.
            watch = threading.Timer(max(0.0, ends - time.monotonic()), _cut, [connection.sock])
            watch.daemon = True
            watch.start()
            try:
                body, headers = self._answer(connection, parts, url)
            finally:
                watch.cancel()
        finally:
            connection.close()
        if time.monotonic() >= ends:
            raise TimeoutError(f"{url} took longer than {self.timeout_seconds:g} s")
        return body, headers

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        host = str(parts.hostname)
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=self.timeout_seconds)
        if self._proxy is None:
            return http.client.HTTPSConnection(host, parts.port, timeout=self.timeout_seconds, context=self._context)
        connection = http.client.HTTPSConnection(
            str(self._proxy.hostname), self._proxy.port, timeout=self.timeout_seconds, context=self._context
        )
        connection.set_tunnel(host, parts.port or 443, headers=_credentials(self._proxy))
        return connection

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


def _cut(connected: socket.socket) -> None:
    """End all waiting at a socket, whatever thread waits, and whether or not TLS is spoken over it."""
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


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
