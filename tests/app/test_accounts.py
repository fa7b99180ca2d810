"""What administrators do to accounts, whether over HTTP or at the command line: one order of steps."""

from pathlib import Path

import pytest

from app.audit import Actor
from app.clients import ClientNotFoundError
from app.database import DatabaseUnavailableError
from app.users import UserNotFoundError
from revocation import DenylistUnavailableError, Handle
from tests.app.api import PASSWORD, Api, prepared, settings_for
from tests.support.servers import StartServer

OPERATOR = Actor("operator ada")


def test_a_redis_that_is_down_leaves_accounts_as_they_are_but_a_leaked_key_is_withdrawn(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    with prepared(settings_for(server, tmp_path, REVOCATION_TIMEOUT="1")) as api:
        accounts, stores = api.service.accounts, api.service.stores
        name, machine, signing = api.add_user(), api.machine(), api.service.keys.key_set().signing_key().id
        server.kill()

        with pytest.raises(DenylistUnavailableError):
            accounts.change_user(name, disabled=True, actor=OPERATOR)
        with pytest.raises(DenylistUnavailableError):
            accounts.change_client(machine.client_id, disabled=True, actor=OPERATOR)
        with pytest.raises(DenylistUnavailableError):
            accounts.revoke_key(signing, actor=OPERATOR)

        assert stores.users.authenticate(name, PASSWORD) is not None
        assert stores.clients.authenticate(machine.client_id, machine.secret) is not None
        assert stores.keyring.source().key_set().find(signing) is None


def test_every_change_is_audited_with_its_actor_and_its_revocation(api: Api) -> None:
    accounts, denylist = api.service.accounts, api.service.stores.denylist
    user = accounts.create_user("grace", password=PASSWORD, scope="", actor=OPERATOR)
    client, _ = accounts.create_client("billing", scope="", actor=OPERATOR)
    accounts.change_user(user.username, scope="reports:read", actor=OPERATOR)
    accounts.change_client(client.client_id, disabled=True, actor=OPERATOR)

    api.service.audit_copier.copy()
    records, _ = api.service.stores.audit.page(limit=6)

    by_operator = [record for record in reversed(records) if record.actor == OPERATOR.name]
    assert [(record.action, record.target, record.reason) for record in by_operator] == [
        ("user.create", "grace", "scope: ''"),
        ("client.create", client.client_id, "name: 'billing', scope: ''"),
        ("user.change", "grace", "scope: '' -> 'reports:read'"),
        ("client.disable", client.client_id, ""),
        ("revocation.create", "subject:grace", "account changed: scope"),
        ("revocation.create", f"client:{client.client_id}", "client disabled"),
    ]
    disabled, changed = records[0].revocation_id, records[1].revocation_id
    issuer = api.settings.issuer
    assert [revocation.id for revocation in denylist.of_handle(Handle("subject", "grace", issuer=issuer))] == [changed]
    assert [revocation.id for revocation in denylist.of_handle(Handle("client", client.client_id, issuer=issuer))] == [
        disabled
    ]


def test_an_account_that_is_not_there_is_not_revoked(api: Api) -> None:
    accounts, before = api.service.accounts, api.service.stores.denylist.head()

    with pytest.raises(UserNotFoundError):
        accounts.change_user("nobody at all", disabled=True, actor=OPERATOR)
    with pytest.raises(ClientNotFoundError):
        accounts.change_client("no client", disabled=True, actor=OPERATOR)

    assert api.service.stores.denylist.head() == before


def test_a_change_that_the_audit_trail_cannot_hold_is_not_made(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_act: object) -> None:
        raise DatabaseUnavailableError("it is away")

    accounts, stores = api.service.accounts, api.service.stores
    name, machine = api.add_user(scope="reports:read"), api.machine()
    keys = len(stores.keyring.source().key_set())
    monkeypatch.setattr(stores.audit, "record", broken)
    for change in (
        lambda: accounts.change_user(name, scope="reports:read revocation:admin", disabled=True, actor=OPERATOR),
        lambda: accounts.create_user("heidi", password=PASSWORD, scope="", actor=OPERATOR),
        lambda: accounts.create_client("ledger", scope="", actor=OPERATOR),
        lambda: accounts.change_client(machine.client_id, disabled=True, actor=OPERATOR),
    ):
        with pytest.raises(DatabaseUnavailableError):
            change()

    user = stores.users.get(name)
    assert user is not None
    assert (user.scope, user.disabled) == ("reports:read", False)
    assert stores.users.get("heidi") is None
    assert "ledger" not in {client.name for client in stores.clients.list()}
    assert stores.clients.authenticate(machine.client_id, machine.secret) is not None
    assert len(stores.keyring.source().key_set()) == keys
