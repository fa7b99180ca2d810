"""`python -m app users` and `clients`: whatever became of an account, an empty terminal brings it back."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.commands import commands
from app.settings import Settings
from revocation import EmbeddedServer
from tests.app.api import PASSWORD, Api, Machine, another, prepared, settings_for
from tests.support.command import environment
from tests.support.processes import spawned
from tests.support.pseudo_terminal import a_terminal
from tests.support.servers import Server, binary

NEW = "nobody forgets this one"


class Terminal:
    """A terminal with nothing but the settings of the service in its environment."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env

    def __call__(self, *args: str, typed: str = "", code: int = 0) -> str:
        """What a command says; it must end with this code."""
        result: Result = CliRunner().invoke(commands, args, env=self.env, input=typed)
        assert (result.exit_code, result.exception) == (code, None) or isinstance(result.exception, SystemExit), result
        assert result.exit_code == code, result.output
        return result.output


@pytest.fixture
def api(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    with prepared(settings_for(valkey, tmp_path)) as api:
        yield api


@pytest.fixture
def terminal(api: Api) -> Terminal:
    chosen = api.settings.revocation
    return Terminal(
        {
            "REVOCATION_REDIS_URL": chosen.redis_url,
            "REVOCATION_NAMESPACE": chosen.namespace,
            "REVOCATION_TIMEOUT": "10",
            "APP_DATA_DIR": str(api.settings.data_dir),
        }
    )


def test_an_account_that_is_lost_in_every_way_is_brought_back_from_an_empty_terminal(tmp_path: Path) -> None:
    """On the embedded store, while no service runs, and then while one does."""
    terminal = Terminal({"APP_DATA_DIR": str(tmp_path / "data")})
    terminal("init")
    terminal("users", "create", "grace", "--admin", typed=f"{PASSWORD}\n{PASSWORD}\n")
    terminal("users", "disable", "admin")
    terminal("users", "scope", "admin", "reports:read")
    assert "grace is the last account that may administer" in terminal("users", "disable", "grace", code=1)

    assert "admin may sign in" in terminal("users", "enable", "admin")
    terminal("users", "scope", "admin", "revocation:admin")
    terminal("users", "password", "admin", typed=f"{NEW}\n{NEW}\n")

    settings = Settings.from_mapping(terminal.env)
    with EmbeddedServer(settings.data_dir).owned(), another(settings) as api:
        api.service.stores.users._passwords = type(api.service.stores.users._passwords)()
        for number in range(11):
            api.post("/auth/login", json={"username": "admin", "password": f"guess {number}"})
        assert api.post("/auth/login", json={"username": "admin", "password": NEW}).status_code == 429
        terminal("users", "unlock", "admin")
        token = api.login("admin", NEW).access_token
        assert api.get("/admin/users", token=token).status_code == 200


def test_accounts_are_made_listed_and_deleted(terminal: Terminal, api: Api) -> None:
    password = f"{PASSWORD}\n{PASSWORD}\n"
    terminal("users", "create", "ada", "--scope", "reports:read", typed=password)
    terminal("users", "create", "grace", "--admin", typed=password)
    terminal("users", "disable", "ada")
    assert terminal("users", "list").splitlines() == [
        "ada  disabled  reports:read",
        "admin  active    reports:read revocation:admin",
        "grace  active    revocation:admin",
    ]

    assert "Delete it?" in terminal("users", "delete", "ada", typed="n\n", code=1)
    terminal("users", "delete", "ada", "--yes")

    assert "ada" not in terminal("users", "list")
    assert "taken" in terminal("users", "create", "ada", typed=password, code=1)
    acts = [(one["action"], one["actor"].partition(" ")[0]) for one in api.audited(api.admin())]
    assert acts.count(("user.delete", "operator")) == 1


def test_what_changes_nothing_says_so(terminal: Terminal, api: Api) -> None:
    made = terminal("users", "create", "ada", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert made.splitlines()[-1] == "ada may sign in, with no scope."
    client = api.machine().client_id

    for _ in range(2):
        scope = terminal("users", "scope", "ada", "reports:read")
        user = terminal("users", "disable", "ada")
        machine = terminal("clients", "disable", client)

    assert "had the scope 'reports:read' already, so nothing was changed" in scope
    assert user == "ada was disabled already, so nothing was changed.\n"
    assert machine == f"{client} was disabled already, so nothing was changed.\n"


def test_the_preparation_of_a_new_service_is_shown_on_a_terminal(tmp_path: Path) -> None:
    """Its first epoch begins a second after it was opened."""
    binary("valkey")
    env = environment({"APP_DATA_DIR": str(tmp_path / "data"), "TERM": "xterm"})
    command = [sys.executable, "-m", "app", "init"]

    with (
        a_terminal() as terminal,
        spawned(
            command, env=env, cwd=Path(__file__).parents[2], stdout=terminal.theirs, stderr=terminal.theirs
        ) as process,
    ):
        assert process.wait(60) == 0

    assert b"Preparing" in terminal.shown
    assert terminal.shown.endswith(b"Ready to serve.\r\n")


@pytest.mark.parametrize(
    ("args", "typed", "said"),
    [
        (("users", "enable", "nobody"), "", "There is no user 'nobody'"),
        (("users", "delete", "admin", "--yes"), "", "last account that may administer"),
        (("users", "scope", "admin", "reports:read"), "", "last account that may administer"),
        (("users", "password", "admin"), "password\npassword\n", "too easy to guess"),
        (("users", "create", "lovelace"), "Lovelace1\nLovelace1\n", "too easy to guess"),
        (("clients", "enable", "nobody"), "", "There is no client 'nobody'"),
    ],
)
def test_what_is_refused_is_told_in_plain_words(
    terminal: Terminal, args: tuple[str, ...], typed: str, said: str
) -> None:
    assert said in terminal(*args, typed=typed, code=1)


def test_a_failure_of_nobody_in_particular_is_not_lifted(terminal: Terminal) -> None:
    assert "Name an account, or an --address" in terminal("users", "unlock", code=2)


def test_an_address_is_lifted(terminal: Terminal, api: Api) -> None:
    for number in range(100):
        api.service.throttle.admit(f"user{number}", address="192.0.2.1").failed()
    assert api.service.throttle.buckets_at("192.0.2.1")

    terminal("users", "unlock", "--address", "192.0.2.1")

    assert api.service.throttle.buckets_at("192.0.2.1") == ()


def test_clients_get_new_secrets_are_disabled_enabled_and_deleted(terminal: Terminal, api: Api) -> None:
    old = api.machine()

    def tokens(*machines: Machine) -> list[int]:
        form = {"grant_type": "client_credentials"}
        return [api.post("/oauth/token", data=form, headers=one.basic).status_code for one in machines]

    new = Machine(old.client_id, terminal("clients", "rotate-secret", old.client_id).split()[1])
    assert tokens(old, new) == [200, 200]
    newest = Machine(old.client_id, terminal("clients", "rotate-secret", old.client_id, "--overlap", "0").split()[1])
    assert tokens(old, new, newest) == [401, 401, 200]
    terminal("clients", "disable", old.client_id)
    assert tokens(newest) == [401]
    terminal("clients", "enable", old.client_id)
    assert tokens(newest) == [200]
    terminal("clients", "delete", old.client_id, "--yes")
    assert terminal("clients", "list") == ""
