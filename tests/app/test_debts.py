"""Accounts that change while Redis goes away: their tokens are taken back all the same, once, and nobody else's."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from werkzeug.test import TestResponse

from app.audit import Actor
from app.database import Database, DatabaseUnavailableError, InvalidValueError
from app.debts import Debt, Debts, OwedError
from revocation import DenylistUnavailableError, Handle
from tests.app.api import PASSWORD, Api, Login, Machine, another, prepared, settings_for
from tests.support.servers import Server, StartServer

NEW_PASSWORD = "entirely other words 77"
OPERATOR = Actor("operator ada", "here")


@dataclass
class Scene:
    """A service, its Redis, and people who are signed in."""

    api: Api
    server: Server
    admin: str
    login: Login
    machine: Machine
    machine_token: str

    @property
    def debts(self) -> Debts:
        return self.api.service.accounts._debts

    def losing_redis(self, act: Callable[[], TestResponse]) -> TestResponse:
        """Do something while Redis goes away between the change of an account and its revocation."""
        pay = self.debts.pay

        def paid_too_late(debt: Debt) -> object:
            self.server.kill()
            return pay(debt)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.debts, "pay", paid_too_late)
            return act()

    def bring_redis_back(self) -> None:
        self.server.start()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                self.api.service.stores.denylist.now_ms()
            except DenylistUnavailableError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("Redis is not back")

    def is_accepted(self, token: str) -> bool:
        return self.api.get("/auth/sessions", token=token).status_code == 200

    def revocations(self) -> list[tuple[str, str]]:
        """The reasons and actors of what is in force for the user."""
        handle = Handle("subject", self.login.username, issuer=self.api.settings.issuer)
        return [(one.reason, one.actor) for one in self.api.service.stores.denylist.of_handle(handle)]

    def patch(self, **change: object) -> TestResponse:
        return self.api.patch(f"/admin/users/{self.login.username}", token=self.admin, json=change)

    def client_is_revoked(self) -> bool:
        handle = Handle("client", self.machine.client_id, issuer=self.api.settings.issuer)
        return bool(self.api.service.stores.denylist.of_handle(handle))


@pytest.fixture
def scene(start_server: StartServer, tmp_path: Path, database_url: str) -> Iterator[Scene]:
    server = start_server("valkey", "--appendonly", "yes", "--appendfsync", "always")
    # What hangs is no part of this; a Redis that was killed refuses at once.
    settings = settings_for(server, tmp_path, REVOCATION_TIMEOUT="5", APP_DATABASE_URL=database_url)
    with prepared(settings) as api:
        machine = api.machine()
        yield Scene(api, server, api.admin(), api.login(), machine, api.machine_token(machine))


def change_of(act: str, scene: Scene) -> TestResponse:
    client = f"/admin/clients/{scene.machine.client_id}"
    match act:
        case "disable a user":
            return scene.patch(disabled=True)
        case "take a scope":
            return scene.patch(scope="less")
        case "delete a user":
            return scene.api.delete(f"/admin/users/{scene.login.username}", token=scene.admin)
        case "disable a client":
            return scene.api.patch(client, token=scene.admin, json={"disabled": True})
        case _:
            return scene.api.delete(client, token=scene.admin)


ACTS = ["disable a user", "take a scope", "delete a user", "disable a client", "delete a client"]


@pytest.mark.parametrize("act", ACTS)
def test_the_same_request_again_takes_the_tokens_back_and_says_so(scene: Scene, act: str) -> None:
    first = scene.losing_redis(lambda: change_of(act, scene))
    meanwhile = scene.api.service.stores.users.get(scene.login.username)
    scene.bring_redis_back()
    again = change_of(act, scene)

    assert (first.status_code, first.get_json()["reason"]) == (503, "denylist_unavailable")
    assert first.get_json()["detail"].startswith("The change is saved; its tokens are taken back as soon as")
    assert "Retry-After" in first.headers
    assert again.status_code == 200
    assert again.get_json()["receipt"] is not None
    assert scene.client_is_revoked() == ("client" in act)
    assert scene.is_accepted(scene.login.access_token) == ("client" in act)
    assert meanwhile is None or meanwhile.owes == ("client" not in act)
    # Everything is done, and done once.
    assert scene.debts.pay_all() == 0
    assert len(scene.revocations()) == ("user" in act or "scope" in act)
    assert change_of(act, scene).status_code == (404 if "delete" in act else 200)


@pytest.mark.parametrize("act", ACTS)
def test_nobody_has_to_ask_again(scene: Scene, act: str) -> None:
    scene.losing_redis(lambda: change_of(act, scene))
    payer = scene.api.service.debt_payer
    payer.look()
    owed = (
        scene.api.get("/healthz").get_json()["changes_owed"],
        "app_changes_owed 1.0" in scene.api.get("/metrics").text,
    )
    scene.bring_redis_back()
    payer.look()

    assert owed == (1, True)
    assert scene.api.get("/healthz").get_json()["changes_owed"] == 0
    assert scene.client_is_revoked() == ("client" in act)
    assert scene.is_accepted(scene.login.access_token) == ("client" in act)


def test_what_is_owed_outlives_every_process_and_is_audited_as_it_was_meant(scene: Scene) -> None:
    scene.losing_redis(lambda: scene.patch(disabled=True))
    scene.bring_redis_back()
    with another(scene.api.settings) as later:
        later.service.debt_payer.start()
        deadline = time.monotonic() + 30
        while scene.is_accepted(scene.login.access_token) and time.monotonic() < deadline:
            time.sleep(0.05)
        later.service.debt_payer.stop()
        later.service.audit_copier.copy()
        records = [one for one in later.audited(later.admin()) if one["action"] == "revocation.create"]

    assert not scene.is_accepted(scene.login.access_token)
    assert [(one["actor"], one["reason"], one["address"]) for one in records] == [
        ("admin", "account changed: disabled", "127.0.0.1")
    ]


def test_a_thief_does_not_survive_a_change_of_the_password_and_its_owner_does(scene: Scene) -> None:
    api, thief = scene.api, scene.login
    mine = api.login(thief.username)
    body = {"password": PASSWORD, "new_password": NEW_PASSWORD}

    def change() -> TestResponse:
        return api.post("/auth/password", token=mine.access_token, json=body)

    assert scene.losing_redis(change).status_code == 503
    (debt,) = scene.debts._outstanding()
    scene.bring_redis_back()
    again = change()
    assert (again.status_code, again.get_json()["reason"]) == (401, "revoked")
    fresh = api.login(thief.username, NEW_PASSWORD)
    # Somebody who was about to pay as well comes late.
    scene.debts.pay(debt)
    api.service.debt_payer.look()

    assert api.refresh(thief.refresh_token).status_code == 401
    assert not scene.is_accepted(thief.access_token)
    assert scene.is_accepted(fresh.access_token)
    assert api.refresh(fresh.refresh_token).status_code == 200


def test_whoever_signs_in_by_the_new_password_pays_first_and_stays_signed_in(scene: Scene) -> None:
    scene.losing_redis(lambda: scene.patch(password=NEW_PASSWORD))
    (debt,) = scene.debts._outstanding()
    scene.bring_redis_back()

    fresh = scene.api.login(scene.login.username, NEW_PASSWORD)
    assert not scene.is_accepted(scene.login.access_token)
    scene.debts.pay(debt)

    assert scene.is_accepted(fresh.access_token)
    assert len(scene.revocations()) == 1


def test_a_refresh_of_an_account_that_owes_gets_nothing_out_of_it(scene: Scene) -> None:
    """Not even where an earlier attempt has fixed the cut-off, and was cut short."""
    scene.losing_redis(lambda: scene.patch(password=NEW_PASSWORD))
    scene.bring_redis_back()
    (debt,) = scene.debts._outstanding()
    scene.debts._cutoff_ms(debt)
    introspected = scene.api.post(
        "/oauth/introspect", data={"token": scene.login.refresh_token}, headers=scene.machine.basic
    )

    assert introspected.get_json() == {"active": False}
    assert scene.api.refresh(scene.login.refresh_token).status_code == 401
    assert not scene.is_accepted(scene.login.access_token)


def test_an_account_is_enabled_again_only_when_its_sessions_have_ended(scene: Scene) -> None:
    scene.losing_redis(lambda: scene.patch(disabled=True))
    (debt,) = scene.debts._outstanding()
    accounts, name = scene.api.service.accounts, scene.login.username
    with pytest.raises(OwedError, match="An earlier change of this account is saved"):
        accounts.change_user(name, disabled=False, actor=OPERATOR)
    scene.bring_redis_back()
    assert scene.patch(disabled=False).status_code == 200
    fresh = scene.api.login(name)
    scene.debts.pay(debt)

    assert scene.api.refresh(scene.login.refresh_token).status_code == 401
    assert scene.api.refresh(fresh.refresh_token).status_code == 200
    handle = Handle("subject", name, issuer=scene.api.settings.issuer)
    (revocation,) = scene.api.service.stores.denylist.of_handle(handle)
    assert scene.api.undo(scene.admin, {"id": revocation.id}).status_code == 200
    assert scene.api.refresh(scene.login.refresh_token).status_code == 401, "and stay ended"


def test_what_was_paid_and_not_crossed_out_is_not_revoked_again_after_it_was_undone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.losing_redis(lambda: scene.patch(scope="less"))
    (debt,) = scene.debts._outstanding()
    scene.bring_redis_back()
    cutoff_ms = scene.debts._cutoff_ms(debt)
    handle = Handle("subject", debt.value, issuer=scene.api.settings.issuer)
    revocations, accounts = scene.api.service.revocations, scene.api.service.accounts
    made = revocations.revoke(handle, reason=debt.reason, actor=debt.actor, issued_before_ms=cutoff_ms).revocation
    assert made is not None

    accounts.undo(made.id, reason="a mistake", actor=OPERATOR)
    scene.api.service.debt_payer.look()

    assert scene.revocations() == []


def test_eight_that_pay_at_once_make_one_revocation(scene: Scene) -> None:
    scene.losing_redis(lambda: scene.patch(disabled=True))
    scene.bring_redis_back()
    start = threading.Barrier(8)

    def settled(_: int) -> object:
        start.wait(30)
        return scene.debts.settle("subject", scene.login.username)

    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(settled, range(8)))

    assert any(receipts)
    assert scene.revocations() == [("account changed: disabled", "admin")]
    assert scene.debts.pay_all() == 0


def test_a_change_whose_revocation_would_be_refused_is_not_made(api: Api) -> None:
    name = api.add_user()

    with pytest.raises(InvalidValueError):
        api.service.accounts.change_user(name, disabled=True, actor=Actor("a\nb"))

    user = api.service.stores.users.get(name)
    assert user is not None
    assert not user.disabled


@pytest.mark.parametrize("kind", ["session", "subject"])
def test_an_undo_is_made_also_where_nobody_can_say_what_is_owed(
    api: Api, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    login, admin = api.login(), api.admin()
    value = login.session_id if kind == "session" else login.username
    revocation = api.revoke(admin, kind=kind, value=value)
    asked = []

    def away(_database: Database) -> NoReturn:
        asked.append(kind)
        raise DatabaseUnavailableError("away")

    monkeypatch.setattr(Database, "reading", away)

    assert api.undo(admin, revocation).status_code == 200
    assert bool(asked) == (kind == "subject"), "a session owes nothing, and waits for nothing"
