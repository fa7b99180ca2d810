"""Guessing: nobody learns who has an account, nobody can try for long, and nobody is locked out."""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import argon2
import pytest
from werkzeug.test import TestResponse

from app.database import Database
from app.devices import DEVICE_SECONDS, Devices
from app.passwords import Passwords
from app.throttle import ThrottledError
from app.users import Users
from tests.app.api import ADMIN_PASSWORD, PASSWORD, Api, Machine, prepared, settings_for
from tests.support.denylists import until
from tests.support.servers import Server, StartServer

#: The bounds of the service under test: as by default, but so slow to empty that a busy machine does not matter.
WINDOW, PLACE, DEVICE, ACCOUNT, ADDRESS = 86_400, 10, 10, 300, 100


@pytest.fixture
def api(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    with prepared(settings_for(valkey, tmp_path, APP_GUESSES_WINDOW=str(WINDOW))) as api:
        yield api


def sign_in(
    api: Api, username: str, password: str = PASSWORD, *, address: str = "192.0.2.77", **more: str
) -> TestResponse:
    return api.post("/auth/login", json={"username": username, "password": password, **more}, address=address)


def guess(api: Api, username: str, password: str, *, address: str = "192.0.2.1") -> int:
    return sign_in(api, username, password, address=address).status_code


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
        given = [api.post("/auth/login", json=wrong, address=address) for _ in range(PLACE + 3)]
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


def test_of_five_hundred_guesses_only_as_many_as_the_bound_are_tried(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    login = api.login()
    tried = Counter[str]()
    authenticate = api.service.stores.users.authenticate

    def counting(username: str, password: str) -> Any:
        tried[username] += 1
        return authenticate(username, password)

    monkeypatch.setattr(api.service.stores.users, "authenticate", counting)
    statuses = [
        guess(api, login.username, f"guess number {number}", address=f"198.51.100.{number % 250}")
        for number in range(500)
    ]

    assert Counter(statuses) == {401: ACCOUNT, 429: 500 - ACCOUNT}
    assert tried[login.username] == ACCOUNT
    # What is signed in already goes on.
    assert api.me(login.access_token) == 200
    assert api.refresh(login.refresh_token).status_code == 200


def test_one_address_tries_one_account_ten_times(api: Api) -> None:
    name = api.add_user()

    assert Counter(guess(api, name, f"guess {n}") for n in range(50)) == {401: PLACE, 429: 50 - PLACE}
    # The right one is not looked at either; it is from another address.
    assert guess(api, name, PASSWORD) == 429
    assert guess(api, name, PASSWORD, address="192.0.2.2") == 200


def test_the_addresses_of_one_ipv6_subscriber_are_one(api: Api) -> None:
    name = api.add_user()

    statuses = [guess(api, name, f"guess {n}", address=f"2001:db8:0:7::{n:x}") for n in range(1, 50)]

    assert Counter(statuses) == {401: PLACE, 429: 49 - PLACE}
    assert guess(api, name, PASSWORD, address="2001:db8:0:8::1") == 200


def test_guesses_at_the_same_moment_pass_at_most_once_a_thread(api: Api) -> None:
    name, threads = api.add_user(), 8

    with ThreadPoolExecutor(threads) as pool:
        statuses = list(pool.map(lambda n: guess(api, name, f"guess number {n}"), range(60)))

    assert PLACE <= Counter(statuses)[401] <= PLACE + threads - 1
    assert set(statuses) == {401, 429}


def test_one_place_cannot_try_one_password_on_everybody(api: Api) -> None:
    statuses = [guess(api, f"user{number}", "password of many") for number in range(ADDRESS + 20)]

    assert Counter(statuses) == {401: ADDRESS, 429: 20}
    assert guess(api, "somebody-else", "password of many") == 429
    assert guess(api, "somebody-else", "password of many", address="192.0.2.2") == 401


def test_who_gets_in_is_not_counted(api: Api) -> None:
    name = api.add_user()

    for _ in range(PLACE + 5):
        api.login(name)


def test_throttled_says_when_to_come_again_and_what_was_counted_ends_by_itself(api: Api) -> None:
    name = api.add_user()
    for _ in range(PLACE):
        guess(api, name, "wrong password")

    answer = api.post("/auth/login", json={"username": name, "password": PASSWORD}, address="192.0.2.1")

    assert answer.status_code == 429
    assert (answer.mimetype, answer.get_json()["reason"]) == ("application/problem+json", "throttled")
    assert 0 < int(answer.headers["Retry-After"]) <= WINDOW / PLACE
    client: Any = api.service.stores.denylist.link.client
    keys = list(client.scan_iter(api.service.stores.denylist.key("app:throttle*"), count=10_000))
    assert keys
    assert all(0 < client.ttl(key) <= WINDOW for key in keys)


def test_a_full_bucket_empties_evenly(valkey: Server, tmp_path: Path) -> None:
    """Ten in two seconds are one each 0.2 s: who comes back when told gets in."""
    with prepared(settings_for(valkey, tmp_path, APP_GUESSES_WINDOW="2")) as api:
        name = api.add_user()
        while guess(api, name, "wrong password") != 429:
            pass

        until(lambda: guess(api, name, PASSWORD) == 200)


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


# Keeping somebody out by guessing


def stranger(number: int) -> str:
    return f"203.{number // 62_500}.{number // 250 % 250}.{number % 250}"


def test_a_thousand_strangers_do_not_keep_the_administrator_out(api: Api) -> None:
    """From a known device at any time; from a new one after a turn for each address that asked before."""
    device = sign_in(api, "admin", ADMIN_PASSWORD, address="192.0.2.1").get_json()["device_token"]

    statuses = Counter[int]()
    for number in range(1000):
        statuses[guess(api, "admin", f"guess {number}", address=stranger(number))] += 1
        if number % 100 == 99:
            known = sign_in(api, "admin", ADMIN_PASSWORD, address="192.0.2.2", device_token=device)
            assert known.status_code == 200, "the known device, in the middle of it"
    assert statuses == {401: ACCOUNT, 429: 1000 - ACCOUNT}

    new = sign_in(api, "admin", ADMIN_PASSWORD, address="192.0.2.3")
    turns = 1000 - ACCOUNT + 1
    assert new.status_code == 429
    assert int(new.headers["Retry-After"]) <= turns * WINDOW / ACCOUNT
    # Asking again, and more strangers who come later, do not put the turn off.
    for number in range(1000, 1100):
        guess(api, "admin", "guess", address=stranger(number))
    again = sign_in(api, "admin", ADMIN_PASSWORD, address="192.0.2.3")
    assert int(again.headers["Retry-After"]) <= int(new.headers["Retry-After"])


def test_a_turn_comes_while_strangers_go_on(valkey: Server, tmp_path: Path) -> None:
    env = {"APP_GUESSES_WINDOW": "4", "APP_GUESSES_ACCOUNT": "10"}
    with prepared(settings_for(valkey, tmp_path, **env)) as api:
        name, numbers = api.add_user(), iter(range(100_000))

        def strangers(many: int) -> None:
            for _ in range(many):
                with contextlib.suppress(ThrottledError):
                    api.service.throttle.admit(name, address=stranger(next(numbers))).failed()

        def signs_in_between_strangers() -> bool:
            strangers(3)
            return guess(api, name, PASSWORD, address="192.0.2.1") == 200

        strangers(15)
        assert guess(api, name, PASSWORD, address="192.0.2.1") == 429
        until(signs_in_between_strangers)


def test_strangers_at_the_same_address_do_not_keep_a_known_device_out(api: Api) -> None:
    """A whole town may be behind one address."""
    name = api.add_user()
    device = sign_in(api, name, address="192.0.2.1").get_json()["device_token"]
    for number in range(ADDRESS + 5):
        guess(api, f"user{number}", "password of many", address="192.0.2.1")

    assert guess(api, name, PASSWORD, address="192.0.2.1") == 429
    assert sign_in(api, name, address="192.0.2.1", device_token=device).status_code == 200


def test_a_known_device_cannot_guess_for_long_either(api: Api) -> None:
    name = api.add_user()
    device = sign_in(api, name).get_json()["device_token"]

    statuses = [
        sign_in(api, name, "wrong password", address=stranger(number), device_token=device).status_code
        for number in range(DEVICE + 10)
    ]

    assert Counter(statuses) == {401: DEVICE, 429: 10}
    assert guess(api, name, PASSWORD) == 200, "its failures are its own"


def test_many_known_devices_together_cannot_guess_for_long(valkey: Server, tmp_path: Path) -> None:
    """Whoever knew an old password may have made any number of devices known."""
    with prepared(settings_for(valkey, tmp_path, APP_GUESSES_ACCOUNT="20", APP_GUESSES_WINDOW="3600")) as api:
        name = api.add_user()
        devices = [sign_in(api, name).get_json()["device_token"] for _ in range(5)]

        statuses = [
            sign_in(api, name, "wrong password", device_token=device).status_code
            for device in devices
            for _ in range(DEVICE)
        ]

    assert Counter(statuses) == {401: 20, 429: 30}


@pytest.mark.parametrize("whose", ["another account", "another service", "made up", "forged", "too old"])
def test_a_device_token_that_is_not_good_for_the_account_is_none(api: Api, whose: str) -> None:
    name = api.add_user()
    good = sign_in(api, name).get_json()["device_token"]
    id_, since, mac = good.split(".")
    long_ago = Devices(api.service.stores.keyring.refresh_secret(), clock=lambda: time.time() - DEVICE_SECONDS - 1)
    token = {
        "another account": sign_in(api, api.add_user()).get_json()["device_token"],
        "another service": Devices(b"another secret").token(name),
        "made up": "nonsense ☂",
        "forged": f"{id_}.{int(since) + 1}.{mac}",
        "too old": long_ago.token(name),
    }[whose]
    for number in range(PLACE):
        guess(api, name, f"guess {number}")

    assert sign_in(api, name, address="192.0.2.1", device_token=token).status_code == 429
    assert sign_in(api, name, address="192.0.2.1", device_token=good).status_code == 200


def test_a_device_keeps_its_name_and_its_failures(api: Api) -> None:
    name = api.add_user()
    first = sign_in(api, name).get_json()["device_token"]
    second = sign_in(api, name, device_token=first).get_json()["device_token"]

    assert first.split(".")[0] == second.split(".")[0]


# Forgiving


def test_success_forgives_what_this_address_failed_at_this_account(api: Api) -> None:
    name = api.add_user()

    for _ in range(5):
        for _ in range(PLACE - 1):
            assert guess(api, name, "wrong password") == 401
        assert guess(api, name, PASSWORD) == 200

    assert api.service.throttle.buckets_of(name) == ()
    assert api.service.throttle.buckets_at("192.0.2.1") == ()


def test_success_of_a_known_device_forgives_its_own_failures_and_not_those_of_strangers(api: Api) -> None:
    name = api.add_user()
    device = sign_in(api, name).get_json()["device_token"]
    for number in range(7):
        guess(api, name, "guess", address=stranger(number))
        sign_in(api, name, "wrong password", device_token=device)

    assert sign_in(api, name, device_token=device).status_code == 200

    assert {(one.of, one.failures) for one in api.service.throttle.buckets_of(name)} == {("account", 7), ("place", 1)}


def test_signing_in_to_ones_own_account_earns_no_guesses_at_those_of_others(api: Api) -> None:
    """PortSwigger's lab, "broken brute-force protection, IP block"."""
    own = api.add_user()
    tried = 0
    for number in range(3 * ADDRESS):
        tried += guess(api, f"victim{number}", "password of many") == 401
        guess(api, own, PASSWORD)

    assert tried == ADDRESS


# An administrator sees and lifts


def test_an_account_and_an_address_are_lifted(api: Api) -> None:
    name, throttle = api.add_user(), api.service.throttle
    for number in range(ACCOUNT + 30):
        guess(api, name, "guess", address=stranger(number))
    for number in range(ADDRESS):
        guess(api, f"user{number}", "guess", address="192.0.2.1")
    assert guess(api, name, PASSWORD, address="192.0.2.2") == 429
    (whole,) = [one for one in throttle.buckets_of(name) if one.of == "account"]
    # 30 strangers and the owner wait, and their places are taken already.
    assert (whole.failures, whole.limit) == (ACCOUNT + 31, ACCOUNT)
    assert whole.free_at_ms is not None
    assert len([one for one in throttle.buckets_of(name) if one.of == "turn"]) == 31
    (address,) = throttle.buckets_at("192.0.2.1")
    assert (address.of, address.value, address.failures, address.limit) == ("address", "192.0.2.1", ADDRESS, ADDRESS)

    throttle.lift(name)
    throttle.lift_address("192.0.2.1")

    assert throttle.buckets_of(name) == throttle.buckets_at("192.0.2.1") == ()
    assert guess(api, name, PASSWORD, address="192.0.2.2") == 200
    assert guess(api, name, PASSWORD, address="192.0.2.1") == 200


# Guessing a client's secret


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke"])
def test_a_clients_secret_cannot_be_tried_for_long(api: Api, path: str) -> None:
    machine = api.machine()
    form = {"grant_type": "client_credentials", "token": "x"}

    def attempt(secret: str) -> Any:
        return api.post(path, data=form, headers=Machine(machine.client_id, secret).basic, address="198.51.100.1")

    answers = [attempt(f"guess{number}") for number in range(30)]

    assert Counter(answer.status_code for answer in answers) == {401: PLACE, 429: 30 - PLACE}
    assert answers[-1].get_json()["error"] == "invalid_client"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    # Ids stand in every token: nobody may keep a client out by guessing at its secret, which nobody can guess.
    assert attempt(machine.secret).status_code == 200


def test_clients_that_fail_do_not_keep_users_out_and_the_other_way_round(api: Api) -> None:
    """A job with an old secret, in the office's network, must not lock the office out."""
    name, machine = api.add_user(), Machine("client" + "x" * 24, "an old secret")
    form = {"grant_type": "client_credentials"}
    for number in range(2 * ADDRESS):
        old = Machine(f"client{number:024d}", "an old secret")
        api.post("/oauth/token", data=form, headers=old.basic, address="192.0.2.1")
    assert guess(api, name, PASSWORD, address="192.0.2.1") == 200

    for number in range(2 * ADDRESS):
        guess(api, f"user{number}", "guess", address="192.0.2.2")
    assert api.post("/oauth/token", data=form, headers=machine.basic, address="192.0.2.2").status_code == 401


# Guessing a refresh token or a session


def test_a_refresh_token_has_more_bits_than_anybody_can_guess(api: Api) -> None:
    """RFC 6749, section 10.10: at most 2^-128, better 2^-160."""
    session_id, n, mac = api.login().refresh_token.split(".")

    assert (len(session_id) * 6, n, len(mac) * 6) == (132, "1", 258)
    assert len({api.login().session_id for _ in range(50)}) == 50
