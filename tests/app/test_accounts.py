"""What administrators do to accounts, whether over HTTP or at the command line: one order of steps."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from app.audit import Actor
from app.clients import ClientNotFoundError
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
            accounts.disable_client(machine.client_id, actor=OPERATOR)
        with pytest.raises(DenylistUnavailableError):
            accounts.revoke_key(signing, actor=OPERATOR)

        assert stores.users.authenticate(name, PASSWORD) is not None
        assert stores.clients.authenticate(machine.client_id, machine.secret) is not None
        assert stores.keyring.source().key_set().find(signing, "") is None


def test_every_change_is_audited_with_its_actor_and_its_revocation(api: Api) -> None:
    accounts, denylist = api.service.accounts, api.service.stores.denylist
    user = accounts.create_user("grace", password=PASSWORD, scope="", actor=OPERATOR)
    client, _ = accounts.create_client("billing", scope="", actor=OPERATOR)
    accounts.change_user(user.username, scope="reports:read", actor=OPERATOR)
    accounts.disable_client(client.client_id, actor=OPERATOR)

    records, _ = api.service.stores.audit.page(limit=4)

    assert [(record.actor, record.action, record.target, record.reason) for record in reversed(records)] == [
        (OPERATOR.name, "user.create", "grace", ""),
        (OPERATOR.name, "client.create", client.client_id, ""),
        (OPERATOR.name, "user.change", "grace", "account changed: scope"),
        (OPERATOR.name, "client.disable", client.client_id, "client disabled"),
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
        accounts.disable_client("no client", actor=OPERATOR)

    assert api.service.stores.denylist.head() == before


def test_an_act_that_a_broken_audit_trail_cannot_hold_stands_in_the_log(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_fields: object) -> None:
        raise sa.exc.ProgrammingError("INSERT", {}, Exception("no such table"))

    name = api.add_user()
    monkeypatch.setattr(api.service.stores.audit, "record", broken)
    api.service.accounts.change_user(name, disabled=True, actor=OPERATOR)

    record = next(record for record in caplog.records if "user.change could not be written" in record.getMessage())
    fields = vars(record)["fields"]
    assert (fields["actor"], fields["target"], fields["reason"]) == (OPERATOR.name, name, "account changed: disabled")
    assert fields["revocation_id"]
