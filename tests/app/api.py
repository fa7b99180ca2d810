"""Api: the service in this process, asked through Flask's test client, with people who sign in and out."""

import base64
import math
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import argon2
from werkzeug.test import TestResponse

from app import create_app
from app.passwords import Passwords
from app.service import Service
from app.settings import Settings
from app.startup import prepare
from app.stores import Stores
from revocation import Claims, TokenIssuer
from tests.support.servers import Server

ADMIN_PASSWORD = "correct horse battery"
PASSWORD = "a password of somebody"

#: What an hour and two leeways make: long past every lifetime here.
LONG_AGO_SECONDS = 5000

#: Moves every instant of a session's record back.
_OLDER = """
local by = tonumber(ARGV[1])
for _, name in ipairs({'signed_in', 'used', 'rotated', 'ends'}) do redis.call('HINCRBY', KEYS[1], name, -by) end
local uses = string.gsub(redis.call('HGET', KEYS[1], 'uses') or '', '=(%d+)', function(at)
  return '=' .. string.format('%.0f', math.max(0, tonumber(at) - by))
end)
redis.call('HSET', KEYS[1], 'uses', uses)
redis.call('PEXPIRE', KEYS[1], math.max(1, redis.call('PTTL', KEYS[1]) - by))
"""


class QuickPasswords(Passwords):
    """Takes a fraction of a millisecond, and knows that the passwords of these tests are hard to guess."""

    def __init__(self) -> None:
        super().__init__(hasher=argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))

    def hash(self, password: str, *, username: str) -> str:
        if password in (PASSWORD, ADMIN_PASSWORD):
            return self.rehash(password)
        return super().hash(password, username=username)


@dataclass(frozen=True)
class Login:
    """What somebody holds after signing in."""

    access_token: str
    refresh_token: str
    session_id: str
    scope: str
    username: str

    @classmethod
    def of(cls, answer: TestResponse, username: str) -> "Login":
        assert answer.status_code == 200, answer.text
        body = answer.get_json()
        return cls(body["access_token"], body["refresh_token"], body["session_id"], body["scope"], username)


@dataclass(frozen=True)
class Machine:
    """A registered client and its secret."""

    client_id: str
    secret: str

    @property
    def basic(self) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()}


class Api:
    """One process of the service. Safe for several threads at once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.service: Service = self.app.extensions["service"]
        self.service.stores.users._passwords = QuickPasswords()

    def close(self) -> None:
        self.service.guard.stop()
        self.service.stores.database.close()
        self.service.stores.denylist.link.close()

    # Asking

    def ask(
        self, method: str, path: str, *, token: str | None = None, address: str = "127.0.0.1", **kwargs: Any
    ) -> TestResponse:
        """One request, with nothing kept from earlier ones."""
        headers = dict(kwargs.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        environ = {"REMOTE_ADDR": address, **kwargs.pop("environ", {})}
        client = self.app.test_client(use_cookies=False)
        return client.open(path, method=method, headers=headers, environ_overrides=environ, buffered=True, **kwargs)

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.ask("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> TestResponse:
        return self.ask("POST", path, **kwargs)

    def patch(self, path: str, **kwargs: Any) -> TestResponse:
        return self.ask("PATCH", path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> TestResponse:
        return self.ask("DELETE", path, **kwargs)

    def me(self, token: str) -> int:
        """What a token is worth: 200 or 401."""
        return self.get("/api/me", token=token).status_code

    # People and machines

    def add_user(self, username: str | None = None, *, password: str = PASSWORD, scope: str = "") -> str:
        """A new account; its name."""
        name = username or f"user-{secrets.token_hex(6)}"
        return self.service.stores.users.create(name, password=password, scope=scope).username

    def login(self, username: str | None = None, password: str = PASSWORD, **kwargs: Any) -> Login:
        """Sign in; as somebody new if no name is given."""
        name = username or self.add_user()
        answer = self.post("/auth/login", json={"username": name, "password": password}, **kwargs)
        return Login.of(answer, name)

    def admin(self) -> str:
        """An access token of the account admin."""
        return self.login("admin", ADMIN_PASSWORD).access_token

    def refresh(self, refresh_token: str, **kwargs: Any) -> TestResponse:
        return self.post("/auth/refresh", json={"refresh_token": refresh_token}, **kwargs)

    def refreshed(self, login: Login) -> Login:
        """The next tokens of a session."""
        return Login.of(self.refresh(login.refresh_token), login.username)

    def logout(self, token: str | None = None, refresh_token: str | None = None) -> TestResponse:
        body = {} if refresh_token is None else {"json": {"refresh_token": refresh_token}}
        return self.post("/auth/logout", token=token, **body)

    def machine(self, *, scope: str = "") -> Machine:
        """A new client of the token endpoint."""
        client, secret = self.service.stores.clients.create("a machine", scope=scope)
        return Machine(client.client_id, secret)

    def machine_token(self, machine: Machine) -> str:
        answer = self.post("/oauth/token", data={"grant_type": "client_credentials"}, headers=machine.basic)
        token: str = answer.get_json()["access_token"]
        return token

    def revoke(self, admin: str, **body: Any) -> dict[str, Any]:
        """An admin's revocation, as it was answered."""
        unknown = {"even_if_unknown": True} if "kind" in body else {}
        answer = self.post("/admin/revocations", token=admin, json={"reason": "test", **unknown, **body})
        assert answer.status_code == 201, answer.text
        revocation: dict[str, Any] = answer.get_json()["revocation"]
        return revocation

    def undo(self, admin: str, revocation: dict[str, Any]) -> TestResponse:
        return self.delete(f"/admin/revocations/{revocation['id']}?reason=mistake", token=admin)

    # Time

    def record(self, login: Login) -> str:
        """The key of a session's record."""
        return self.service.stores.denylist.key(f"app:session:{login.session_id}")

    def let_pass(self, login: Login, seconds: float) -> None:
        """Make a session older, as Redis' clock would: nobody can move that one."""
        client: Any = self.service.stores.denylist.link.client
        client.eval(_OLDER, 1, self.record(login), round(1000 * seconds))

    def let_grace_pass(self, login: Login) -> None:
        """Until a refresh token that was used gives nothing any more."""
        self.let_pass(login, self.settings.refresh_grace_seconds + 1)

    # Tokens

    def mint(self, subject: str, *, ago_seconds: float = 0, issuer: TokenIssuer | None = None, **kwargs: Any) -> str:
        """An access token of this service's keys, issued some time ago."""
        now = self.service.stores.denylist.now_ms() / 1000
        by = issuer or TokenIssuer(
            self.service.keys, issuer=self.settings.issuer, audience=self.settings.audience, client_id="first-party"
        )
        return by.issue(subject, issued_at=now - ago_seconds, **kwargs)

    def expired(self, login: Login) -> str:
        """An access token as this login might have held it some time ago."""
        return self.mint(login.username, session=login.session_id, ago_seconds=LONG_AGO_SECONDS)

    def look_at_keys(self) -> None:
        """Notice now what would be noticed within seconds: that the key files have changed."""
        self.service.keys._looked_at = -math.inf

    def claims(self, token: str) -> Claims:
        """What a token says, whether or not it is still worth anything."""
        return self.service.verifier.verify_ignoring_expiry(token)

    def audited(self, admin: str) -> list[dict[str, Any]]:
        """The newest records of the audit log."""
        records: list[dict[str, Any]] = self.get("/admin/audit", token=admin).get_json()["records"]
        return records


def settings_for(server: Server, directory: Path, **env: str) -> Settings:
    """Settings for a namespace of its own on a server, with everything else in a directory."""
    return Settings.from_mapping(
        {
            "REVOCATION_REDIS_URL": server.url,
            "REVOCATION_NAMESPACE": f"t{secrets.token_hex(8)}",
            # What is refused is refused at once; bounds are tested with the library.
            "REVOCATION_MAX_STALENESS": "0",
            # A busy machine is slow; faults are tested elsewhere.
            "REVOCATION_TIMEOUT": "10",
            # Eight ask the database at once here, and where the disk is busy, a turn at it takes longer than usual.
            "APP_THREADS": "16",
            "APP_DATA_DIR": str(directory),
            "APP_ADMIN_PASSWORD": ADMIN_PASSWORD,
            **env,
        }
    )


@contextmanager
def prepared(settings: Settings) -> Iterator[Api]:
    """The service, with what `python -m app init` makes, until the block ends."""
    stores = Stores.of(settings)
    stores.users._passwords = QuickPasswords()
    # Nothing that is out there has to be cut off, and a cut-off takes a second to come true.
    stores.denylist.open(accept_existing=True)
    prepare(stores, settings)
    stores.database.close()
    stores.denylist.link.close()
    with another(settings) as api:
        yield api


@contextmanager
def another(settings: Settings, **changes: Any) -> Iterator[Api]:
    """One more process of a service that is prepared already, perhaps with other settings."""
    api = Api(replace(settings, **changes))
    try:
        yield api
    finally:
        api.close()
