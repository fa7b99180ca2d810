"""The configurations of docs/operating.md, on real gateways: in front of an API, and in front of the service."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.clients.conftest import register
from tests.documents import OPERATING, blocks
from tests.support.gateways import GATEWAYS, gateway
from tests.support.ports import free_port
from tests.support.servers import Server, running
from tests.support.service import Service, serving

#: Where the tests' clients come from; the proxy comes from 127.0.0.1.
CLIENT = "127.0.0.2"

PATIENCE_SECONDS = 30

#: One process of the tests starts them all.
pytestmark = pytest.mark.xdist_group("gateways")


class _Echo(BaseHTTPRequestHandler):
    """The API behind the proxy: answers with the headers that reached it."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        received = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                received += len(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        seen = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({**seen, "method": self.command, "received": received}).encode()
        self.send_response(101 if "upgrade" in seen else 500 if self.path == "/broken" else 200)
        if "upgrade" in seen:
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            self.send_header("X-Seen-Subject", seen["x-auth-subject"])
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.close_connection = "upgrade" in seen
        if self.command != "HEAD" and "upgrade" not in seen:
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = do_PROPFIND = answer  # noqa: N815  # names of http.server

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@dataclass(frozen=True)
class Answer:
    """What came back through the proxy."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Front:
    """A gateway, and what stands behind it."""

    name: str
    port: int
    service: Service
    store: Server

    def ask(
        self,
        path: str,
        *,
        host: str = "api.example",
        token: str | None = None,
        headers: dict[str, str] | None = None,
        body: Any = None,
        method: str | None = None,
    ) -> Answer:
        """One request from CLIENT."""
        sent = {"Host": host, **({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, str) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20, source_address=(CLIENT, 0))
        with contextlib.closing(connection):
            connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())


@dataclass(frozen=True)
class Behind:
    """What stands behind every gateway."""

    service: Service
    store: Server
    api: str


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(running("valkey"))
        # Always asking Redis, so that its absence shows at once.
        env = {"REVOCATION_REDIS_URL": store.url, "REVOCATION_MAX_STALENESS": "0", "APP_TRUSTED_PROXIES": "1"}
        service = stack.enter_context(serving(tmp_path_factory.mktemp("service"), **env))
        api = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _Echo))
        threading.Thread(target=api.serve_forever, daemon=True).start()
        stack.callback(api.shutdown)
        yield Behind(service, store, f"127.0.0.1:{api.server_port}")


#: The language of each gateway's block in the document, its title, and what stands there for its own port.
WRITTEN = {
    "nginx": ("nginx", "nginx", "listen 80;", "listen 127.0.0.1:{};"),
    "caddy": ("caddyfile", "Caddy", "", ""),
    "traefik": ("yaml", "Traefik", "", ""),
    "envoy": ("yaml", "Envoy", "address: 0.0.0.0, port_value: 80}", "address: 127.0.0.1, port_value: {}}}"),
}


@pytest.fixture(scope="module", params=GATEWAYS)
def front(request: pytest.FixtureRequest, behind: Behind) -> Iterator[Front]:
    language, title, listens, ours = WRITTEN[request.param]
    [config] = blocks(language, under=title, of=OPERATING)
    port = free_port()
    for number, address in (("8000", behind.service.url.removeprefix("http://")), ("9000", behind.api)):
        host, _, instead = address.partition(":")
        before = config
        for form in ("127.0.0.1:{}", "address: 127.0.0.1, port_value: {}"):
            config = config.replace(form.format(number), form.replace("127.0.0.1", host).format(instead))
        assert config != before
    assert listens in config
    config = config.replace(listens, ours.format(port)) if listens else config
    with gateway(request.param, config, port=port):
        front = Front(request.param, port, behind.service, behind.store)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while front.ask("/healthz", host="auth.example").status != 200:  # Traefik listens before it has read its routes
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield front


@pytest.fixture(scope="module")
def token(behind: Behind) -> str:
    found: str = behind.service.login()["access_token"]
    return found


def test_who_may_pass_is_named_to_the_api(front: Front, token: str) -> None:
    answer = front.ask("/any/path?with=query", token=token)
    assert answer.status == 200
    seen = answer.json()
    assert seen["x-auth-subject"] == "admin"
    assert seen["x-auth-client"] == "first-party"
    assert seen["x-auth-scope"] == "reports:read revocation:admin"
    assert len(seen["x-auth-session"]) == 22


def test_identity_headers_of_the_client_do_not_reach_the_api(front: Front) -> None:
    machine = register(front.service, scope="reports:read")
    granted = front.service.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(machine.client_id, machine.client_secret)
    )
    forged = {f"X-Auth-{name}": "root" for name in ("Subject", "Client", "Scope", "Session")}
    seen = front.ask("/", token=granted.json()["access_token"], headers=forged).json()
    assert {name: value for name, value in seen.items() if name.startswith("x-auth-")} == {
        "x-auth-subject": machine.client_id,
        "x-auth-client": machine.client_id,
        "x-auth-scope": "reports:read",
        "x-auth-session": "-",  # a client's own token belongs to no session
    }


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_request_with_a_body_passes_whole(front: Front, token: str, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    answer = front.ask("/orders", token=token, body="x" * 200_000, headers=headers)
    assert (answer.status, answer.json()["received"]) == (200, 200_000)
    assert front.ask("/orders", body="x" * 200_000, headers=headers).status == 401


@pytest.mark.parametrize("method", ["HEAD", "PUT", "OPTIONS", "PROPFIND"])
def test_any_method_passes_with_a_token_and_none_without(front: Front, token: str, method: str) -> None:
    if method == "PROPFIND" and front.name == "envoy":
        assert front.ask("/", token=token, method=method).status in (200, 400), "Envoy knows few methods of others"
    else:
        assert front.ask("/", token=token, method=method).status == 200
    assert front.ask("/", method=method).status in ((400, 401) if front.name == "envoy" else (401,))


def test_a_long_path_passes(front: Front, token: str) -> None:
    assert front.ask("/" + "a" * 7000, token=token).status == 200


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_a_websocket_is_opened_with_a_token_and_not_without(front: Front, token: str) -> None:
    opened = front.ask("/socket", token=token, headers=HANDSHAKE)
    assert (opened.status, opened.headers["x-seen-subject"]) == (101, "admin")
    assert front.ask("/socket", headers=HANDSHAKE).status == 401


def test_a_preflight_passes_and_is_nobodys(front: Front) -> None:
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "DELETE"}
    forged = {f"X-Auth-{name}": "root" for name in ("Subject", "Client", "Scope", "Session")}
    seen = front.ask("/orders", method="OPTIONS", headers=preflight | forged)
    assert seen.status == 200
    assert {value for name, value in seen.json().items() if name.startswith("x-auth-")} == {"-"}
    for spoofed in ({}, {"X-Forwarded-Method": "OPTIONS"}, {"X-HTTP-Method-Override": "OPTIONS"}):
        assert front.ask("/orders", headers=preflight | spoofed).status == 401


def test_no_token_is_401_with_the_challenge_of_the_service(front: Front) -> None:
    answer = front.ask("/")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="api"'


def test_a_revoked_token_is_401_and_the_challenge_says_invalid_token(front: Front) -> None:
    token = front.service.login()["access_token"]
    assert front.ask("/", token=token).status == 200
    assert front.service.post("/auth/logout", token=token).status_code == 200
    answer = front.ask("/", token=token)
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_token_without_the_scope_is_403_with_the_challenge(front: Front) -> None:
    machine = register(front.service, scope="reports:write")
    granted = front.service.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(machine.client_id, machine.client_secret)
    )
    answer = front.ask("/", token=granted.json()["access_token"])
    assert answer.status == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="reports:read"' in answer.headers["www-authenticate"]


def test_without_redis_it_is_503_with_retry_after_and_not_500(front: Front, token: str) -> None:
    with front.store.paused():
        answer = front.ask("/", token=token)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "www-authenticate" not in answer.headers


def test_an_error_of_the_api_is_its_own(front: Front, token: str) -> None:
    answer = front.ask("/broken", token=token)
    assert answer.status == 500
    assert answer.json()["x-auth-subject"] == "admin"


def test_the_verifying_location_is_not_for_clients(front: Front, token: str) -> None:
    if front.name == "nginx":
        assert front.ask("/_verify", token=token).status == 404
    assert front.ask("/_verify").status in (401, 404)


def test_the_metrics_of_the_service_are_not_for_clients(front: Front) -> None:
    assert front.ask("/healthz", host="auth.example").status == 200
    assert front.ask("/metrics", host="auth.example").status == 404


@pytest.mark.parametrize("forwarded", [None, "203.0.113.9", "203.0.113.9, 198.51.100.7"])
def test_in_front_of_the_service_the_audit_log_has_the_address_of_the_client(
    front: Front, token: str, forwarded: str | None
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    body = {"username": "admin", "password": "correct horse battery"}
    tokens = front.ask("/auth/login", host="auth.example", headers=headers, body=body).json()
    listed = front.ask("/auth/sessions", host="auth.example", token=tokens["access_token"]).json()["sessions"]
    assert [one["ip"] for one in listed if one["current"]] == [CLIENT]

    answer = front.ask(
        "/auth/logout", host="auth.example", headers=headers, body={"refresh_token": tokens["refresh_token"]}
    )
    assert answer.status == 200
    newest = front.service.get("/admin/audit", token=token).json()["records"][0]
    assert (newest["action"], newest["target"], newest["address"]) == ("session.logout", tokens["session_id"], CLIENT)
