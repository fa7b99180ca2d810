"""Nobody locks everybody out: one administrator is always left, and the command line brings any account back."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from app.audit import Actor
from app.database import Database, UserRow
from app.scopes import ADMIN_SCOPE
from app.users import ADMIN, LastAdministratorError, UserExistsError, UserNotFoundError, Users
from revocation import Handle, SigningKeyError
from tests.app.api import PASSWORD, Api, Machine, QuickPasswords, prepared, settings_for
from tests.support.servers import Server

OPERATOR = Actor("operator ada")

_ROWS = sa.select(UserRow.username, UserRow.password_hash, UserRow.scope).order_by(UserRow.username)


@pytest.fixture
def fresh(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    with prepared(settings_for(valkey, tmp_path)) as api:
        yield api


@pytest.fixture
def users(database: Database) -> Users:
    users = Users(database, passwords=QuickPasswords())
    users.create(ADMIN, password=PASSWORD, scope=ADMIN_SCOPE)
    return users


# The last administrator

TAKES_IT_AWAY: dict[str, dict[str, Any]] = {
    "disabled": {"disabled": True},
    "scope": {"scope": "reports:read"},
    "a longer word": {"scope": f"{ADMIN_SCOPE}s x{ADMIN_SCOPE}"},
    "no scope": {"scope": ""},
    "both": {"scope": "", "disabled": True},
}


@pytest.mark.parametrize("change", TAKES_IT_AWAY)
def test_the_last_administrator_stays_one_whatever_is_changed(users: Users, change: str) -> None:
    users.create("not-one", password=PASSWORD, scope=f"{ADMIN_SCOPE}s reports:read")
    users.create("disabled", password=PASSWORD, scope=ADMIN_SCOPE)
    users.change("disabled", disabled=True)
    before = users.get(ADMIN)

    with pytest.raises(LastAdministratorError, match="give another one the scope"):
        users.change(ADMIN, **TAKES_IT_AWAY[change])
    with pytest.raises(LastAdministratorError):
        users.delete(ADMIN)

    assert users.get(ADMIN) == before
    assert users.authenticate(ADMIN, PASSWORD) == before


def test_the_last_administrator_may_change_otherwise(users: Users) -> None:
    changed = users.change(ADMIN, password="another password", scope=f"more {ADMIN_SCOPE}", disabled=False)

    assert changed.after.administers


def test_with_a_second_administrator_the_first_may_go(users: Users) -> None:
    users.create("grace", password=PASSWORD, scope=f"a {ADMIN_SCOPE} z")

    users.delete(ADMIN)

    with pytest.raises(LastAdministratorError):
        users.change("grace", disabled=True)


@pytest.mark.parametrize("act", ["disable", "scope", "delete"])
def test_of_two_administrators_that_take_it_from_each_other_one_is_left(users: Users, act: str) -> None:
    """Twenty times at the same moment, each on its own thread and connection."""
    acts = {
        "disable": lambda name: users.change(name, disabled=True),
        "scope": lambda name: users.change(name, scope=""),
        "delete": users.delete,
    }
    for _ in range(20):
        pair = [users.create(f"u{secrets.token_hex(6)}", password=PASSWORD, scope=ADMIN_SCOPE).username for _ in "ab"]
        for other in users.page(limit=100):
            if other.username not in pair and other.administers:
                users.change(other.username, disabled=True)
        start = Barrier(2)

        def take(name: str, start: Barrier = start) -> bool:
            start.wait(30)
            try:
                acts[act](name)
            except LastAdministratorError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(take, pair)) == [False, True]


def test_two_requests_in_which_two_administrators_disable_each_other(fresh: Api) -> None:
    fresh.add_user("grace", scope=ADMIN_SCOPE)
    tokens = {"grace": fresh.admin(), ADMIN: fresh.login("grace").access_token}
    start = Barrier(2)

    def disable(whom: str) -> int:
        start.wait(30)
        path = f"/admin/users/{whom}"
        return fresh.patch(path, token=tokens[whom], json={"disabled": True}).status_code

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(disable, tokens))

    # The one that was late is told that it is the last, or is out by then.
    assert statuses in ([200, 409], [200, 401])
    assert sum(user.administers for user in fresh.service.stores.users.page(limit=10)) == 1


@pytest.mark.parametrize("body", [{"disabled": True}, {"scope": "reports:read"}])
def test_over_http_the_last_administrator_is_told_what_to_do(fresh: Api, body: dict[str, Any]) -> None:
    admin = fresh.admin()

    answers = [
        fresh.patch("/admin/users/admin", token=admin, json=body),
        fresh.delete("/admin/users/admin", token=admin),
    ]

    for answer in answers:
        assert (answer.status_code, answer.get_json()["reason"]) == (409, "last_administrator")
        assert "give another one the scope revocation:admin first" in answer.get_json()["detail"]
    assert fresh.me(admin) == 200, "nothing was revoked"


# Nothing changes, nothing is revoked


@pytest.mark.parametrize("body", [{"scope": "b a"}, {"disabled": False}, {"scope": "a b", "disabled": False}])
def test_a_change_that_changes_nothing_signs_nobody_out(fresh: Api, body: dict[str, Any]) -> None:
    admin, login = fresh.admin(), fresh.login(fresh.add_user(scope="a b"))

    answer = fresh.patch(f"/admin/users/{login.username}", token=admin, json=body)

    assert (answer.status_code, answer.get_json()["receipt"]) == (200, None)
    assert fresh.me(login.access_token) == 200
    assert fresh.refresh(login.refresh_token).status_code == 200
    assert "user.change" not in {one["action"] for one in fresh.audited(admin)}


def test_disabling_again_or_enabling_revokes_nothing(fresh: Api) -> None:
    admin, name = fresh.admin(), fresh.add_user()

    def receipt(**body: Any) -> Any:
        return fresh.patch(f"/admin/users/{name}", token=admin, json=body).get_json()["receipt"]

    assert receipt(disabled=True) is not None
    assert receipt(disabled=True) is None
    assert receipt(disabled=False) is None
    assert receipt(scope="more") is not None


# Deleting


def test_a_deleted_user_is_gone_and_the_name_stays_taken(users: Users, database: Database) -> None:
    users.create("ada", password=PASSWORD, scope="reports:read")

    users.delete("ada")

    assert users.get("ada") is None
    assert users.authenticate("ada", PASSWORD) is None
    assert users.search("", limit=10) == (1, users.page(limit=10)) == (1, (users.get(ADMIN),))
    for act in (lambda: users.change("ada", disabled=False), lambda: users.delete("ada")):
        with pytest.raises(UserNotFoundError):
            act()
    with pytest.raises(UserExistsError):
        users.create("ada", password=PASSWORD, scope="")


def test_of_a_deleted_user_nothing_personal_is_kept(fresh: Api) -> None:
    admin, stores = fresh.admin(), fresh.service.stores
    name = fresh.add_user("ada@example.com", scope="a-scope-of-hers")
    login = fresh.login(name, headers={"User-Agent": "a browser of hers"}, address="192.0.2.99")
    fresh.post("/auth/login", json={"username": name, "password": "wrong password"}, address="192.0.2.98")

    answer = fresh.delete(f"/admin/users/{name}", token=admin)

    assert answer.status_code == 200
    assert answer.get_json()["receipt"] is not None
    assert fresh.me(login.access_token) == 401
    assert fresh.refresh(login.refresh_token).status_code == 401
    with stores.database.reading() as session:
        rows = [dict(row._mapping) for row in session.execute(_ROWS)]
    assert not any("ada@" in str(row) or "a-scope-of-hers" in str(row) or "$argon2" in str(row) for row in rows[1:])
    client: Any = stores.denylist.link.client
    for key in client.scan_iter(stores.denylist.key("app:*"), count=10_000):
        assert b"ada@" not in key
        held = client.hgetall(key) if client.type(key) == b"hash" else client.zrange(key, 0, -1)
        assert "192.0.2.9" not in str(held)
        assert "a browser of hers" not in str(held)
    assert fresh.post("/admin/users", token=admin, json={"username": name, "password": PASSWORD}).status_code == 409


def test_of_two_that_delete_and_create_one_name_nobody_gets_it_twice(users: Users) -> None:
    for number in range(20):
        name = f"ada{number}"
        users.create(name, password=PASSWORD, scope="")
        start = Barrier(2)

        def delete(name: str = name, start: Barrier = start) -> None:
            start.wait(30)
            users.delete(name)

        def create(name: str = name, start: Barrier = start) -> None:
            start.wait(30)
            with pytest.raises(UserExistsError):
                users.create(name, password=PASSWORD, scope="")

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(delete), pool.submit(create)]:
                done.result(60)


# Lists


def test_the_pages_of_users_and_of_clients_are_all_of_them(fresh: Api) -> None:
    admin, stores = fresh.admin(), fresh.service.stores
    names = {fresh.add_user() for _ in range(60)} | {ADMIN}
    ids = {stores.clients.create(f"machine {n}", scope="")[0].client_id for n in range(60)}

    def listed(path: str, key: str, name: str) -> list[str]:
        found: list[str] = []
        query: str | None = path
        while query:
            page = fresh.get(query, token=admin).get_json()
            assert len(page[key]) <= 50
            found += [one[name] for one in page[key]]
            query = page["next_cursor"] and f"{path}?cursor={page['next_cursor']}"
        return found

    assert sorted(listed("/admin/users", "users", "username")) == sorted(names)
    assert sorted(listed("/admin/clients", "clients", "client_id")) == sorted(ids)


@pytest.mark.parametrize("path", ["/admin/users", "/admin/clients"])
def test_a_made_up_cursor_is_refused(fresh: Api, path: str) -> None:
    for cursor in ("%00", "x y", "deleted:", "%F0%9F%94%91"):
        answer = fresh.get(f"{path}?cursor={cursor}", token=fresh.admin())
        assert (answer.status_code, answer.get_json()["reason"]) == (400, "invalid")


# One's own password


def change_password(api: Api, token: str, old: str, new: str, **kwargs: Any) -> Any:
    return api.post("/auth/password", token=token, json={"password": old, "new_password": new}, **kwargs)


def test_a_user_changes_the_own_password_and_goes_on(fresh: Api) -> None:
    login = fresh.login()
    elsewhere = fresh.login(login.username)

    answer = change_password(fresh, login.access_token, PASSWORD, "a new one of hers")

    assert answer.status_code == 200, answer.text
    assert fresh.me(answer.get_json()["access_token"]) == 200
    assert fresh.refresh(answer.get_json()["refresh_token"]).status_code == 200
    for old in (login, elsewhere):
        assert fresh.me(old.access_token) == 401
        assert fresh.refresh(old.refresh_token).status_code == 401
    fresh.login(login.username, "a new one of hers")
    newest = next(one for one in fresh.audited(fresh.admin()) if one["action"] == "user.change")
    assert (newest["actor"], newest["target"], newest["reason"]) == (login.username, login.username, "password")


def test_who_has_a_token_alone_neither_changes_the_password_nor_guesses_it(fresh: Api) -> None:
    login = fresh.login()

    answers = [change_password(fresh, login.access_token, f"guess {n}", "a new one of hers") for n in range(12)]

    assert [answer.status_code for answer in answers] == [400] * 10 + [429] * 2
    assert answers[0].get_json()["reason"] == "wrong_password"
    assert fresh.me(login.access_token) == 200
    fresh.login(login.username, PASSWORD)


@pytest.mark.parametrize("new", ["password", "short", "x" * 1025])
def test_a_new_password_has_to_be_one(fresh: Api, new: str) -> None:
    login = fresh.login()

    answer = change_password(fresh, login.access_token, PASSWORD, new)

    assert (answer.status_code, answer.get_json()["reason"]) == (400, "invalid")
    assert fresh.me(login.access_token) == 200


def test_a_machine_has_no_password(fresh: Api) -> None:
    answer = change_password(fresh, fresh.machine_token(fresh.machine()), PASSWORD, "a new one of hers")

    assert (answer.status_code, answer.get_json()["reason"]) == (404, "unknown_user")


# Clients


def token_of(api: Api, machine: Machine) -> int:
    form = {"grant_type": "client_credentials"}
    return api.post("/oauth/token", data=form, headers=machine.basic).status_code


def test_a_secret_is_rotated_with_an_overlap(fresh: Api) -> None:
    admin, old = fresh.admin(), fresh.machine()

    def rotated(seconds: int | None) -> Machine:
        body = {} if seconds is None else {"json": {"overlap_seconds": seconds}}
        answer = fresh.post(f"/admin/clients/{old.client_id}/secret", token=admin, **body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        return Machine(old.client_id, answer.get_json()["client_secret"])

    new = rotated(None)
    assert [token_of(fresh, one) for one in (old, new)] == [200, 200]
    newer = rotated(3600)
    assert [token_of(fresh, one) for one in (old, new, newer)] == [401, 200, 200]
    newest = rotated(0)
    assert [token_of(fresh, one) for one in (new, newer, newest)] == [401, 401, 200]


def test_a_client_is_disabled_enabled_and_deleted_over_http(fresh: Api) -> None:
    admin, machine = fresh.admin(), fresh.machine()
    path, token = f"/admin/clients/{machine.client_id}", fresh.machine_token(machine)

    assert fresh.patch(path, token=admin, json={"disabled": False}).get_json()["receipt"] is None
    assert fresh.me(token) == 200
    disabled = fresh.patch(path, token=admin, json={"disabled": True}).get_json()
    assert disabled["disabled"] is True
    assert disabled["receipt"] is not None
    assert (fresh.me(token), token_of(fresh, machine)) == (401, 401)
    assert fresh.patch(path, token=admin, json={"disabled": False}).get_json()["disabled"] is False
    token = fresh.machine_token(machine)
    assert fresh.me(token) == 200

    assert fresh.delete(path, token=admin).get_json()["receipt"]["enforced"] is True
    assert (fresh.me(token), token_of(fresh, machine)) == (401, 401)
    for answer in (
        fresh.delete(path, token=admin),
        fresh.patch(path, token=admin, json={"disabled": False}),
        fresh.post(f"{path}/secret", token=admin),
    ):
        assert (answer.status_code, answer.get_json()["reason"]) == (404, "unknown_client")


# Undoing


@pytest.mark.parametrize("kind", ["client", "subject"])
def test_undoing_does_not_bring_back_the_tokens_of_a_disabled_client(fresh: Api, kind: str) -> None:
    """Of a user the sessions have ended; the tokens of a client belong to none. In them it is the subject, too."""
    admin, machine = fresh.admin(), fresh.machine()
    token, path = fresh.machine_token(machine), f"/admin/clients/{machine.client_id}"
    revocation = fresh.revoke(admin, kind=kind, value=machine.client_id)
    fresh.service.stores.clients.change(machine.client_id, disabled=True)

    answer = fresh.undo(admin, revocation)
    assert (answer.status_code, answer.get_json()["reason"]) == (409, "client_closed")
    assert "enable it first" in answer.get_json()["detail"]
    assert fresh.me(token) == 401

    fresh.patch(path, token=admin, json={"disabled": False})
    assert fresh.undo(admin, revocation).status_code == 200
    assert fresh.me(token) == 200


@pytest.mark.parametrize("whose", ["user", "client"])
def test_undoing_does_not_bring_back_the_tokens_of_a_deleted_account(fresh: Api, whose: str) -> None:
    admin, machine = fresh.admin(), fresh.machine()
    login = fresh.login()
    path, kind, value, token = {
        "user": (f"/admin/users/{login.username}", "subject", login.username, login.access_token),
        "client": (f"/admin/clients/{machine.client_id}", "client", machine.client_id, fresh.machine_token(machine)),
    }[whose]
    fresh.delete(path, token=admin)
    (revocation,) = fresh.get(f"/admin/revocations?kind={kind}&value={value}", token=admin).get_json()["revocations"]

    fresh.undo(admin, revocation)

    assert fresh.me(token) == 401


# Revoking what is not there, and what signs


UNKNOWN = {"subject": "unknown_user", "client": "unknown_client", "session": "unknown_session", "key": "unknown_key"}


@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_revocation_that_names_nobody_says_so(fresh: Api, kind: str, dry_run: bool) -> None:
    admin, before = fresh.admin(), fresh.service.stores.denylist.head()
    body = {"kind": kind, "value": "nobody", "reason": "x", "dry_run": dry_run}

    answer = fresh.post("/admin/revocations", token=admin, json=body)

    assert (answer.status_code, answer.get_json()["reason"]) == (404, UNKNOWN[kind])
    assert fresh.service.stores.denylist.head() == before
    told = fresh.post("/admin/revocations", token=admin, json={**body, "even_if_unknown": True})
    assert told.status_code == (200 if dry_run else 201)


def test_a_name_in_another_case_is_named(fresh: Api) -> None:
    fresh.add_user("r11")

    answer = fresh.post(
        "/admin/revocations", token=fresh.admin(), json={"kind": "subject", "value": "R11", "reason": "stolen"}
    )

    assert (answer.status_code, answer.get_json()["detail"]) == (404, "There is no user R11. Did you mean r11?")


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_is_known_here_or_belongs_to_another_issuer_is_revoked(fresh: Api, kind: str) -> None:
    admin, login, machine = fresh.admin(), fresh.login(), fresh.machine()
    fresh.service.stores.keyring.rotate(publish_seconds=0, keep_seconds=10**6)
    keys = fresh.service.stores.keyring.source().key_set()
    value = {
        "subject": login.username,
        "client": machine.client_id,
        "session": login.session_id,
        # Of two keys of the same second, either may be the one that signs.
        "key": next(key.id for key in keys if key.id != keys.signing_key().id),
    }[kind]
    fresh.service.stores.announce_keys(issuer=fresh.settings.issuer)

    # The last one may be the key of the administrator's own token.
    for body in ({"value": "nobody", "issuer": "https://elsewhere.example"}, {"value": value}):
        body = {"kind": kind, "reason": "x", **body}  # noqa: PLW2901
        assert fresh.post("/admin/revocations", token=admin, json=body).status_code == 201


def test_the_key_that_signs_is_refused_by_whoever_asks_the_denylist(fresh: Api) -> None:
    key_id = fresh.claims(fresh.admin()).key_id
    assert key_id is not None
    handle = Handle("key", key_id, issuer=fresh.settings.issuer)

    with pytest.raises(SigningKeyError, match=f"keys revoke {key_id}"):
        fresh.service.stores.denylist.revoke(handle)

    accounts = fresh.service.accounts
    withdrawn, receipt = accounts.revoke_key(key_id, actor=OPERATOR)
    assert withdrawn
    assert receipt.written


# Seeing and lifting what throttles


def test_an_administrator_sees_what_is_counted_and_lifts_it(fresh: Api) -> None:
    admin, name, machine = fresh.admin(), fresh.add_user(), fresh.machine()

    def buckets(**whose: str) -> list[tuple[str, int, bool]]:
        answer = fresh.get("/admin/throttle", token=admin, query_string=whose).get_json()
        return [(one["of"], one["failures"], one["free_at"] is not None) for one in answer["buckets"]]

    for n in range(10):
        fresh.post("/auth/login", json={"username": name, "password": f"guess {n}"}, address="192.0.2.1")
    form = {"grant_type": "client_credentials"}
    fresh.post("/oauth/token", data=form, headers=Machine(machine.client_id, "wrong").basic, address="192.0.2.1")
    assert (
        fresh.post("/auth/login", json={"username": name, "password": PASSWORD}, address="192.0.2.1").status_code == 429
    )
    assert buckets(username=name) == [("account", 10, False), ("place", 10, True)]
    assert buckets(client_id=machine.client_id) == [("account", 1, False), ("place", 1, False)]
    assert buckets(address="192.0.2.1") == [("address", 10, False), ("address", 1, False)]

    for whose in ({"username": name}, {"client_id": machine.client_id}, {"address": "192.0.2.1"}):
        assert fresh.delete("/admin/throttle", token=admin, query_string=whose).status_code == 204
        assert buckets(**whose) == []
    assert (
        fresh.post("/auth/login", json={"username": name, "password": PASSWORD}, address="192.0.2.1").status_code == 200
    )
    acts = [(one["action"], one["target"]) for one in fresh.audited(admin)]
    assert {("user.unlock", name), ("client.unlock", machine.client_id), ("address.unlock", "192.0.2.1")} <= set(acts)


def locked_accounts(api: Api, admin: str) -> dict[str, list[tuple[str, str, int]]]:
    """Whom each account that is locked keeps out, with the failures."""
    listed, cursor = {}, 0
    while cursor is not None:
        page = api.get(f"/admin/throttle/locked?cursor={cursor}", token=admin).get_json()
        for one in page["locked"]:
            listed[one["username"]] = [(each["of"], each["value"], each["failures"]) for each in one["buckets"]]
        cursor = page["next_cursor"]
    return listed


def test_accounts_that_exist_are_listed_while_somebody_has_to_wait_for_them(
    fresh: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.routes.admin.throttle.PAGE_SIZE", 1)
    admin, names = fresh.admin(), [fresh.add_user() for _ in range(3)]
    fresh.service.stores.users.change(names[2], disabled=True)

    def guess(name: str, *, times: int, address: str = "192.0.2.1") -> None:
        for n in range(times):
            fresh.post("/auth/login", json={"username": name, "password": f"guess {n}"}, address=address)

    guess(names[0], times=9)
    assert locked_accounts(fresh, admin) == {}
    guess(names[0], times=1)
    # What nobody is called may be a password that somebody typed in the wrong field.
    guess("hunter2hunter2", times=12, address="192.0.2.2")
    guess(names[1], times=10, address="192.0.2.3")
    guess(names[2], times=10, address="192.0.2.4")

    places = {names[0]: "192.0.2.1", names[1]: "192.0.2.3", names[2]: "192.0.2.4"}
    assert locked_accounts(fresh, admin) == {name: [("place", place, 10)] for name, place in places.items()}

    fresh.delete("/admin/throttle", token=admin, query_string={"username": names[0]})
    assert locked_accounts(fresh, admin).keys() == set(names[1:])
    # The list says who is kept out now, whatever it was told before.
    fresh.service.stores.denylist.link.call(lambda client: client.delete(fresh.service.throttle._of_account(names[1])))
    assert locked_accounts(fresh, admin).keys() == {names[2]}
    fresh.delete(f"/admin/users/{names[2]}", token=admin)
    assert locked_accounts(fresh, admin) == {}


def test_an_account_that_strangers_have_filled_is_listed(valkey: Server, tmp_path: Path) -> None:
    with prepared(settings_for(valkey, tmp_path, APP_GUESSES_ACCOUNT="12", APP_GUESSES_WINDOW="86400")) as api:
        admin, name = api.admin(), api.add_user()
        for n in range(12):
            wrong = {"username": name, "password": f"guess {n}"}
            api.post("/auth/login", json=wrong, address=f"192.0.2.{n}")

        assert locked_accounts(api, admin) == {name: [("account", "", 12)]}


def test_disabled_accounts_are_listed_apart(fresh: Api) -> None:
    admin, name = fresh.admin(), fresh.add_user()
    fresh.patch(f"/admin/users/{name}", token=admin, json={"disabled": True})

    def listed(query: str) -> set[str]:
        return {one["username"] for one in fresh.get(f"/admin/users{query}", token=admin).get_json()["users"]}

    assert listed("?disabled=true") == {name}
    assert listed("?disabled=false") == listed("") - {name}


@pytest.mark.parametrize("query", ["", "?username=", "?username=a&address=::1", "?nonsense=x", "?address=somewhere"])
def test_failures_of_nobody_in_particular_are_not_shown(fresh: Api, query: str) -> None:
    admin = fresh.admin()
    for method in ("GET", "DELETE"):
        assert fresh.ask(method, f"/admin/throttle{query}", token=admin).status_code == 400
