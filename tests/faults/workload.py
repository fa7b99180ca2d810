"""Workload: people who use a real service with several workers while faults are injected, and what they saw."""

import contextlib
import http.client
import json
import math
import os
import random
import re
import secrets
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from app.keyring import Keyring
from app.settings import Settings
from app.stores import denylist as denylist_of
from revocation import DenylistUnavailableError, Handle, RedisDenylist, TokenIssuer
from tests.faults.history import EVERYTHING, STALL, Fault, History, Issue, Outcome, Request, Revoke
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.servers import Make, Server, running, short_directory
from tests.support.service import ADMIN_PASSWORD, Service, started

#: How many ways a token is presented: the route and its bound.
ROUTES = (
    ("/api/me", None),
    ("/verify?max_staleness=1", 1.0),
    ("/verify?max_staleness=0.3", 0.3),
    ("/verify?max_staleness=0", 0.0),
    ("/verify?max_staleness=inf", math.inf),
)
_WEIGHTS = (4, 2, 3, 3, 1)

#: How many sessions are refreshed, how often a refused one is tried again, and after which silence it is given up: a
#: token whose answer was lost gives its successor for the grace period alone.
_LOGINS = 4
_REFUSALS = 4
_LONGEST_SILENCE_SECONDS = 4.0

#: FAULTS_LONG=1 asks as much as the machine can answer, of more workers; else as much as the promises need to be shown.
LONG = os.environ.get("FAULTS_LONG") == "1"
WORKERS = 4 if LONG else 2
_PAUSE_SECONDS = 0.006 if LONG else 0.1
_ANSWER_SECONDS = 8.0
_PATIENCE_SECONDS = 15.0

#: Half of how long the workers wait for an answer of Redis.
_STALL_SECONDS = 0.25


@dataclass(frozen=True)
class Token:
    text: str
    id: str
    session: str
    subject: str
    client: str


@dataclass
class Login:
    """A session that is refreshed until some time after it was refused."""

    session: str
    subject: str
    client: str
    refresh_token: str
    #: Since when it is not known whether the refresh token was used; None where its last answer came.
    unsure_since: float | None = None
    refusals: int = 0

    @property
    def handles(self) -> set[str]:
        return {f"session:{self.session}", f"subject:{self.subject}", f"client:{self.client}", "issuer:", EVERYTHING}


@dataclass
class People:
    """What tokens there are, by what became of them."""

    live: list[Token] = field(default_factory=list)
    just_revoked: deque[Token] = field(default_factory=lambda: deque(maxlen=24))
    revoked: list[Token] = field(default_factory=list)


class Workload:
    """The load on one service, which writes one history."""

    def __init__(self, server: Server, service: Service, settings: Settings, *, proxy: Proxy | None, seed: int) -> None:
        self.server = server
        self.service = service
        self.proxy = proxy
        self.history = History()
        self.denylist: RedisDenylist = denylist_of(settings)
        self.bound = settings.revocation.max_staleness
        #: Whether a revocation counts only when its receipt says that it is enforced: then every follower has read it.
        self.by_receipt = False
        #: Answers to revocations that should not be: neither done nor 401 nor 503.
        self.strange: list[str] = []
        self.recovered_seconds = math.inf
        self._issuer_name = settings.issuer
        keys = Keyring(settings.keys_dir, algorithm="ES256").source()
        self._keys = keys
        self._issuer = TokenIssuer(keys, issuer=settings.issuer, audience=settings.audience)
        self._people = People()
        self._stop = threading.Event()
        self._quiet = threading.Event()
        self._random = random.Random(seed)
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []
        address = self.service.url.removeprefix("http://").split(":")
        self._host, self._port = address[0], int(address[1])

    # Load

    def start(self) -> None:
        for _ in range(24):
            self._mint()
        roles: list[Callable[[], None]] = [
            self._watch_stalls,
            self._mint_on,
            self._revoke_directly,
            self._revoke_by_http,
            self._refresh_on,
        ]
        roles += [lambda: self._ask_on(keep=True)] * 7 + [lambda: self._ask_on(keep=False)] * 2
        self._threads = [threading.Thread(target=self._guarded, args=(role,), daemon=True) for role in roles]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_ANSWER_SECONDS + 5)
        self.denylist.link.client.close()
        if self._failures:
            raise self._failures[0]

    @contextlib.contextmanager
    def nobody_revokes(self) -> Iterator[None]:
        """Within this block what was revoked is revoked: no acknowledgement falls into it."""
        self._quiet.set()
        time.sleep(0.3)
        try:
            yield
        finally:
            self._quiet.clear()

    def _guarded(self, role: Callable[[], None]) -> None:
        try:
            role()
        except BaseException as error:  # noqa: BLE001 (a thread that ends must not end unseen)
            self._failures.append(error)

    def _watch_stalls(self) -> None:
        while not self._stop.is_set():
            before = time.monotonic()
            time.sleep(0.01)
            self._note_stall(before)

    def _note_stall(self, before: float) -> None:
        """What asks nobody took this long: the machine ran something else, and servers time out then."""
        now = time.monotonic()
        if now - before > _STALL_SECONDS:
            self.history.add(Fault(STALL, before, now))

    def _mint_on(self) -> None:
        while not self._stop.wait(0.015):
            if len(self._people.live) < 40:
                self._mint()

    def _mint(self) -> None:
        invoked = time.monotonic()
        number = self._random.randrange(10**9)
        subject, session, client = f"user-{number % 500}", secrets.token_urlsafe(16), f"client-{number % 20}"
        try:
            now_ms = self.denylist.now_ms()
        except DenylistUnavailableError:
            return
        text = self._issuer.issue(subject, session=session, client_id=client, issued_at=now_ms / 1000)
        id_ = str(_claims(text)["jti"])
        kid = self._keys.key_set().signing_key().id
        handles = {
            f"token:{id_}",
            f"session:{session}",
            f"subject:{subject}",
            f"client:{client}",
            "issuer:",
            EVERYTHING,
        }
        self.history.add(Issue(id_, frozenset({*handles, f"key:{kid}"}), invoked, time.monotonic()))
        self._people.live.append(Token(text, id_, session, subject, client))

    def _refresh_on(self) -> None:
        """Sign in, and use refresh tokens again and again, also those of sessions that were taken back."""
        logins: list[Login] = []
        chance = random.Random(self._random.random())
        while not self._stop.wait(0.03):
            if len(logins) < _LOGINS and (login := self._sign_in()) is not None:
                logins.append(login)
            if not logins:
                continue
            login = chance.choice(logins)
            self._refresh(login)
            silence = time.monotonic() - (login.unsure_since or time.monotonic())
            if login.refusals > _REFUSALS or silence > _LONGEST_SILENCE_SECONDS:
                logins.remove(login)

    def _sign_in(self) -> Login | None:
        invoked = time.monotonic()
        try:
            answer = self.service.post(
                "/auth/login", json={"username": "admin", "password": ADMIN_PASSWORD}, timeout=_ANSWER_SECONDS
            )
        except requests.RequestException:
            return None
        if answer.status_code != 200:
            return None
        tokens = answer.json()
        claims = _claims(tokens["access_token"])
        login = Login(str(claims["sid"]), str(claims["sub"]), str(claims["client_id"]), tokens["refresh_token"])
        self.history.add(Issue(f"refresh:{login.session}", frozenset(login.handles), invoked, time.monotonic()))
        return login

    def _refresh(self, login: Login) -> None:
        sent = time.monotonic()
        status, tokens = 0, {}
        with contextlib.suppress(requests.RequestException):
            answer = self.service.post(
                "/auth/refresh", json={"refresh_token": login.refresh_token}, timeout=_ANSWER_SECONDS
            )
            status, tokens = answer.status_code, answer.json()
        ended = time.monotonic()
        self.history.add(Request(f"refresh:{login.session}", 0.0, sent, ended, status, refreshes=True))
        if status == 401:
            login.refusals += 1
        if status != 200:
            login.unsure_since = login.unsure_since or sent
            return
        login.refresh_token, login.unsure_since = tokens["refresh_token"], None
        text = tokens["access_token"]
        id_, kid = str(_claims(text)["jti"]), self._keys.key_set().signing_key().id
        self.history.add(Issue(id_, frozenset({*login.handles, f"token:{id_}", f"key:{kid}"}), sent, ended))
        if len(self._people.live) < 40:
            self._people.live.append(Token(text, id_, login.session, login.subject, login.client))

    def _revoke_directly(self) -> None:
        """Another host, with a link of its own."""
        chance = random.Random(self._random.random())
        while not self._stop.wait(0.04):
            if self._quiet.is_set() or len(self._people.live) < 8:
                continue
            token = self._take()
            kind = chance.choices(("token", "session", "subject", "client", "issuer", "key"), (8, 8, 8, 3, 0.4, 1))[0]
            value = {"token": token.id, "session": token.session, "subject": token.subject, "client": token.client}
            issuer = self._issuer_name
            name = f"{kind}:{value.get(kind, '')}"
            if kind == "key":
                # The same key id at another issuer is another key.
                issuer, name = "https://other.example", "key: of somebody else"
                value["key"] = self._keys.key_set().signing_key().id
            invoked = time.monotonic()
            outcome: Outcome = "ok"
            is_enforced = False
            try:
                receipt = self.denylist.revoke(
                    Handle(kind, value.get(kind, ""), issuer=issuer),
                    wait_seconds=1.0 if self.by_receipt else chance.choice((0.0, 0.2)),
                )
                is_enforced = receipt.enforced
                if self.by_receipt and not is_enforced:
                    outcome = "unknown"
            except DenylistUnavailableError:
                outcome = "unknown"
            is_unconditional = kind in ("token", "session", "key")
            self.history.add(Revoke(name, is_unconditional, invoked, time.monotonic(), outcome, is_enforced))
            self._took(token)

    def _revoke_by_http(self) -> None:
        chance = random.Random(self._random.random())
        while not self._stop.wait(0.05):
            if self._quiet.is_set() or len(self._people.live) < 8:
                continue
            token = self._take()
            way = chance.choice(("logout", "token", "session", "subject", "leaked"))
            body: dict[str, Any] | None = None
            path, bearer, name = "/admin/revocations", "", f"{way}:"
            if way == "logout":
                path, bearer, name = "/auth/logout", token.text, f"session:{token.session}"
            elif way == "leaked":
                body, name = {"token": token.text}, f"token:{token.id}"
            else:
                value = {"token": token.id, "session": token.session, "subject": token.subject}[way]
                # Redis may have lost the session by now, while its tokens are out.
                body, name = {"kind": way, "value": value, "even_if_unknown": True}, f"{way}:{value}"
            invoked = time.monotonic()
            outcome: Outcome = "unknown"
            is_enforced = False
            try:
                # Minted for this one: an epoch that opens takes an older one back.
                bearer = bearer or self._issuer.issue(
                    "admin", scope="revocation:admin", session="an admin", issued_at=self.denylist.now_ms() / 1000
                )
                answer = self.service.post(
                    path, token=bearer, json=body and {**body, "reason": "a test"}, timeout=_ANSWER_SECONDS
                )
                status = answer.status_code
                outcome = "ok" if status in (200, 201) else "fail" if status == 401 else "unknown"
                is_enforced = outcome == "ok" and answer.json()["receipt"]["enforced"]
                if self.by_receipt and not is_enforced:
                    outcome = "unknown" if outcome == "ok" else outcome
                if status not in (200, 201, 401, 503):
                    self.strange.append(f"{path} {status} {answer.text}")
            except (DenylistUnavailableError, requests.RequestException):
                pass
            is_unconditional = not name.startswith("subject:")
            self.history.add(Revoke(name, is_unconditional, invoked, time.monotonic(), outcome, is_enforced))
            self._took(token)

    def _take(self) -> Token:
        # An old one, which every worker has seen, or a young one, which none has.
        return self._people.live.pop(0 if self._random.random() < 0.7 else -1)

    def _took(self, token: Token) -> None:
        self._people.just_revoked.append(token)
        self._people.revoked.append(token)

    def _ask_on(self, *, keep: bool) -> None:
        chance = random.Random(self._random.random())
        connection = self._connection()
        while not self._stop.wait(_PAUSE_SECONDS):
            token = self._chosen(chance)
            path, bound = chance.choices(ROUTES, _WEIGHTS)[0]
            sent = time.monotonic()
            status, source, worker = 0, "", ""
            try:
                status, source, worker = _ask(connection, path, token.text)
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = self._connection()
            bound = self.bound if bound is None else min(bound, self.bound) if bound < math.inf else bound
            self.history.add(Request(token.id, bound, sent, time.monotonic(), status, source, worker))
            if bound == math.inf:
                self._note_stall(sent)
            if not keep:
                connection.close()
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=_ANSWER_SECONDS)

    def _chosen(self, chance: random.Random) -> Token:
        people = self._people
        for _ in range(100):
            with contextlib.suppress(IndexError):
                match chance.random():
                    case x if x < 0.5:
                        return chance.choice(people.just_revoked)
                    case x if x < 0.85:
                        return chance.choice(people.live)
                    case _:
                        return chance.choice(people.revoked)
        raise AssertionError("there are no tokens")

    # Faults

    @contextlib.contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """What the block breaks and mends; afterwards everybody must be served again."""
        began = time.monotonic()
        yield
        healed = time.monotonic()
        # In force while it lasts: who asks meanwhile is judged when all is over.
        self.history.add(Fault(name, began, healed))
        self._recover(healed)

    @contextlib.contextmanager
    def loss(self, name: str) -> Iterator[None]:
        """The same, where what Redis knew is lost: a new epoch must take back everything that was issued before."""
        epoch = self.denylist.head().epoch
        began = time.monotonic()
        yield
        healed = time.monotonic()
        self.history.add(Fault(name, began, healed))
        while True:
            with contextlib.suppress(DenylistUnavailableError):
                if self.denylist.head().epoch != epoch:
                    break
            assert time.monotonic() < healed + _PATIENCE_SECONDS, "nobody noticed that Redis has lost its data"
            time.sleep(0.002)
        self.history.add(Revoke(EVERYTHING, unconditional=False, invoked=began, ended=time.monotonic(), outcome="ok"))
        # What was minted before is of no use any more: those who ask get new ones.
        gone, self._people.live = self._people.live, []
        self._people.revoked += gone
        self._recover(healed)

    def _recover(self, healed: float) -> None:
        """Until somebody new is signed in and accepted by every worker, strictly and within the bound."""
        deadline = healed + _PATIENCE_SECONDS
        token = ""
        waiting: set[tuple[str, str]] = set()
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, requests.RequestException):
                if not token:
                    answer = self.service.post(
                        "/auth/login", json={"username": "admin", "password": ADMIN_PASSWORD}, timeout=2
                    )
                    if answer.status_code == 200:
                        token = answer.json()["access_token"]
                        waiting = {(str(pid), path) for pid in self.service.worker_pids() for path, _ in ROUTES[:4]}
                else:
                    for path in {path for _, path in waiting}:
                        connection = self._connection()
                        status, _, worker = _ask(connection, path, token)
                        connection.close()
                        if status in (200, 204):
                            waiting.discard((worker, path))
                        if status == 401:
                            # The load takes everything back now and then; whether this was due, the checker says.
                            token = ""
                            break
                    if token and not waiting:
                        break
            assert time.monotonic() < deadline, f"not everybody is served again: {sorted(waiting)}"
            time.sleep(0.02)
        self.recovered_seconds = time.monotonic() - healed

    # Looking

    def health(self) -> list[dict[str, Any]]:
        """What the workers say, as far as some requests reach them."""
        return [self.service.get("/healthz", timeout=5).json() for _ in range(12)]

    def metric(self, name: str, **labels: str) -> float:
        """A metric, over all processes."""
        total = 0.0
        for line in self.service.get("/metrics").text.splitlines():
            match = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if match and all(f'{key}="{value}"' in (match[1] or "") for key, value in labels.items()):
                total += float(match[2])
        return total


def _ask(connection: http.client.HTTPConnection, path: str, token: str) -> tuple[int, str, str]:
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    source = re.search(r'desc="(\w+)"', answer.headers.get("Server-Timing", ""))
    return answer.status, source[1] if source else "", answer.headers.get("X-Worker", "")


def _claims(token: str) -> dict[str, Any]:
    import base64

    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


@contextlib.contextmanager
def under_load(
    *,
    make: Make = "valkey",
    options: tuple[str, ...] = ("--appendonly", "no"),
    through_proxy: bool = False,
    bound: float = 1.0,
    seed: int,
    sabotage: str = "",
    **env: str,
) -> Iterator[Workload]:
    """A service with several workers, under load until the block ends."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(short_directory())
        server = stack.enter_context(running(make, *options))
        proxy = None
        url = f"unix://{server.socket}"
        if through_proxy:
            proxy = Proxy(server.socket)
            stack.callback(proxy.close)
            url = f"redis://127.0.0.1:{proxy.port}"
        port = free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("APP_", "REVOCATION_"))}
        own = {
            "APP_BIND": f"127.0.0.1:{port}",
            "APP_DATA_DIR": str(directory / "data"),
            "APP_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "APP_WORKERS": str(WORKERS),
            "REVOCATION_REDIS_URL": url,
            "REVOCATION_MAX_STALENESS": str(bound),
            "REVOCATION_TIMEOUT": "0.5",
            **env,
        }
        chosen = kept | own | {"FAULTS_SABOTAGE": sabotage}
        process = started("tests.faults.sabotaged_service", chosen, directory)
        service = Service(f"http://127.0.0.1:{port}", directory, kept | own, process)
        stack.callback(service.stop)
        # Not while a worker is stopped: it would never end.
        stack.callback(_continue, service)
        service.wait_until_ready()
        direct = own | {"REVOCATION_REDIS_URL": f"unix://{server.socket}", "REVOCATION_TIMEOUT": "1.0"}
        workload = Workload(server, service, Settings.from_mapping(direct), proxy=proxy, seed=seed)
        workload.start()
        try:
            # Until all workers serve: the first ones answer while the last ones start.
            workload._recover(time.monotonic())
            yield workload
        finally:
            workload.stop()


def _continue(service: Service) -> None:
    for pid in service.worker_pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
