"""Leaks: no token, password or secret gets into a log, a header, an error, the database or Redis."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.logs import JsonFormatter
from app.settings import Settings
from tests.app.api import Api, Login, Machine, prepared, settings_for
from tests.support.servers import Server, StartServer

CANARY = "canary-canary-canary"
PASSWORD = f"{CANARY} the password"
MADE_UP = f"{CANARY}.made.up"


@pytest.fixture
def api(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    with prepared(settings_for(valkey, tmp_path / "data")) as api:
        yield api


@dataclass
class Secrets:
    """Everything that must not be seen, and the answers in which it might be."""

    api: Api
    texts: set[str] = field(default_factory=lambda: {CANARY})
    answers: list[TestResponse] = field(default_factory=list)

    def login(self, username: str) -> Login:
        login = self.api.login(username, PASSWORD)
        self.keep(login.access_token, login.refresh_token)
        return login

    def keep(self, *texts: str) -> None:
        # Parts of it, too: a token without its signature, a signature alone.
        for text in texts:
            self.texts |= {text, *(part for part in text.split(".") if len(part) > 40)}

    def ask(self, method: str, path: str, **kwargs: Any) -> TestResponse:
        self.answers.append(self.api.ask(method, path, **kwargs))
        return self.answers[-1]

    def found_in(self, text: str) -> set[str]:
        return {secret for secret in self.texts if secret in text}


def everywhere(secrets: Secrets, login: Login, machine: Machine, admin: str) -> None:
    """Send every secret through every door, right and wrong."""
    access, refresh = login.access_token, login.refresh_token
    for token in (access, refresh, MADE_UP, machine.secret, f"{access}x", f"{access} {refresh}"):
        for path in ("/api/me", "/verify", "/admin/audit", "/auth/sessions", "/nowhere"):
            secrets.ask("GET", path, token=token)
            secrets.ask("GET", f"{path}?access_token={token}&token={token}")
            secrets.ask("GET", path, token=token, query_string={"access_token": token})
            secrets.ask("GET", path, headers={"Authorization": token, "X-Token": token, "Cookie": f"t={token}"})
        for path in (f"/admin/users/{token}", f"/auth/sessions/{token}", f"/admin/revocations/{token}", f"/{token}"):
            secrets.ask("PATCH", path, token=admin, json={"disabled": True})
            secrets.ask("DELETE", path, token=admin)
            secrets.ask("GET", path, token=admin)
        for form in (
            {"grant_type": "refresh_token", "refresh_token": token, "client_id": "first-party", "scope": "none:such"},
            {"grant_type": token, "client_id": "first-party"},
            {"grant_type": "client_credentials", "client_id": token, "client_secret": token},
            {"token": token, "client_id": machine.client_id, "client_secret": "wrong"},
            {"token": [token, token]},
            {token: ["a", "b"]},
        ):
            for path in ("/oauth/token", "/oauth/revoke", "/oauth/introspect"):
                secrets.ask("POST", path, data=form)
                secrets.ask("POST", path, data=form, headers=machine.basic)
        for body in (
            {"refresh_token": token + "x"},
            {"username": login.username, "password": token},
            {"username": token, "password": token},
            {"username": {"a": token}, "password": [token]},
            {"token": token + "x", "reason": "leaked"},
            {"kind": token, "value": "x", "reason": "leaked"},
            {"kind": "subject", "value": "x", "reason": "r", "issued_before": token},
        ):
            for path in ("/auth/login", "/auth/refresh", "/auth/logout"):
                secrets.ask("POST", path, json=body, address="192.0.2.66")
            if body.get("username") != token:  # an admin who calls somebody so has decided to
                for path in ("/admin/revocations", "/admin/users", "/admin/clients"):
                    secrets.ask("POST", path, token=admin, json=body)
            secrets.ask("POST", "/auth/login", data=json.dumps(body)[:-5], content_type="application/json")
            secrets.ask("POST", "/auth/login", data=json.dumps(body), content_type="text/plain")
    secrets.ask("POST", "/admin/users", token=admin, json={"username": login.username, "password": PASSWORD})
    secrets.ask("POST", "/admin/users", token=admin, json={"username": "x", "password": CANARY[:7]})
    secrets.ask("PATCH", f"/admin/users/{login.username}", token=admin, json={"password": PASSWORD * 100})
    secrets.ask("POST", "/admin/revocations", token=admin, json={"token": access, "reason": "leaked"})
    secrets.ask("POST", "/oauth/revoke", data={"token": refresh, "client_id": "first-party"})
    secrets.ask("POST", "/auth/logout", token=access, json={"refresh_token": refresh})
    secrets.ask("GET", "/api/me", token=access)
    secrets.ask("POST", "/auth/refresh", json={"refresh_token": refresh})
    secrets.ask("GET", "/metrics")


def redis_as_text(api: Api) -> str:
    """Every key of the service's namespace with all that is in it."""
    client: Any = api.service.stores.denylist.link.client
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"stream": client.xrange,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
    }
    keys = list(client.scan_iter(api.service.stores.denylist.key("*"), count=10_000))
    assert keys
    return "\n".join(f"{key} {read[client.type(key)](key)}" for key in keys)


def require_unseen(secrets: Secrets, caplog: pytest.LogCaptureFixture) -> None:
    formatter = JsonFormatter()
    logged = "\n".join(formatter.format(record) for record in caplog.records)
    assert '"route": "/auth/login"' in logged
    assert secrets.found_in(logged) == set()
    for answer in secrets.answers:
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        assert secrets.found_in(headers) == set()
        if answer.status_code >= 400:
            assert secrets.found_in(answer.text) == set(), answer.text


def test_no_secret_is_seen_where_none_may_be(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = Secrets(api)
    admin, name = api.admin(), api.add_user("ada", password=PASSWORD)
    machine = api.machine()
    secrets.keep(machine.secret)

    everywhere(secrets, secrets.login(name), machine, admin)

    require_unseen(secrets, caplog)
    assert len(secrets.answers) > 500
    assert {answer.status_code for answer in secrets.answers} >= {200, 400, 401, 404, 409, 415}
    assert secrets.found_in(redis_as_text(api)) == set()
    assert secrets.found_in(json.dumps(api.audited(api.admin()))) == set()
    files = [path for path in api.settings.data_dir.rglob("*") if path.is_file() and "keys" not in path.parts]
    assert any(path.name.startswith("app.sqlite3") for path in files)
    for path in files:
        assert secrets.found_in(path.read_bytes().decode("latin-1")) == set(), path


def test_no_secret_is_seen_when_redis_is_gone(
    start_server: StartServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = start_server()
    with prepared(settings_for(server, tmp_path)) as api:
        secrets = Secrets(api)
        login, machine, admin = secrets.login(api.add_user(password=PASSWORD)), api.machine(), api.admin()
        secrets.keep(machine.secret, admin)
        server.kill()

        everywhere(secrets, login, machine, admin)

        require_unseen(secrets, caplog)
        assert {answer.status_code for answer in secrets.answers} >= {503}
        assert not {answer.status_code for answer in secrets.answers} & {500}


def test_no_secret_is_seen_when_the_database_is_gone(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = Secrets(api)
    login, machine, admin = secrets.login(api.add_user(password=PASSWORD)), api.machine(), api.admin()
    secrets.keep(machine.secret)
    api.service.stores.database.close()
    for path in api.settings.data_dir.glob("app.sqlite3*"):
        path.unlink()

    everywhere(secrets, login, machine, admin)

    require_unseen(secrets, caplog)
    assert {answer.status_code for answer in secrets.answers} >= {503}
    assert not {answer.status_code for answer in secrets.answers} & {500}


def test_no_secret_is_seen_when_something_breaks_that_nobody_foresaw(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = Secrets(api)
    login, machine, admin = secrets.login(api.add_user(password=PASSWORD)), api.machine(), api.admin()
    secrets.keep(machine.secret)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("this is a bug")

    monkeypatch.setattr(api.service.stores.users, "authenticate", broken)
    monkeypatch.setattr(api.service.stores.users, "create", broken)
    monkeypatch.setattr(api.service.stores.clients, "authenticate", broken)
    monkeypatch.setattr(api.service.sessions.__class__, "rotate", broken)

    everywhere(secrets, login, machine, admin)

    require_unseen(secrets, caplog)
    broke = [answer for answer in secrets.answers if answer.status_code == 500]
    assert broke
    for answer in broke:
        of_oauth = answer.request.path.startswith("/oauth/")
        assert answer.mimetype == ("application/json" if of_oauth else "application/problem+json")
        assert "bug" not in answer.text
    assert "this is a bug" in caplog.text


def test_a_line_of_the_log_is_one_line_whatever_it_is_about(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody forges a record of the log with a line feed in an address or a method."""
    caplog.set_level(logging.INFO)
    forged = '1.2.3.4\n{"level": "info", "forged": true}'
    api.ask("GET", "/api/me", environ={"REMOTE_ADDR": forged, "REQUEST_METHOD": "GET\nX"})
    api.post("/auth/login", json={"username": forged, "password": forged}, address=forged)
    api.get("/\n{}", address=forged)

    lines = [JsonFormatter().format(record) for record in caplog.records]

    assert lines
    for line in lines:
        assert line.isascii()
        assert "\n" not in line
        assert "forged" not in json.loads(line)


def test_no_setting_shows_a_secret(tmp_path: Path) -> None:
    env = {
        "REVOCATION_REDIS_URL": f"redis://user:{CANARY}@127.0.0.1:1/0",
        "APP_DATABASE_URL": f"postgresql://user:{CANARY}@127.0.0.1:1/db",
        "APP_ADMIN_PASSWORD": CANARY,
        "APP_DATA_DIR": str(tmp_path),
    }
    settings = Settings.from_mapping(env)

    assert CANARY not in repr(settings)
    assert CANARY not in str(settings)
    assert CANARY not in f"{settings.revocation!r}"


def test_nothing_that_holds_a_secret_shows_it(api: Api) -> None:
    service = api.service
    login = api.login(api.add_user(password=PASSWORD), PASSWORD)
    secret = service.stores.keyring.refresh_secret()
    shown = f"{service!r} {service.stores!r} {list(service.keys.key_set())!r} {api.claims(login.access_token)!r}"

    assert repr(secret)[2:-1] not in shown
    assert "PRIVATE" not in shown
    assert login.access_token.split(".")[2] not in shown
