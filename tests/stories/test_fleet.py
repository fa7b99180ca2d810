"""Workers, processes and commands beside each other, on one data directory."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import redis

from app.keyring import Keyring
from revocation import connect
from tests.stories.workers import on_every_worker, parent_of, refresh, statuses, workers
from tests.support.forks import done
from tests.support.ports import free_port
from tests.support.postgres import new_database
from tests.support.servers import Server, StartServer, plain
from tests.support.service import ADMIN_PASSWORD, Service, serving

ROOT = Path(__file__).parents[2]


def command(service: Service, *words: str) -> "subprocess.CompletedProcess[str]":
    """`python -m app ...` with the settings of a running service."""
    return done("app", *words, env=service.env, timeout_seconds=120)


def until(condition: Callable[[], Any], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.02)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path, REVOCATION_MAX_STALENESS="0") as service:
        yield service


# Workers


def test_a_worker_that_is_killed_takes_its_gauges_along_and_leaves_its_counts(service: Service) -> None:
    login = service.login()
    assert statuses(service, "/api/me", login["access_token"]) == {200}
    service.post("/auth/logout", token=login["access_token"])

    def sign_ins() -> float:
        (line,) = re.findall(
            r'^app_sign_ins_total\{outcome="accepted"\} (\S+)$', service.get("/metrics").text, re.MULTILINE
        )
        return float(line)

    def gauges(pid: int) -> list[str]:
        return [path.name for path in Path("/dev/shm").glob(f"revocation-metrics-*/gauge_live*_{pid}.db")]

    (victim, *_) = workers(service)
    assert gauges(victim)
    before = sign_ins()

    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in workers(service) and len(workers(service)) == 2 and not gauges(victim))

    assert sign_ins() == before
    until(lambda: service.get("/readyz").status_code == 200)
    # The one that took its place refuses, too.
    assert statuses(service, "/api/me", login["access_token"]) == {401}


def test_an_embedded_store_that_is_killed_comes_back_and_is_noticed(service: Service) -> None:
    revoked, admin = (service.login()["access_token"] for _ in range(2))
    service.post("/auth/logout", token=revoked)
    # Health tells a restart from a start by the age of its own process.
    already = _redis(service, admin)["uptime_seconds"]
    until(lambda: _redis(service, admin)["uptime_seconds"] >= already + 4)
    with contextlib.closing(_store(service)) as store:
        os.kill(int(store.info("server")["process_id"]), signal.SIGKILL)

    until(lambda: statuses(service, "/api/me", admin) == {200})

    assert statuses(service, "/api/me", revoked) == {401}
    assert "The embedded Valkey has ended, and is started again" in service.log
    (warning,) = service.get("/admin/health", token=admin).json()["warnings"]
    assert warning["check"] == "restart"


def _store(service: Service) -> "redis.Redis":
    return plain(connect(f"embedded:{service.env['APP_DATA_DIR']}", timeout_seconds=10))


def _redis(service: Service, admin: str) -> dict[str, Any]:
    told: dict[str, Any] = service.get("/admin/health", token=admin).json()["redis"]
    return told


def test_an_upgrade_in_place_leaves_no_lease_behind_and_the_counts_of_either_server_alone(
    tmp_path: Path, start_server: StartServer
) -> None:
    """USR2 starts the new server beside the old one, which TERM then ends."""
    store = start_server("valkey")
    with serving(tmp_path, REVOCATION_REDIS_URL=store.url) as service:

        def followers() -> set[int]:
            found: Any = store.client().smembers("{denylist}:followers")
            return {int(id_.partition(b"-")[0]) for id_ in found}

        def counted(pid: int) -> bool:
            return any(Path("/dev/shm").glob(f"revocation-metrics-*/counter_{pid}.db"))

        old = service.worker_pids()
        until(lambda: followers() == old)
        os.kill(service.process.pid, signal.SIGUSR2)
        until(lambda: len(followers()) == 4)
        new = followers() - old
        (upgraded,) = {parent_of(pid) for pid in new}
        try:
            assert all(map(counted, old | new))
            # Nobody waits for leases: all four confirm.
            receipt = service.post("/auth/logout", token=service.login()["access_token"]).json()["receipt"]
            assert receipt["enforced"]
            service.stop()
            until(lambda: followers() == new)
            assert not any(map(counted, old))
            assert all(map(counted, new))
        finally:
            os.kill(upgraded, signal.SIGTERM)
            until(lambda: parent_of(upgraded) == 0)


PRELOADED = """
import os, sys
from app.settings import Settings
settings = Settings.from_mapping(os.environ)
if settings.worker_class == "gevent":
    from gevent import monkey
    monkey.patch_all()
from app import create_app
from app.server import Server

class Preloaded(Server):
    def load_config(self):
        super().load_config()
        self.cfg.set("preload_app", True)

    def load(self):
        # As careless as can be: everything was used, and every connection is open, when the workers are forked.
        app = create_app(settings)
        sign_in = {"username": "admin", "password": settings.admin_password}
        for _ in range(3):
            answer = app.test_client().post("/auth/login", json=sign_in)
            token = answer.get_json()["access_token"]
            assert app.test_client().get("/api/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        return app

Preloaded(settings).run()
"""


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_an_app_that_was_used_before_the_fork_works_in_every_worker(
    tmp_path: Path, valkey: Server, namespace: str, worker_class: str
) -> None:
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("APP_", "REVOCATION_"))}
    env = kept | {
        "APP_BIND": f"127.0.0.1:{port}",
        "APP_DATA_DIR": str(tmp_path / "data"),
        "APP_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "APP_WORKER_CLASS": worker_class,
        "APP_WORKERS": "4",
        "REVOCATION_REDIS_URL": valkey.url,
        "REVOCATION_NAMESPACE": namespace,
        "REVOCATION_TIMEOUT": "5",
        "REVOCATION_MAX_STALENESS": "0",
    }
    assert done("app", "init", env=env, timeout_seconds=120).returncode == 0
    with (tmp_path / "service.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-c", PRELOADED], env=env, cwd=ROOT, stdout=log, stderr=log)
    service = Service(f"http://127.0.0.1:{port}", tmp_path, env, process)
    try:
        service.wait_until_ready()
        until(lambda: len(workers(service)) == 4)
        logins = on_every_worker(service, service.login)
        assert len({login["session_id"] for login in logins}) == 4
        tokens = [login["access_token"] for login in logins]
        # In turns, so that an answer on somebody else's connection would be somebody else's answer.
        together = threads(8, lambda number: service.get("/api/me", token=tokens[number % 4]).json()["session_id"])
        assert together == [logins[number % 4]["session_id"] for number in range(8)]

        for login in logins:
            assert service.post("/auth/logout", token=login["access_token"]).status_code == 200
            assert statuses(service, "/api/me", login["access_token"]) == {401}
            assert refresh(service, login["refresh_token"]) == 401
    finally:
        service.stop()


def threads(count: int, act: Callable[[int], Any]) -> list[Any]:
    answers: list[Any] = [None] * count

    def run(number: int) -> None:
        answers[number] = act(number)

    running = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    return answers


# Keys


def test_keys_change_while_requests_run_and_no_good_token_is_refused(service: Service) -> None:
    """Rotated: the next key is published before it signs. Revoked: the old one's tokens are refused, and only those."""
    before = service.login()
    old = kid(before["access_token"])
    stop = threading.Event()
    refused: list[str] = []
    signed_by: set[str] = set()

    def use() -> None:
        # With more than a hundred sessions of one user the first would end.
        while not stop.wait(0.2):
            tokens = service.login()
            signed_by.add(kid(tokens["access_token"]))
            answers = [service.get("/api/me", token=tokens["access_token"]) for _ in range(4)]
            refused.extend(answer.text for answer in answers if answer.status_code != 200)

    users = [threading.Thread(target=use) for _ in range(2)]
    for user in users:
        user.start()
    try:
        until(lambda: signed_by)
        # As `keys rotate` does, but with seconds instead of minutes for everybody to see the next key.
        keys = Keyring(Path(service.env["APP_DATA_DIR"]) / "keys", algorithm="ES256")
        new = keys.rotate(publish_seconds=7, keep_seconds=100_000)
        until(lambda: new.id in signed_by)
    finally:
        stop.set()
        for user in users:
            user.join(60)

    assert refused == []
    assert signed_by == {old, new.id}
    assert statuses(service, "/api/me", before["access_token"]) == {200}

    current = service.login()["access_token"]
    done = command(service, "keys", "revoke", old)
    assert (done.returncode, done.stderr) == (0, "")
    assert statuses(service, "/api/me", before["access_token"]) == {401}
    assert statuses(service, "/api/me", current) == {200}
    assert refresh(service, before["refresh_token"]) == 200, "the session was not the key's"


def test_revoking_the_key_that_signs_signs_with_a_new_one_within_seconds(service: Service) -> None:
    old = service.login()["access_token"]

    done = command(service, "keys", "revoke", kid(old))

    assert done.returncode == 0, done.stderr
    assert "everything it signed is refused" in done.stdout
    assert statuses(service, "/api/me", old) == {401}
    until(lambda: service.get("/api/me", token=service.login()["access_token"]).status_code == 200)
    until(lambda: kid(old) not in service.get("/.well-known/jwks.json").text)
    listed = command(service, "keys", "list").stdout.splitlines()
    assert [line.split()[2] for line in listed] == ["signs"]
    assert kid(old) not in listed[0]


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def test_keys_rotate_says_what_it_did_and_when_the_key_signs(service: Service) -> None:
    signing = kid(service.login()["access_token"])

    done = command(service, "keys", "rotate")

    assert done.returncode == 0, done.stderr
    said = re.fullmatch(r"(\S{43}) is published, and signs from (\S+Z) on\.\n", done.stdout)
    assert said
    listed = {line.split()[0]: line.split()[2] for line in command(service, "keys", "list").stdout.splitlines()}
    assert listed == {signing: "signs", said[1]: "is"}
    until(lambda: said[1] in service.get("/.well-known/jwks.json").text)


# Processes on one directory


def test_a_second_service_on_one_directory_is_refused_and_the_first_goes_on(service: Service) -> None:
    login = service.login()
    elsewhere = service.env | {"APP_BIND": f"127.0.0.1:{free_port()}"}
    second = done("app", "serve", env=elsewhere, timeout_seconds=60)

    assert second.returncode == 2
    assert "another process serves from" in second.stderr
    assert service.env["APP_DATA_DIR"] in second.stderr
    assert "Traceback" not in second.stderr
    assert statuses(service, "/api/me", login["access_token"]) == {200}
    # What the first counts is still there.
    assert 'app_sign_ins_total{outcome="accepted"} 1.0' in service.get("/metrics").text


@pytest.mark.parametrize("times", ["twice", "four at once"])
def test_init_on_postgresql_can_be_repeated(
    tmp_path: Path, postgres_url: str, debian_redis: Server, namespace: str, times: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("APP_", "REVOCATION_"))}
    with new_database(postgres_url) as database:
        env = kept | {
            "APP_DATABASE_URL": database,
            "APP_DATA_DIR": str(tmp_path),
            "APP_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "REVOCATION_REDIS_URL": debian_redis.url,
            "REVOCATION_NAMESPACE": namespace,
            "REVOCATION_TIMEOUT": "5",
        }

        def init(_: int) -> "subprocess.CompletedProcess[str]":
            return done("app", "init", env=env, timeout_seconds=120)

        said = [init(0), init(1)] if times == "twice" else threads(4, init)

        assert [one.stdout for one in said] == ["Ready to serve.\n"] * len(said)
        # What the server is warned of is told, and nothing else.
        assert {line.partition(" ")[0] for one in said for line in one.stderr.splitlines()} <= {"appendonly"}
        assert len(list((tmp_path / "keys").glob("*.pem"))) == 1
        client = debian_redis.client()
        # One epoch, and nothing of it is written twice.
        assert client.get(f"{{{namespace}}}:head")
        listed = done("app", "clients", "list", env=env, timeout_seconds=120)
        assert (listed.returncode, listed.stdout) == (0, "")


# Commands beside the service


def test_accounts_and_clients_are_made_and_ended_by_command(service: Service) -> None:
    made = command(service, "users", "create", "ada", "--scope", "reports:read", "--password", "a password of ada")
    assert (made.returncode, made.stderr) == (0, "")
    assert "a password of ada" not in made.stdout
    ada = service.login("ada", "a password of ada")
    assert statuses(service, "/api/reports", ada["access_token"]) == {200}
    again = command(service, "users", "create", "ada", "--password", "a password of ada")
    assert again.returncode == 1
    assert "taken" in again.stderr

    shown = command(service, "clients", "create", "nightly", "--scope", "reports:read").stdout
    client_id, secret = re.findall(r"client_(?:id|secret) +(\S+)", shown)
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    token = service.post("/oauth/token", data=form).json()["access_token"]
    assert statuses(service, "/api/reports", token) == {200}
    assert f"{client_id}  active    nightly  reports:read" in command(service, "clients", "list").stdout

    ended = command(service, "clients", "disable", client_id)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert statuses(service, "/api/reports", token) == {401}
    assert service.post("/oauth/token", data=form).status_code == 401
    assert command(service, "clients", "disable", "client" + "a" * 24).returncode == 1

    admin = service.login()["access_token"]
    done = service.get("/admin/audit", token=admin).json()["records"]
    acts = ["user.create", "client.create", "client.disable", "revocation.create"]
    assert [one["action"] for one in reversed(done)] == acts
    assert all(one["actor"].startswith("operator ") for one in done)


def test_a_password_that_was_made_up_is_printed_once(tmp_path: Path) -> None:
    with serving(tmp_path, APP_ADMIN_PASSWORD="", APP_WORKERS="1") as service:
        shown = re.findall(r"The account admin was made, with the password (\S+) ", service.log)
        assert len(shown) == 1
        assert service.login("admin", shown[0])["scope"] == "reports:read revocation:admin"

        service.restart()

        assert len(re.findall("The account admin was made", service.log)) == 1
        assert service.login("admin", shown[0])
