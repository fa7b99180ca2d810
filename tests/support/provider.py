"""Provider: an issuer of other people, with a server of its own and keys that it exchanges. joserfc signs."""

import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from tests.support.certificates import Certificates

#: Status, headers and body.
Answer = tuple[int, dict[str, str], bytes]


class Provider:
    """Signs tokens with its newest key, and publishes its keys and its metadata over HTTP, or HTTPS with a certificate.

    `overrides` answer in place of a document, by path. `asked` counts the requests of each path.
    """

    def __init__(self, origin: str, *, path: str = "") -> None:
        self.issuer = f"{origin}{path}"
        self.jwks_path = f"{path}/jwks"
        self.keys: list[Any] = []
        self.headers = {"Content-Type": "application/json", "Cache-Control": "max-age=300"}
        self.overrides: dict[str, Answer | Callable[[BaseHTTPRequestHandler], Answer | None]] = {}
        self.asked: Counter[str] = Counter()
        #: Holds every answer until it is set.
        self.answers = threading.Event()
        self.answers.set()
        self._number = 0
        self.rotate()

    @property
    def jwks_url(self) -> str:
        return f"{self.issuer.removesuffix('/')}/jwks"

    def rotate(self, *, keep: int = 1, kind: type[Any] = ECKey) -> None:
        """Sign with a new key from now on, and publish as many older ones besides."""
        self._number += 1
        options = {"kid": f"key-{self._number}", "use": "sig"}
        made = kind.generate_key(2048 if kind is RSAKey else "P-256", options, private=True)
        self.keys = [made, *self.keys[:keep]]

    def token(self, claims: Mapping[str, Any] | None = None, header: Mapping[str, Any] | None = None) -> str:
        """A token that the newest key signed; a member that is None is left out."""
        now, newest = int(time.time()), self.keys[0]
        said = {
            "iss": self.issuer,
            "aud": "https://api.example",
            "sub": "ada",
            "jti": f"{time.monotonic_ns()}",
            "iat": now,
            "exp": now + 900,
            **(claims or {}),
        }
        algorithm = "RS256" if newest.key_type == "RSA" else "ES256"
        head = {"typ": "at+jwt", "kid": newest.kid, **(header or {}), "alg": algorithm}
        return jwt.encode(_without_none(head), _without_none(said), newest, algorithms=["ES256", "RS256"])

    def document(self) -> bytes:
        return json.dumps(KeySet(self.keys).as_dict(private=False)).encode()

    def metadata(self) -> bytes:
        return json.dumps({"issuer": self.issuer, "jwks_uri": self.jwks_url}).encode()

    def answer(self, request: BaseHTTPRequestHandler) -> Answer | None:
        """What stands at a path; None where the connection is to end without an answer."""
        self.asked[request.path] += 1
        self.answers.wait(timeout=60)
        override = self.overrides.get(request.path)
        if override is not None:
            return override(request) if callable(override) else override
        documents = {
            self.jwks_path: self.document,
            f"{self.jwks_path.removesuffix('/jwks')}/.well-known/openid-configuration": self.metadata,
        }
        if request.path in documents:
            return 200, self.headers, documents[request.path]()
        return 404, {}, b"nothing here"

    @property
    def fetches(self) -> int:
        """How often its keys were asked for."""
        return self.asked[self.jwks_path]


def _without_none(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if value is not None}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is not worth a traceback."""


@contextmanager
def providing(*, path: str = "", tls: Certificates | None = None) -> Iterator[Provider]:
    """A provider on loopback, under localhost with a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = provider.answer(self)
            if answer is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.directory / "server.pem", tls.directory / "key.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
        provider = Provider(f"{scheme}://{host}:{server.server_address[1]}", path=path)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            provider.answers.set()
            server.shutdown()
            thread.join(timeout=10)
