"""Ending what has ended: anybody may send a dead token again and again, and Redis and the audit trail must not fill."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app import demonstration
from app.database import AuditRow
from revocation import Handle
from tests.app.api import Api, Login, prepared, settings_for
from tests.support.servers import Server

REPEATS = 50

#: Asks once more for the end of something, and returns the status of the answer.
Again = Callable[[], int]


@pytest.fixture
def api(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    """A service of the test's own, whose Redis nobody else makes heavier."""
    with prepared(settings_for(valkey, tmp_path)) as api:
        demonstration.open_account(api.service.stores.users)
        yield api


def weight(api: Api) -> tuple[int, int, int, int]:
    """Lines of the log, keys and bytes of the namespace, and records of the audit trail."""
    denylist = api.service.stores.denylist
    client: Any = denylist.link.client
    keys = sorted(client.scan_iter(f"{denylist.namespace.prefix}*", count=1000))
    # What is held, and not what was allocated for it: the server takes 272 or 288 bytes for the same head.
    used = sum(len(client.dump(key)) for key in keys)
    with api.service.stores.database.reading() as session:
        records = session.scalar(sa.select(sa.func.count()).select_from(AuditRow))
    assert records is not None
    return client.xlen(denylist.namespace.log), len(keys), used, records


def form(api: Api, token: str) -> int:
    """RFC 7009, as the public client."""
    return api.post("/oauth/revoke", data={"token": token, "client_id": "first-party"}).status_code


def by_refresh_token(api: Api) -> Again:
    login = api.login()
    return lambda: api.logout(refresh_token=login.refresh_token).status_code


def by_the_demo_account(api: Api) -> Again:
    login = api.login(demonstration.USERNAME, demonstration.PASSWORD)
    return lambda: api.logout(refresh_token=login.refresh_token).status_code


def by_access_token(api: Api) -> Again:
    login = api.login()
    return lambda: api.logout(login.access_token).status_code


def by_expired_access_token(api: Api) -> Again:
    expired = api.expired(api.login())
    return lambda: api.logout(expired).status_code


def by_both(api: Api) -> Again:
    one, other = api.login(), api.login()
    return lambda: api.logout(one.access_token, refresh_token=other.refresh_token).status_code


def by_token_of_a_machine(api: Api) -> Again:
    token = api.machine_token(api.machine())
    return lambda: api.logout(token).status_code


def by_revoking_the_refresh_token(api: Api) -> Again:
    login = api.login()
    return lambda: form(api, login.refresh_token)


def by_revoking_the_access_token(api: Api) -> Again:
    login = api.login()
    return lambda: form(api, login.access_token)


def by_token_of_a_session_that_timed_out(api: Api) -> Again:
    login = api.login()
    denylist = api.service.stores.denylist
    assert denylist.link.client.delete(denylist.key(f"app:session:{login.session_id}")) == 1
    return lambda: api.logout(refresh_token=login.refresh_token).status_code


def by_token_of_a_session_that_was_revoked(api: Api) -> Again:
    login = api.login()
    api.revoke(api.admin(), kind="session", value=login.session_id)
    return lambda: api.logout(refresh_token=login.refresh_token).status_code


@pytest.mark.parametrize(
    "ended",
    [
        by_refresh_token,
        by_the_demo_account,
        by_access_token,
        by_expired_access_token,
        by_both,
        by_token_of_a_machine,
        by_revoking_the_refresh_token,
        by_revoking_the_access_token,
        by_token_of_a_session_that_timed_out,
        by_token_of_a_session_that_was_revoked,
    ],
)
def test_what_has_ended_is_ended_again_without_a_trace(api: Api, ended: Callable[[Api], Again]) -> None:
    again = ended(api)
    assert again() == 200
    before = weight(api)

    assert {again() for _ in range(REPEATS - 1)} == {200}

    assert weight(api) == before


def test_any_refresh_token_ever_issued_for_a_session_that_has_ended_leaves_no_trace(api: Api) -> None:
    logins = [api.login()]
    for _ in range(9):
        logins.append(api.refreshed(logins[-1]))
    assert api.logout(refresh_token=logins[-1].refresh_token).status_code == 200
    before = weight(api)

    for login in logins * 5:
        assert api.logout(refresh_token=login.refresh_token).status_code == 200
        assert api.refresh(login.refresh_token).status_code == 401

    assert weight(api) == before


def test_a_session_that_was_ended_by_a_used_refresh_token_leaves_one_trace(api: Api) -> None:
    first = api.login()
    api.refreshed(first)
    api.let_grace_pass(first)
    assert api.refresh(first.refresh_token).status_code == 401
    before = weight(api)

    assert {api.refresh(first.refresh_token).status_code for _ in range(REPEATS)} == {401}

    assert weight(api) == before


def test_a_token_that_is_dead_already_is_never_written(api: Api) -> None:
    expired = api.mint("somebody", ago_seconds=5000)
    before = weight(api)

    assert {api.logout(expired).status_code for _ in range(REPEATS)} == {200}
    assert {form(api, expired) for _ in range(REPEATS)} == {200}

    after = weight(api)
    assert (after[0], after[1], after[3]) == (before[0], before[1], before[3])


def test_ending_again_does_not_make_the_entry_live_longer_than_the_last_token(api: Api) -> None:
    login: Login = api.login()
    denylist = api.service.stores.denylist
    key = denylist.key(Handle("session", login.session_id, issuer=api.settings.issuer).name)
    assert api.logout(refresh_token=login.refresh_token).status_code == 200
    first = denylist.link.client.pexpiretime(key)

    assert api.logout(refresh_token=login.refresh_token).status_code == 200

    assert denylist.link.client.pexpiretime(key) == first
    lifetimes = denylist.lifetimes
    ends_ms = 1000 * (api.claims(login.access_token).expires_at + lifetimes.leeway_seconds + lifetimes.margin_seconds)
    assert abs(first - ends_ms) < 1000


def test_a_session_whose_revocation_was_undone_is_ended_anew(api: Api) -> None:
    """The tokens live again, so that this logout is no repeat."""
    login = api.login()
    assert api.logout(refresh_token=login.refresh_token).status_code == 200
    admin = api.admin()
    (revocation,) = api.service.revocations.of_handle(Handle("session", login.session_id, issuer=api.settings.issuer))
    assert api.undo(admin, {"id": revocation.id}).status_code == 200
    assert api.me(login.access_token) == 200

    assert api.logout(refresh_token=login.refresh_token).status_code == 200

    assert api.me(login.access_token) == 401
