"""What is made before the first request."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import server
from app.commands import commands
from app.settings import Settings
from app.startup import prepare
from app.stores import Stores
from revocation import TokenIssuer
from tests.app.api import ADMIN_PASSWORD, Api, QuickPasswords, another, settings_for
from tests.support.garbage import collecting_nothing
from tests.support.servers import Server


@contextmanager
def stores_of(settings: Settings) -> Iterator[Stores]:
    stores = Stores.of(settings)
    stores.users._passwords = QuickPasswords()
    try:
        yield stores
    finally:
        stores.database.close()
        stores.denylist.link.close()


def test_nothing_from_before_the_first_start_is_accepted_and_signing_in_works_at_once(
    valkey: Server, tmp_path: Path
) -> None:
    settings = settings_for(valkey, tmp_path)
    with stores_of(settings) as stores:
        stores.keyring.ensure()
        issuer = TokenIssuer(stores.keyring.source(), issuer=settings.issuer, audience=settings.audience)
        before = issuer.issue("admin", issued_at=time.time())

        assert prepare(stores, settings) is None

    with another(settings) as api:
        assert api.me(before) == 401
        assert api.me(api.admin()) == 200


def test_preparing_again_changes_nothing(valkey: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_for(valkey, tmp_path)
    with stores_of(settings) as stores:
        stores.denylist.open(accept_existing=True)
        prepare(stores, settings)
        prepare(stores, settings)
        assert "APP_ADMIN_PASSWORD" not in caplog.text
        head = stores.denylist.head()
        keys = sorted(path.read_bytes() for path in settings.keys_dir.iterdir())
        stores.users.change("admin", password="another password")

        assert prepare(stores, settings) is None

        assert stores.denylist.head() == head
        assert sorted(path.read_bytes() for path in settings.keys_dir.iterdir()) == keys
        assert stores.users.authenticate("admin", ADMIN_PASSWORD) is None, "for the first start only"
        assert "APP_ADMIN_PASSWORD is not used" in caplog.text


@pytest.mark.parametrize("given", ["", "chosen by somebody"])
def test_an_admin_password_is_made_up_only_where_it_is_not_given(tmp_path: Path, given: str) -> None:
    settings = Settings.from_mapping(
        {
            "REVOCATION_REDIS_URL": "memory",
            "APP_WORKERS": "1",
            "APP_DATA_DIR": str(tmp_path),
            "APP_ADMIN_PASSWORD": given,
        }
    )
    with stores_of(settings) as stores:
        stores.denylist.open(accept_existing=True)
        made_up = prepare(stores, settings)
        again = prepare(stores, settings)

        assert (made_up is None) == bool(given)
        assert again is None
        admin = stores.users.authenticate("admin", made_up or given)
        assert admin is not None
        assert admin.scope == "reports:read revocation:admin"
        assert made_up is None or len(made_up) >= 16


def test_the_service_runs_on_a_redis_in_memory(tmp_path: Path) -> None:
    """For tests, and for machines that have no server: everything is gone with the process."""
    settings = Settings.from_mapping(
        {
            "REVOCATION_REDIS_URL": "memory",
            "REVOCATION_MAX_STALENESS": "0",
            "APP_WORKERS": "1",
            "APP_DATA_DIR": str(tmp_path),
            "APP_ADMIN_PASSWORD": ADMIN_PASSWORD,
        }
    )
    with stores_of(settings) as stores:
        stores.denylist.open(accept_existing=True)
        prepare(stores, settings)
    api = Api(settings)
    api.service.stores.denylist.open(accept_existing=True)

    login = api.login("admin", ADMIN_PASSWORD)
    assert api.me(login.access_token) == 200
    assert api.logout(login.access_token).status_code == 200
    assert (api.me(login.access_token), api.refresh(login.refresh_token).status_code) == (401, 401)
    api.close()


def test_garbage_is_collected_again_when_a_command_runs_and_when_the_server_listens(tmp_path: Path) -> None:
    """`python -m app` switches it off for as long as it imports modules."""
    with collecting_nothing():
        CliRunner().invoke(commands, ["users", "list"], env={"APP_DATA_DIR": str(tmp_path), "APP_WORKERS": "many"})
        assert gc.isenabled()
    with collecting_nothing():
        server._keep()
        assert gc.isenabled()
