"""A token is as old, by Redis' clock, as the question for its credentials: who is revoked meanwhile stays revoked."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.users import User, Users
from revocation import Handle
from tests.app.api import PASSWORD, Api, prepared, settings_for
from tests.support.denylists import can_mint, until
from tests.support.servers import Server


@pytest.fixture
def fresh(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    """A service in which everybody may be signed out."""
    with prepared(settings_for(valkey, tmp_path)) as api:
        yield api


def revoked_meanwhile(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody who signs in is revoked after the credentials were read."""
    authenticate = Users.authenticate

    def overtaken(self: Users, username: str, password: str) -> User | None:
        user = authenticate(self, username, password)
        api.service.stores.denylist.revoke(Handle("subject", username, issuer=api.settings.issuer), wait_seconds=0)
        time.sleep(0.003)
        return user

    monkeypatch.setattr(Users, "authenticate", overtaken)


def test_who_is_revoked_while_signing_in_is_not_signed_in(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    name = api.add_user()
    revoked_meanwhile(api, monkeypatch)
    answer = api.post("/auth/login", json={"username": name, "password": PASSWORD})
    assert answer.status_code == 401


@pytest.mark.parametrize("ahead_seconds", [-14, 14])
def test_iat_is_the_time_of_redis_whatever_the_clock_of_the_app(
    api: Api, monkeypatch: pytest.MonkeyPatch, ahead_seconds: float
) -> None:
    name = api.add_user()
    before = api.service.stores.denylist.now_ms()
    _move_own_clock(api, monkeypatch, ahead_seconds)
    claims = api.claims(api.login(name).access_token)
    assert before <= claims.judged_at_ms <= before + 10_000
    assert claims.issued_at == claims.judged_at_ms // 1000


@pytest.mark.parametrize("ahead_seconds", [-20, 20])
def test_nothing_is_minted_where_the_clocks_differ_by_more_than_half_a_leeway(
    api: Api, monkeypatch: pytest.MonkeyPatch, ahead_seconds: float
) -> None:
    """Other verifiers would refuse such a token as one from the future, or be refused its successor."""
    login = api.login()
    _move_own_clock(api, monkeypatch, ahead_seconds)
    assert api.post("/auth/login", json={"username": login.username, "password": PASSWORD}).status_code == 503
    assert api.refresh(login.refresh_token).status_code == 503
    monkeypatch.undo()
    assert api.refresh(login.refresh_token).status_code == 200


def _move_own_clock(api: Api, monkeypatch: pytest.MonkeyPatch, ahead_seconds: float) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ahead_seconds)
    monkeypatch.setattr(api.service.stores.denylist.caller, "clock", time.time)


def test_a_revoked_session_is_not_refreshed(api: Api) -> None:
    login = api.login()
    api.service.stores.denylist.revoke(Handle("subject", login.username, issuer=api.settings.issuer), wait_seconds=0)
    assert api.refresh(login.refresh_token).status_code == 401


def test_what_began_before_an_epoch_is_not_refreshed_and_not_begun(fresh: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    denylist, login = fresh.service.stores.denylist, fresh.login()
    authenticate = Users.authenticate

    def overtaken(self: Users, username: str, password: str) -> User | None:
        user = authenticate(self, username, password)
        denylist.open(new_epoch=True)
        until(lambda: can_mint(denylist))
        return user

    with monkeypatch.context() as patched:
        patched.setattr(Users, "authenticate", overtaken)
        answer = fresh.post("/auth/login", json={"username": login.username, "password": PASSWORD})
    assert answer.status_code == 401
    assert fresh.refresh(login.refresh_token).status_code == 401
    assert fresh.refresh(fresh.login(login.username).refresh_token).status_code == 200
