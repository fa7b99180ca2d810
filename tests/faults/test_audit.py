"""The database hangs under load: what does not need it goes on, and the audit has everything afterwards, each once."""

import contextlib
import itertools
import re
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

from app.database import AuditRow, Database
from revocation import RedisDenylist
from tests.faults.conftest import assert_unharmed
from tests.support.command import PROGRAM, environment
from tests.support.postgres import frozen, new_database, postgres_url
from tests.support.servers import Server, plain
from tests.support.service import Service, serving

__all__ = ["postgres_url"]

PASSWORD = "a staple of another make"

#: How long the database hangs: longer than anybody waits for it, which is 5 s.
SECONDS = 6.0

#: Shorter than what waits for the database takes.
AT_ONCE_SECONDS = 4.5


@dataclass
class Load:
    """Requests of several kinds at the same time, with what came of them."""

    service: Service
    store: Server
    namespace: str
    #: Seconds that each answer took, by what was asked, and the statuses.
    spent: dict[str, list[float]] = field(default_factory=dict)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def prepare(self, seconds: float) -> None:
        """Sign in as often as sessions will be ended; nobody can sign in later."""
        self.token = self.service.login()["access_token"]
        self.leaving: list[str] = []
        # Somebody else signs in all the time: with too many sessions the first one of the administrator would end.
        visitor = {"username": "visitor", "password": PASSWORD}
        assert self.service.post("/admin/users", token=self.token, json=visitor).status_code == 201
        for number in range(1 + round(2 * seconds) // 50):
            user = {"username": f"user-{number}", "password": PASSWORD}
            assert self.service.post("/admin/users", token=self.token, json=user).status_code == 201
            wanted = min(50, round(2 * seconds) - 50 * number)
            self.leaving += [self.service.login(user["username"], PASSWORD)["access_token"] for _ in range(wanted)]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Until the block ends; each kind in threads of its own."""
        kinds: list[Callable[[], None]] = [self._me, self._log_out, self._revoke, *[self._sign_in] * 4, self._command]
        threads = [threading.Thread(target=kind) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join(60)

    def _ask(self, name: str, method: str, path: str, **kwargs: Any) -> requests.Response:
        started = time.monotonic()
        answer = self.service.request(method, path, timeout=60, **kwargs)
        self.spent.setdefault(name, []).append(time.monotonic() - started)
        self.statuses.setdefault(name, Counter())[answer.status_code] += 1
        return answer

    def _me(self) -> None:
        while not self.over.wait(0.05):
            self._ask("me", "GET", "/api/me", token=self.token)

    def _log_out(self) -> None:
        while self.leaving and not self.over.wait(0.3):
            self._ask("log out", "POST", "/auth/logout", token=self.leaving.pop())

    def _revoke(self) -> None:
        for number in itertools.count():
            body = {"kind": "session", "value": f"made-up-{number}", "reason": "under load", "even_if_unknown": True}
            answer = self._ask("revoke", "POST", "/admin/revocations", token=self.token, json=body)
            if number % 3 == 0 and answer.status_code == 201:
                made = answer.json()["revocation"]["id"]
                self._ask("undo", "DELETE", f"/admin/revocations/{made}?reason=mistake", token=self.token)
            if self.over.wait(0.3):
                return

    def _sign_in(self) -> None:
        while not self.over.wait(0.2):
            self._ask("sign in", "POST", "/auth/login", json={"username": "visitor", "password": PASSWORD})

    def _command(self) -> None:
        """What an operator does meanwhile; at least once."""
        env = environment({"REVOCATION_REDIS_URL": self.store.url, "REVOCATION_NAMESPACE": self.namespace})
        elsewhere = ["--issuer", "https://elsewhere.example", "--reason", "from a command line"]
        for number in itertools.count():
            handle = ["--kind", "issuer", "--yes"] if number == 0 else ["--kind", "token", "--value", f"cli-{number}"]
            done = subprocess.run(
                [*PROGRAM, "revoke", *handle, *elsewhere],
                env=env,
                cwd=Path(__file__).parents[2],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
            if self.over.wait(1):
                return


def logged(denylist: RedisDenylist) -> tuple[Counter[str], Counter[str]]:
    """The ids of all lines of the log, and how many there are of each kind, undoings among them."""
    ids: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    after = "0-0"
    while True:
        changes, cursor = denylist.changes(after=after, limit=500)
        for change in changes:
            ids[change.id] += 1
            kinds["undone" if change.undone or change.revocation is None else change.revocation.handle.kind] += 1
        if cursor == after:
            return ids, kinds
        after = cursor


def audited(database: Database) -> Counter[str]:
    """The lines of the log that the audit tells of."""
    with database.reading() as session:
        return Counter(session.scalars(sa.select(AuditRow.log_id).where(AuditRow.log_id.is_not(None))))


def counted(service: Service) -> Counter[str]:
    """What the alarms see, of all workers together."""
    found: Counter[str] = Counter()
    for line in service.get("/metrics").text.splitlines():
        if match := re.fullmatch(r'revocation_revocations_total\{kind="(\w+)"\} ([\d.]+)', line):
            found[match[1]] += round(float(match[2]))
        elif match := re.fullmatch(r"revocation_undone_total ([\d.]+)", line):
            found["undone"] += round(float(match[1]))
    return +found


def hang(load: Load, database_url: str, away: Callable[[], AbstractContextManager[None]], *, seconds: float) -> None:
    """The database hangs for some seconds under load; everything that is promised of that is asserted."""
    load.prepare(seconds)
    with load.running():
        with away():
            time.sleep(seconds)  # the length of the outage is what is told of
        load.over.wait(0.5)
    denylist = RedisDenylist(plain(load.store.client()), namespace=load.namespace)
    database = Database(database_url)
    deadline = time.monotonic() + 60
    while audited(database) != logged(denylist)[0] and time.monotonic() < deadline:
        time.sleep(0.1)

    ids, kinds = logged(denylist)
    assert audited(database) == ids, "each line of the log is in the audit, once"
    assert set(ids.values()) == {1}
    assert kinds["issuer"] == 1, "the command line's"
    while counted(load.service) != kinds and time.monotonic() < deadline:
        time.sleep(0.1)
    assert counted(load.service) == kinds, "the alarms count what is in the log"
    for name, status in {"me": 200, "log out": 200, "revoke": 201, "undo": 200}.items():
        assert load.statuses[name].keys() == {status}, f"{name}: {load.statuses[name]}"
        assert max(load.spent[name]) < AT_ONCE_SECONDS, f"{name} waited for the database"
    assert load.statuses["sign in"].keys() <= {200, 429, 503}
    database.close()


def test_postgres_that_is_frozen_holds_up_nobody_who_does_not_need_it(
    tmp_path: Path, postgres_url: str, valkey: Server, namespace: str
) -> None:
    with new_database(postgres_url) as url:
        env = {"REVOCATION_REDIS_URL": valkey.url, "REVOCATION_NAMESPACE": namespace, "APP_DATABASE_URL": url}
        with serving(tmp_path, **env) as service:
            workers = service.worker_pids()
            load = Load(service, valkey, namespace)
            hang(load, url, lambda: frozen(postgres_url), seconds=SECONDS)
            assert_unharmed(service, workers)


def test_sqlite_that_somebody_locks_holds_up_nobody_who_does_not_need_it(
    tmp_path: Path, valkey: Server, namespace: str
) -> None:
    path = tmp_path / "data" / "app.sqlite3"

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            yield

    env = {"REVOCATION_REDIS_URL": valkey.url, "REVOCATION_NAMESPACE": namespace}
    with serving(tmp_path, **env) as service:
        workers = service.worker_pids()
        hang(Load(service, valkey, namespace), f"sqlite:///{path}", locked, seconds=SECONDS)
        assert_unharmed(service, workers)
