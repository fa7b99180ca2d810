"""The story that this is about: sign in, use it, log out, and be refused, on every worker and whatever happens."""

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import jwt
import pytest
import redis

from revocation import Handle, connect
from tests.stories.workers import on_every_worker, records, refresh, statuses
from tests.support.postgres import new_database
from tests.support.servers import Server, binary, plain, running
from tests.support.service import ADMIN_PASSWORD, Service, serving


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


@pytest.fixture(params=["gthread", "sync", "gevent"])
def embedded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    settings = {"APP_WORKER_CLASS": request.param, "REVOCATION_MAX_STALENESS": "0"}
    # As users start it, with the worker class that they get.
    how = "exec" if request.param == "gthread" else "fork"
    with serving(tmp_path, how=how, **settings) as service:
        yield service


@contextmanager
def persistent_redis(directory: Path) -> Iterator[Server]:
    """Debian's redis-server as one should run it for this."""
    with running("redis", "--appendonly", "yes", "--maxmemory-policy", "noeviction") as server:
        yield server


def test_on_sqlite_and_the_embedded_store(embedded: Service) -> None:
    client = plain(connect(f"embedded:{embedded.env['APP_DATA_DIR']}", timeout_seconds=5))
    try:
        tell(embedded, client)
    finally:
        client.close()
    embedded.stop()
    assert embedded.process.returncode == 0
    with pytest.raises(redis.ConnectionError):
        client.ping()
    client.close()


def test_on_postgresql_and_a_redis_of_its_own(postgres_url: str, tmp_path: Path) -> None:
    with persistent_redis(tmp_path) as server, new_database(postgres_url) as database:
        settings = {"REVOCATION_REDIS_URL": server.url, "APP_DATABASE_URL": database, "REVOCATION_MAX_STALENESS": "0"}
        with serving(tmp_path, **settings) as service:
            tell(service, server.client())
            read_with_redis_cli(service, server)


def tell(service: Service, client: "redis.Redis") -> None:
    kept = service.login()
    login = service.login()
    assert statuses(service, "/api/me", login["access_token"]) == {200}

    ended = service.post("/auth/logout", token=login["access_token"])
    assert ended.status_code == 200
    assert ended.json()["receipt"]["enforced"] is True

    def everywhere_as_it_should_be() -> None:
        assert statuses(service, "/api/me", login["access_token"]) == {401}
        assert statuses(service, "/verify", login["access_token"]) == {401}
        assert set(on_every_worker(service, lambda: refresh(service, login["refresh_token"]))) == {401}
        assert statuses(service, "/api/me", kept["access_token"]) == {200}

    everywhere_as_it_should_be()
    the_entry_ends_with_the_token(service, client)
    the_metrics_add_up(service)

    service.restart(stop_with=signal.SIGTERM)
    everywhere_as_it_should_be()

    before = process_id(client)
    service.restart(stop_with=signal.SIGKILL)
    assert process_id(client) == before, "the server left behind is adopted"
    everywhere_as_it_should_be()

    assert refresh(service, kept["refresh_token"]) == 200
    the_log_is_json_and_holds_no_secret(service, [kept, login])


def process_id(client: "redis.Redis") -> int:
    return int(client.info("server")["process_id"])


def the_entry_ends_with_the_token(service: Service, client: "redis.Redis") -> None:
    token = service.login()["access_token"]
    revoked = service.post("/oauth/revoke", data={"token": token, "client_id": "first-party"})
    assert revoked.status_code == 200
    said = claims(token)
    name = Handle("token", said["jti"], issuer=said["iss"]).name
    assert said["jti"] in name, "a person can read it"

    entry = cast("bytes", client.get(f"{{denylist}}:{name}"))
    left = client.pttl(f"{{denylist}}:{name}") / 1000

    assert re.fullmatch(rb"\* \d+-\d+-[0-9a-f]{8}=\*/[0-9a-f]{8}", entry)
    # exp + leeway + margin, give or take what the two questions took.
    assert 0 <= said["exp"] + 30 + 60 - time.time() - left + 1 < 10


def read_with_redis_cli(service: Service, server: Server) -> None:
    command = shutil.which("redis-cli")
    assert command, "it comes with redis-server"
    token = service.login()["access_token"]
    service.post("/auth/logout", token=token)
    name = Handle("session", claims(token)["sid"], issuer=claims(token)["iss"]).name

    def ask(*words: str) -> str:
        asked = [command, "-s", str(server.socket), *words]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    assert ask("GET", f"{{denylist}}:{name}").startswith("* ")
    assert 900 < int(ask("TTL", f"{{denylist}}:{name}")) <= 86_400 + 30 + 30 + 60 + 1
    assert f"{{denylist}}:{name}" in ask("--scan", "--pattern", "{denylist}:session:*")


def the_metrics_add_up(service: Service) -> None:
    """Whichever worker is asked, it answers for all of them."""

    def counted() -> float:
        line = 'app_http_requests_total{method="GET",route="/healthz",status="200"} '
        found = [one for one in service.get("/metrics").text.splitlines() if one.startswith(line)]
        return float(found[0].removeprefix(line)) if found else 0.0

    before = counted()
    on_every_worker(service, lambda: [service.get("/healthz") for _ in range(5)])
    assert on_every_worker(service, counted) == [before + 10, before + 10]


def the_log_is_json_and_holds_no_secret(service: Service, logins: list[dict[str, Any]]) -> None:
    written = records(service)
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(one) for one in written))
    routes = {one.get("route") for one in written if one["logger"] == "app.request"}
    assert routes >= {"/auth/login", "/auth/logout", "/auth/refresh", "/api/me"}
    for login in logins:
        for secret in (login["access_token"], login["access_token"].split(".")[2], login["refresh_token"]):
            assert secret not in service.log
    assert ADMIN_PASSWORD not in service.log
    # After a kill the port may be busy for a moment: the server says so, and tries again.
    went_wrong = [one for one in written if one["level"] in ("error", "critical")]
    assert [one for one in went_wrong if "in use" not in one["message"]] == []


def test_a_request_that_is_no_http_is_refused_and_leaks_nothing_into_the_log(tmp_path: Path) -> None:
    """What the server refuses before the app sees it: its own words for it must hold no token either."""
    canary = "canary-canary-canary"
    json_request = "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with serving(tmp_path, APP_WORKERS="1") as service:
        bodies = [
            f"GET /api/me?t={canary} HTTP/9.9\r\nAuthorization: Bearer {canary}\r\n\r\n",
            f"GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {canary}\0\r\n\r\n",
            f"GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {canary}\r\n\r\n",
            f"GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {canary}\r\n\r\n",
            f"GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {canary}{'x' * 20_000}\r\n\r\n",
            f"GET /{canary}{'x' * 20_000} HTTP/1.1\r\nHost: x\r\n\r\n",
            f"GET /{canary}\x7f\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
            f"{canary}\r\n\r\n",
            f"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: {canary}\r\n\r\n",
            f"POST /auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {canary}\r\n\r\n",
            f"{json_request}Transfer-Encoding: chunked\r\n\r\n{canary}\r\n",
            f"{json_request}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{canary}",
        ]
        for body in bodies:
            status = raw(service, body.encode("latin-1"))
            assert status is None or 400 <= status < 500 or status == 501, (body[:100], status)
        assert service.get("/readyz").status_code == 200
        assert canary not in service.log
        records(service)


def raw(service: Service, sent: bytes) -> int | None:
    """The status that bytes on a connection get, None where the server hangs up without one."""
    port = int(service.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        # A server that has not read all of it may reset the connection, and its answer is lost then.
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65_536):
                received += chunk
    match = re.match(rb"HTTP/1\.[01] (\d{3})", received)
    return int(match[1]) if match else None


def test_the_store_in_memory_serves_one_process(tmp_path: Path) -> None:
    with serving(tmp_path, REVOCATION_REDIS_URL="memory", APP_WORKERS="1") as service:
        token = service.login()["access_token"]
        assert service.get("/api/me", token=token).status_code == 200
        assert service.post("/auth/logout", token=token).status_code == 200
        assert service.get("/api/me", token=token).status_code == 401


def test_clients_that_stop_in_the_middle_of_a_request_keep_nobody_out_for_long(tmp_path: Path) -> None:
    binary("valkey")
    with serving(tmp_path) as service, contextlib.ExitStack() as stack:
        host, port = service.url.removeprefix("http://").split(":")
        for half in (
            b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
            b"GET / HTTP/1.1\r\nHo",
        ) * 4:
            stuck = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            stuck.sendall(half)
        assert service.get("/healthz", timeout=40).status_code == 200
