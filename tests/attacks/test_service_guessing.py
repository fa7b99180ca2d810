"""Guessing: nobody learns who has an account, nobody can try for long, and nobody is locked out."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import argon2
import pytest

from app.database import Database
from app.passwords import Passwords
from app.throttle import PER_ACCOUNT, PER_ADDRESS
from app.users import Users
from tests.app.api import PASSWORD, Api, Machine, prepared, settings_for
from tests.support.servers import Server, StartServer

LIMIT, PER_PLACE = PER_ACCOUNT.amount, PER_ADDRESS.amount


@pytest.fixture
def api(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    with prepared(settings_for(valkey, tmp_path)) as api:
        yield api


def guess(api: Api, username: str, password: str, *, address: str = "192.0.2.1") -> int:
    return api.post("/auth/login", json={"username": username, "password": password}, address=address).status_code


# Who has an account


@pytest.mark.parametrize("who", ["nobody", "disabled", "no username"])
def test_unknown_and_disabled_users_are_answered_like_a_wrong_password(api: Api, who: str) -> None:
    known, disabled = api.add_user(), api.add_user()
    api.service.stores.users.change(disabled, disabled=True)
    name = {"nobody": "nobody", "disabled": disabled, "no username": "not a username"}[who]

    wrong = api.post("/auth/login", json={"username": known, "password": "wrong password"})
    other = api.post("/auth/login", json={"username": name, "password": PASSWORD})

    assert (other.status_code, other.data, list(other.headers)) == (401, wrong.data, list(wrong.headers))


def test_names_that_exist_and_names_that_do_not_are_throttled_alike(api: Api) -> None:
    known = api.add_user()

    def answers(name: str, address: str) -> list[tuple[int, bytes]]:
        wrong = {"username": name, "password": "wrong password"}
        given = [api.post("/auth/login", json=wrong, address=address) for _ in range(LIMIT + 3)]
        return [(one.status_code, b"" if one.status_code == 429 else one.data) for one in given]

    assert answers(known, "192.0.2.1") == answers("nobody", "192.0.2.2")


def test_whether_a_user_exists_cannot_be_told_from_the_time_it_takes(tmp_path: Path) -> None:
    """Rank statistics over attempts in random order: 0.5 is no difference at all, 1 is every one slower."""
    database = Database(f"sqlite:///{tmp_path / 'app.sqlite3'}")
    database.migrate()
    # A hash takes the longest by far, as in earnest, and still two milliseconds only.
    users = Users(database, passwords=Passwords(hasher=argon2.PasswordHasher(2, 1024, 1)))
    users.create("ada", password=PASSWORD, scope="")
    users.create("disabled", password=PASSWORD, scope="")
    users.change("disabled", disabled=True)
    names = {"known": "ada", "unknown": "eve", "disabled": "disabled"}
    order = list(names) * 300
    random.Random(5).shuffle(order)
    users.authenticate("eve", PASSWORD)  # the first one makes the hash to compare with

    times: dict[str, list[float]] = {who: [] for who in names}
    for who in order:
        started = time.perf_counter()
        users.authenticate(names[who], "wrong password")
        times[who].append(time.perf_counter() - started)
    database.close()

    for who in ("unknown", "disabled"):
        assert 0.3 < slower(times["known"], times[who]) < 0.7, who


def slower(one: list[float], other: list[float]) -> float:
    """The chance that one drawn from the first list is greater than one from the second (Mann-Whitney)."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    return (ranks - len(one) * (len(one) + 1) / 2) / (len(one) * len(other))


# Guessing a password


def test_of_a_thousand_guesses_only_as_many_as_the_limit_are_tried(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    login = api.login()
    tried = Counter[str]()
    authenticate = api.service.stores.users.authenticate

    def counting(username: str, password: str) -> Any:
        tried[username] += 1
        return authenticate(username, password)

    monkeypatch.setattr(api.service.stores.users, "authenticate", counting)
    statuses = [
        guess(api, login.username, f"guess number {number}", address=f"198.51.100.{number % 250}")
        for number in range(1000)
    ]

    assert Counter(statuses) == {401: LIMIT, 429: 1000 - LIMIT}
    assert tried[login.username] == LIMIT
    # The right one is not looked at either; what is signed in already goes on.
    assert guess(api, login.username, PASSWORD, address="203.0.113.1") == 429
    assert api.me(login.access_token) == 200
    assert api.refresh(login.refresh_token).status_code == 200


def test_guesses_at_the_same_moment_pass_at_most_once_a_thread(api: Api) -> None:
    name, threads = api.add_user(), 8

    with ThreadPoolExecutor(threads) as pool:
        statuses = list(pool.map(lambda n: guess(api, name, f"guess number {n}"), range(200)))

    assert LIMIT <= Counter(statuses)[401] <= LIMIT + threads - 1
    assert set(statuses) == {401, 429}


def test_one_place_cannot_try_one_password_on_everybody(api: Api) -> None:
    statuses = [guess(api, f"user{number}", "password of many") for number in range(PER_PLACE + 20)]

    assert Counter(statuses) == {401: PER_PLACE, 429: 20}
    assert guess(api, "somebody-else", "password of many") == 429
    assert guess(api, "somebody-else", "password of many", address="192.0.2.2") == 401


def test_who_gets_in_is_not_counted(api: Api) -> None:
    name = api.add_user()

    for _ in range(LIMIT + 5):
        api.login(name)


def test_throttled_says_when_to_come_again_and_stops_when_it_said(api: Api) -> None:
    name = api.add_user()
    for _ in range(LIMIT):
        guess(api, name, "wrong password")

    answer = api.post("/auth/login", json={"username": name, "password": PASSWORD})

    assert answer.status_code == 429
    assert (answer.mimetype, answer.get_json()["reason"]) == ("application/problem+json", "throttled")
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    # What was counted ends by itself in Redis.
    client: Any = api.service.stores.denylist.link.client
    limits = list(client.scan_iter(api.service.stores.denylist.key("app:limits*"), count=10_000))
    assert limits
    assert all(0 < client.ttl(key) <= 300 for key in limits)


def test_the_name_that_was_tried_is_kept_nowhere(api: Api) -> None:
    """People type their password into the wrong field."""
    guess(api, "hunter2-in-the-wrong-field", "x")

    client: Any = api.service.stores.denylist.link.client
    keys = client.scan_iter(api.service.stores.denylist.key("*"), count=10_000)
    assert not [key for key in keys if b"hunter2" in key]


def test_without_redis_nobody_may_guess(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    with prepared(settings_for(server, tmp_path)) as api:
        name, machine = api.add_user(), api.machine()
        server.kill()

        for password in ("wrong password", PASSWORD):
            answer = api.post("/auth/login", json={"username": name, "password": password})
            assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
            assert int(answer.headers["Retry-After"]) >= 1
        for secret in ("wrong", machine.secret):
            form = {"grant_type": "client_credentials"}
            answer = api.post("/oauth/token", data=form, headers=Machine(machine.client_id, secret).basic)
            assert (answer.status_code, answer.get_json()["error"]) == (503, "temporarily_unavailable")
            assert int(answer.headers["Retry-After"]) >= 1


# Guessing a client's secret


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke"])
def test_a_clients_secret_cannot_be_tried_for_long(api: Api, path: str) -> None:
    machine = api.machine()
    form = {"grant_type": "client_credentials", "token": "x"}

    def attempt(secret: str, number: int) -> Any:
        headers = Machine(machine.client_id, secret).basic
        return api.post(path, data=form, headers=headers, address=f"198.51.100.{number % 250}")

    answers = [attempt(f"guess{number}", number) for number in range(100)]

    assert Counter(answer.status_code for answer in answers) == {401: LIMIT, 429: 100 - LIMIT}
    assert answers[-1].get_json()["error"] == "invalid_client"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    # Ids stand in every token: nobody may keep a client out by guessing at its secret, which nobody can guess.
    assert attempt(machine.secret, 0).status_code == 200


# Guessing a refresh token or a session


def test_a_refresh_token_has_more_bits_than_anybody_can_guess(api: Api) -> None:
    """RFC 6749, section 10.10: at most 2^-128, better 2^-160."""
    session_id, n, mac = api.login().refresh_token.split(".")

    assert (len(session_id) * 6, n, len(mac) * 6) == (132, "1", 258)
    assert len({api.login().session_id for _ in range(50)}) == 50
