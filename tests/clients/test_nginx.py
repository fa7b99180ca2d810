"""The nginx configuration of docs/operating.md, on a real nginx: in front of an API, and in front of the service."""

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.clients.conftest import register
from tests.documents import OPERATING, blocks
from tests.support.nginx import proxying
from tests.support.ports import free_port
from tests.support.servers import Server, running
from tests.support.service import Service, serving

#: Where the tests' clients come from; the proxy comes from 127.0.0.1.
CLIENT = "127.0.0.2"


class _Echo(BaseHTTPRequestHandler):
    """The API behind the proxy: answers with the headers that reached it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

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
    """nginx, and what stands behind it."""

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
    ) -> Answer:
        """One request from CLIENT."""
        sent = {"Host": host, **({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20, source_address=(CLIENT, 0))
        with contextlib.closing(connection):
            connection.request("GET" if body is None else "POST", path, body and json.dumps(body), sent)
            answer = connection.getresponse()
            return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    [config] = blocks("nginx", under="Behind nginx", of=OPERATING)
    port = free_port()
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(running("valkey"))
        directory = tmp_path_factory.mktemp("nginx")
        # Always asking Redis, so that its absence shows at once.
        env = {"REVOCATION_REDIS_URL": store.url, "REVOCATION_MAX_STALENESS": "0", "APP_TRUSTED_PROXIES": "1"}
        service = stack.enter_context(serving(directory, **env))
        backend = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _Echo))
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        stack.callback(backend.shutdown)
        for written, ours in (
            ("127.0.0.1:8000", service.url.removeprefix("http://")),
            ("127.0.0.1:9000", f"127.0.0.1:{backend.server_port}"),
            ("listen 80;", f"listen 127.0.0.1:{port};"),
        ):
            assert written in config
            config = config.replace(written, ours)
        stack.enter_context(proxying(config, port=port))
        yield Front(port, service, store)


@pytest.fixture(scope="module")
def token(front: Front) -> str:
    found: str = front.service.login()["access_token"]
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


def test_a_request_with_a_body_passes_whole(front: Front, token: str) -> None:
    assert front.ask("/orders", token=token, body={"order": "x" * 20_000}).status == 200


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
    assert front.ask("/_verify", token=token).status == 404


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
