"""What `docker compose up` starts, as far as it shows without an engine."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.documents import ROOT
from tests.support.gateways import gateway
from tests.support.ports import free_port
from tests.support.requirements import require

PASSWORDS = {"APP_ADMIN_PASSWORD": "made up", "POSTGRES_PASSWORD": "p0stgres", "REDIS_PASSWORD": "r3dis"}


def compose(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("docker-compose")
    require(program, "docker-compose is not installed (Debian: apt-get install docker-compose)")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("APP_", "REDIS_", "POSTGRES_"))}
    command = [str(program), "--profile", "monitoring", "--profile", "command", "config", *arguments]
    return subprocess.run(command, cwd=ROOT, env=kept | env, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    done = compose(**PASSWORDS)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return found


def test_it_does_not_start_without_each_password() -> None:
    for missing in PASSWORDS:
        done = compose("-q", **{name: value for name, value in PASSWORDS.items() if name != missing})
        assert done.returncode != 0
        assert missing in done.stderr


def test_the_proxy_alone_is_reached_and_the_service_believes_it(services: dict[str, Any]) -> None:
    published = {name for name, service in services.items() if service.get("ports")}
    assert published == {"proxy", "prometheus", "grafana"}
    assert services["app"]["environment"]["APP_TRUSTED_PROXIES"] in ("1", 1)
    assert set(services["proxy"]["networks"]) == {"front"}


def test_redis_asks_for_the_password_that_everybody_has(services: dict[str, Any]) -> None:
    command = services["redis"]["command"]
    assert command[command.index("--requirepass") + 1] == "r3dis"
    for name in ("app", "revocation"):
        assert services[name]["environment"]["REVOCATION_REDIS_URL"] == "redis://:r3dis@redis:6379/0"


def test_every_container_has_limits_and_logs_that_end(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory"}, name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name


class _Service(BaseHTTPRequestHandler):
    """Answers with the headers that reached it."""

    protocol_version = "HTTP/1.1"
    reached = threading.Event()

    def do_POST(self) -> None:
        self.reached.set()
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of its nginx, on the file that compose mounts."""
    config = (ROOT / "gateway/nginx.conf").read_text("utf-8")
    port = free_port()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Service) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        for written, ours in (
            ("app:8000", f"127.0.0.1:{service.server_port}"),
            ("listen 8080", f"listen 127.0.0.1:{port}"),
        ):
            assert written in config
            config = config.replace(written, ours)
        with gateway("nginx", config, port=port):
            yield port
        service.shutdown()


def test_the_service_sees_a_slow_request_when_all_of_it_is_there(port: int) -> None:
    _Service.reached.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: auth.example\r\nContent-Length: 4\r\n\r\nab")
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as quick:
            quick.request("GET", "/metrics")
            assert quick.getresponse().status == 404
        assert not _Service.reached.is_set()
        slow.sendall(b"cd")
        assert slow.recv(100).startswith(b"HTTP/1.1 200 ")
    assert _Service.reached.is_set()


def test_the_service_is_told_who_asks_and_what_a_proxy_in_front_says(port: int) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        sent = {"Host": "auth.example", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        connection.request("POST", "/", b"", sent)
        seen = json.loads(connection.getresponse().read())
    assert seen["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    assert seen["x-forwarded-proto"] == "https, http"
    assert seen["x-forwarded-host"] == ", auth.example"
