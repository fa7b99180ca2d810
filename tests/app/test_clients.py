import dataclasses
import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest

from app.clients import FIRST_PARTY, Client, ClientNotFoundError, Clients, looks_like_client_id
from app.database import ClientRow, Database, DatabaseUnavailableError, InvalidValueError
from app.scopes import normalise_scope

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)


@pytest.fixture
def clients(database: Database) -> Clients:
    return Clients(database, clock=lambda: NOON)


def test_a_client_comes_back_as_created(clients: Clients) -> None:
    client, secret = clients.create("Nightly reports", scope="reports:read  me")

    assert client == Client(
        client_id=client.client_id, name="Nightly reports", scope="me reports:read", disabled=False, created_at=NOON
    )
    assert clients.get(client.client_id) == client
    assert clients.authenticate(client.client_id, secret) == client


def test_ids_and_secrets_survive_every_way_of_encoding_them(clients: Clients) -> None:
    made = [clients.create("x", scope="") for _ in range(20)]

    for client, secret in made:
        assert re.fullmatch(r"client[a-z0-9]{24}", client.client_id)
        assert re.fullmatch(r"[A-Za-z0-9]{43}", secret)
        assert len(secret) * 5.954 >= 256
        assert looks_like_client_id(client.client_id)
    assert len({client.client_id for client, _ in made} | {secret for _, secret in made}) == 40


def test_only_the_hash_of_a_secret_is_stored_and_nothing_shows_it(clients: Clients, database: Database) -> None:
    client, secret = clients.create("x", scope="")

    with database.reading() as session:
        row = session.get_one(ClientRow, client.client_id)
        assert row.secret_hash == hashlib.sha256(secret.encode()).hexdigest()
        assert secret not in str(vars(row))
    assert "secret" not in str(dataclasses.asdict(client))


def test_the_wrong_secret_and_the_secret_of_another_client_are_refused(clients: Clients) -> None:
    client, secret = clients.create("x", scope="")
    _, other = clients.create("y", scope="")

    for wrong in ("", other, secret[:-1], secret + " ", secret.swapcase(), "\0", "\ud800", "ü" * 43, "x" * 100_000):
        assert clients.authenticate(client.client_id, wrong) is None


@pytest.mark.parametrize(
    "client_id", ["", FIRST_PARTY, "client", "client" + "0" * 24, "x\0", "\ud800", "x" * 10_000, "'--"]
)
def test_an_unknown_client_is_refused(clients: Clients, client_id: str) -> None:
    _, secret = clients.create("x", scope="")

    assert clients.authenticate(client_id, secret) is None
    assert clients.authenticate(client_id, "") is None
    assert clients.get(client_id) is None
    with pytest.raises(ClientNotFoundError):
        clients.change(client_id, disabled=True)


def test_secrets_are_compared_in_constant_time_also_for_unknown_clients(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("app.clients.hmac.compare_digest", compare)
    client, secret = clients.create("x", scope="")
    clients.change(client.client_id, disabled=True)

    for client_id in (client.client_id, "client" + "0" * 24, FIRST_PARTY):
        assert clients.authenticate(client_id, secret) is None

    assert [len(a) == len(b) == 64 for a, b in compared] == [True] * 6


def test_a_disabled_client_is_refused(clients: Clients) -> None:
    client, secret = clients.create("x", scope="")

    disabled = dataclasses.replace(client, disabled=True)
    assert clients.change(client.client_id, disabled=True) == (disabled, True)
    assert clients.authenticate(client.client_id, secret) is None
    assert clients.get(client.client_id) == dataclasses.replace(client, disabled=True)


def test_the_list_has_every_client_the_oldest_first(database: Database) -> None:
    times = iter([NOON + timedelta(seconds=2), NOON, NOON + timedelta(seconds=1)])
    clients = Clients(database, clock=lambda: next(times))
    late, early, middle = (clients.create(name, scope="")[0] for name in ("late", "early", "middle"))

    assert clients.list() == (early, middle, late)


@pytest.mark.parametrize("name", ["", " x", "x ", "line\nfeed", "nul\0", "\ud800", "\u202etxt", "x" * 101])
def test_names_that_are_refused(clients: Clients, name: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        clients.create(name, scope="")

    assert caught.value.field == "name"
    assert clients.list() == ()


@pytest.mark.parametrize("name", ["x", "x" * 100, "Ada's café ☕"])
def test_names_that_are_accepted(clients: Clients, name: str) -> None:
    client, _ = clients.create(name, scope="")

    assert clients.get(client.client_id) == client


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("", ""),
        ("   ", ""),
        ("b a", "a b"),
        ("  a   b a ", "a b"),
        ("!#[]~ https://api.example/x?y=1&z", "!#[]~ https://api.example/x?y=1&z"),
        ("a" * 1000, "a" * 1000),
    ],
)
def test_a_scope_is_sorted_and_unique_with_single_spaces(given: str, normal: str) -> None:
    assert normalise_scope(given) == normal
    assert normalise_scope(normal) == normal


@pytest.mark.parametrize(
    "scope", ['a"b', "a\\b", "a\tb", "a\nb", "a\0", "ä", "a\u00a0b", "\ud800", "\x7f", "a" * 1001, " " * 1001]
)
def test_scopes_that_are_refused(clients: Clients, scope: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        clients.create("x", scope=scope)

    assert caught.value.field == "scope"
    assert str(caught.value).isprintable()


def test_a_client_is_not_refused_because_the_database_could_not_be_asked() -> None:
    clients = Clients(Database("postgresql://127.0.0.1:1/none"))

    with pytest.raises(DatabaseUnavailableError):
        clients.authenticate("client" + "0" * 24, "x")
