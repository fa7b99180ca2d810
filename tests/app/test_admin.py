"""What admins do: revoke by any handle and undo it, look at lists, keep accounts and clients."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.audit import Act
from app.database import DatabaseUnavailableError
from app.instants import milliseconds
from revocation import Handle
from revocation.instants import rfc3339
from tests.app.api import ADMIN_PASSWORD, PASSWORD, Api, Login, Machine, another, prepared, settings_for
from tests.support.servers import Server

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def fresh(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    """A service in which everybody may be signed out."""
    with prepared(settings_for(valkey, tmp_path)) as api:
        yield api


@pytest.fixture(scope="module")
def admin(api: Api) -> str:
    return api.admin()


def refused(answer: TestResponse, status: int, reason: str) -> str:
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json"), answer.text
    assert answer.get_json()["reason"] == reason
    detail: str = answer.get_json()["detail"]
    return detail


def post(api: Api, admin: str, **body: Any) -> TestResponse:
    unknown = {"even_if_unknown": True} if "kind" in body else {}
    return api.post("/admin/revocations", token=admin, json={"reason": "test", **unknown, **body})


def alive(api: Api, login: Login) -> tuple[int, int]:
    """The statuses of an access token and of a refresh with the latest refresh token, which is not used up."""
    machine = api.machine()
    asked = api.post("/oauth/introspect", data={"token": login.refresh_token}, headers=machine.basic)
    return api.me(login.access_token), 200 if asked.get_json()["active"] else 401


# Revoking by each kind of handle, and taking it back


HANDLES: dict[str, tuple[Callable[[Api, Login], str | None], tuple[int, int], tuple[int, int]]] = {
    # By which value; then what becomes of access and refresh of this login, and of another user's.
    "token": (lambda api, login: api.claims(login.access_token).token_id, (401, 200), (200, 200)),
    "session": (lambda _, login: login.session_id, (401, 401), (200, 200)),
    "subject": (lambda _, login: login.username, (401, 401), (200, 200)),
    "client": (lambda *_: "first-party", (401, 401), (401, 401)),
    "issuer": (lambda *_: None, (401, 401), (401, 401)),
}


@pytest.mark.parametrize("kind", HANDLES)
def test_revoking_ends_what_it_says_and_undo_brings_back_exactly_that(fresh: Api, kind: str) -> None:
    value_of, own, others = HANDLES[kind]
    login, other, ended = fresh.login(), fresh.login(), fresh.login()
    machine = fresh.machine_token(fresh.machine())
    fresh.logout(ended.access_token)
    value = value_of(fresh, login)

    revocation = fresh.revoke(fresh.admin(), kind=kind, **({} if value is None else {"value": value}))

    assert (revocation["kind"], revocation["value"], revocation["issuer"]) == (kind, value, fresh.settings.issuer)
    assert (revocation["reason"], revocation["actor"]) == ("test", "admin")
    assert INSTANT.fullmatch(revocation["created_at"])
    assert INSTANT.fullmatch(revocation["expires_at"])
    assert (revocation["issued_before"] is None) == (kind in ("token", "session"))
    assert alive(fresh, login) == own
    assert alive(fresh, other) == others
    assert fresh.me(machine) == (401 if kind == "issuer" else 200)
    # Who signs in from here on is let in, and may undo it.
    later = fresh.login(login.username)
    assert alive(fresh, later) == (200, 200)

    admin = fresh.admin()
    assert fresh.undo(admin, revocation).get_json() == {"undone": revocation}

    assert alive(fresh, login) == alive(fresh, other) == alive(fresh, later) == (200, 200)
    assert fresh.me(machine) == 200
    assert alive(fresh, ended) == (401, 401), "that was somebody else's revocation"
    assert fresh.refresh(login.refresh_token).status_code == 200


def test_undo_is_audited_with_its_reason(api: Api, admin: str) -> None:
    revocation = api.revoke(admin, kind="subject", value=api.add_user())

    api.delete(f"/admin/revocations/{revocation['id']}?reason=wrong+user", token=admin, address="192.0.2.44")

    newest = api.audited(admin)[0]
    assert (newest["actor"], newest["action"], newest["revocation_id"]) == (
        "admin",
        "revocation.undo",
        revocation["id"],
    )
    assert (newest["reason"], newest["address"]) == ("wrong user", "192.0.2.44")


def test_undo_of_one_of_two_leaves_the_other_in_force(api: Api, admin: str) -> None:
    login = api.login()
    first = api.revoke(admin, kind="subject", value=login.username)
    second = api.revoke(admin, kind="subject", value=login.username)

    assert api.undo(admin, first).status_code == 200
    assert alive(api, login) == (401, 401)
    assert api.undo(admin, second).status_code == 200
    assert alive(api, login) == (200, 200)


def test_what_is_undone_is_gone_and_cannot_be_undone_again(api: Api, admin: str) -> None:
    revocation = api.revoke(admin, kind="subject", value=api.add_user())
    path = f"/admin/revocations/{revocation['id']}"
    assert api.get(path, token=admin).get_json() == {"revocation": revocation}
    assert api.undo(admin, revocation).status_code == 200

    refused(api.get(path, token=admin), 404, "unknown_revocation")
    refused(api.undo(admin, revocation), 404, "unknown_revocation")


@pytest.mark.parametrize(
    "made_up",
    [
        *("x", "1-1-00000000", "1700000000000-0-0123abcd", "0", "-", "1-1", "a" * 64, "a" * 65, "%00", "%2e%2e"),
        *("99999999999999999999-0-0123abcd", "18446744073709551616-0-0123abcd", "1-18446744073709551616-0123abcd"),
    ],
)
def test_an_id_that_nobody_gave_is_unknown(api: Api, admin: str, made_up: str) -> None:
    for method in ("GET", "DELETE"):
        refused(api.ask(method, f"/admin/revocations/{made_up}", token=admin), 404, "unknown_revocation")


def test_too_many_revocations_of_one_handle_are_merged_and_can_not_be_told_apart(api: Api, admin: str) -> None:
    name = api.add_user()
    first = api.revoke(admin, kind="subject", value=name)
    for _ in range(9):
        api.revoke(admin, kind="subject", value=name)

    assert "merged" in refused(api.undo(admin, first), 409, "conflict")


def test_a_revocation_of_another_issuer_touches_nothing_of_ours(api: Api, admin: str) -> None:
    login = api.login()
    foreign = "https://elsewhere.example"

    revocation = api.revoke(admin, kind="subject", value=login.username, issuer=foreign)

    assert revocation["issuer"] == foreign
    assert alive(api, login) == (200, 200)
    denylist = api.service.stores.denylist
    assert denylist.latest_cutoff([Handle("subject", login.username, issuer=foreign)]) > 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "everything", "value": "x"},
        {"kind": "subject"},
        {"kind": "subject", "value": ""},
        {"kind": "issuer", "value": "x"},
        {"kind": "subject", "value": "x", "token": "y"},
        {"token": "x", "issuer": "y"},
        {"token": "x", "value": "y"},
        {"token": "x", "issued_before": "2026-01-01T00:00:00Z"},
        {"kind": "subject", "value": "x" * 257},
        {"kind": "subject", "value": "a\nb"},
        {"kind": "subject", "value": "x", "issuer": "a\x00b"},
        {"kind": "subject", "value": "x", "issuer": "i" * 1025},
        {"kind": "subject", "value": "x", "reason": ""},
        {"kind": "subject", "value": "x", "reason": "r" * 257},
        {"kind": "subject", "value": "x", "reason": "a\r\nb"},
        {"kind": "subject", "value": "x", "expires_at": 5},
        {"kind": "token", "value": "x", "issued_before": "2026-01-01T00:00:00Z"},
        {"kind": "subject", "value": "x", "issued_before": "yesterday"},
        {"kind": "subject", "value": "x", "issued_before": "2026-01-01T00:00:00"},
        {"kind": "subject", "value": "x", "issued_before": "0001-01-01T00:00:00+23:59"},
        {"kind": "subject", "value": "x", "issued_before": "9999-12-31T23:59:59-23:59"},
        {"kind": "subject", "value": "x", "issued_before": 1e300},
        {"kind": "subject", "value": "x", "issued_before": -5},
    ],
)
def test_a_revocation_that_makes_no_sense_is_refused_and_changes_nothing(
    api: Api, admin: str, body: dict[str, Any]
) -> None:
    before = api.service.stores.denylist.head()

    answer = post(api, admin, **body)

    assert answer.status_code == 400, answer.text
    assert answer.mimetype == "application/problem+json"
    assert api.service.stores.denylist.head() == before


def test_a_reason_is_required(api: Api, admin: str) -> None:
    answer = api.post("/admin/revocations", token=admin, json={"kind": "subject", "value": "x"})

    refused(answer, 400, "invalid")


# The cut-off


def test_what_was_issued_after_the_cut_off_lives(api: Api, admin: str) -> None:
    first = api.login()
    between = rfc3339(api.service.stores.denylist.now_ms() + 1)
    while rfc3339(api.service.stores.denylist.now_ms()) <= between:
        pass
    second = api.login(first.username)

    revocation = api.revoke(admin, kind="subject", value=first.username, issued_before=between)

    assert revocation["issued_before"] == between
    assert (alive(api, first), alive(api, second)) == ((401, 401), (200, 200))


def test_a_cut_off_in_the_future_would_lock_out_what_comes(api: Api, admin: str) -> None:
    name = api.add_user()
    soon = datetime.now(UTC) + timedelta(minutes=1)

    for instant in (soon, soon.replace(year=2999)):
        answer = post(api, admin, kind="subject", value=name, issued_before=instant.isoformat())
        assert "future" in refused(answer, 400, "invalid")

    assert api.me(api.login(name).access_token) == 200


def test_a_cut_off_that_nothing_alive_is_older_than_is_a_mistake(api: Api, admin: str) -> None:
    now_ms = api.service.stores.denylist.now_ms()
    longest_ms = api.service.stores.denylist.lifetimes.entry_ms("subject")

    too_old = post(api, admin, kind="subject", value="x", issued_before=rfc3339(now_ms - longest_ms - 1000))
    assert "nothing" in refused(too_old, 400, "invalid")
    just_old_enough = post(api, admin, kind="subject", value="x", issued_before=rfc3339(now_ms - longest_ms + 60_000))
    assert just_old_enough.status_code == 201


def test_a_cut_off_may_be_given_in_any_time_zone(api: Api, admin: str) -> None:
    instant = datetime.now(UTC) - timedelta(minutes=5)
    elsewhere = instant.astimezone(datetime.strptime("+05:30", "%z").tzinfo).isoformat()

    revocation = api.revoke(admin, kind="subject", value="somebody", issued_before=elsewhere)

    assert revocation["issued_before"] == rfc3339(milliseconds(instant))


# A dry run


def test_a_dry_run_tells_what_it_would_end_and_ends_nothing(fresh: Api) -> None:
    admin = fresh.admin()
    first = fresh.login()
    second, other = fresh.login(first.username), fresh.login()
    fresh.logout(fresh.login(first.username).access_token)

    def would_end(**body: str) -> tuple[int, int]:
        answer = post(fresh, admin, dry_run=True, **body)
        assert answer.status_code == 200
        assert answer.get_json()["dry_run"] is True
        counts = answer.get_json()["would_end"]
        return counts["sessions"], counts["subjects"]

    assert would_end(kind="subject", value=first.username) == (2, 1)
    assert would_end(kind="session", value=other.session_id) == (1, 1)
    assert would_end(kind="session", value="nobody's") == (0, 0)
    assert would_end(kind="client", value="first-party") == (4, 3)
    assert would_end(kind="client", value="another") == (0, 0)
    assert would_end(kind="issuer") == (4, 3)
    assert would_end(kind="issuer", issuer="https://elsewhere.example") == (0, 0)
    assert would_end(kind="token", value="some-jti") == (0, 0)
    assert would_end(kind="issuer", issued_before=rfc3339(milliseconds(datetime.now(UTC) - timedelta(hours=1)))) == (
        0,
        0,
    )
    assert [alive(fresh, one) for one in (first, second, other)] == [(200, 200)] * 3
    assert fresh.get("/admin/revocations?kind=subject", token=admin).get_json()["revocations"] == []
    assert "revocation.create" not in {one["action"] for one in fresh.audited(admin)}


# A token that leaked


def test_a_leaked_token_is_revoked_by_itself(api: Api, admin: str) -> None:
    login = api.login()

    revocation = api.revoke(admin, token=login.access_token)

    assert (revocation["kind"], revocation["value"]) == ("token", api.claims(login.access_token).token_id)
    assert alive(api, login) == (401, 200)


def test_a_leaked_token_that_has_expired_but_may_still_be_accepted_is_revoked(api: Api, admin: str) -> None:
    """A verifier elsewhere may forgive a little more, within the leeway and margin of entries."""
    login = api.login()
    late = api.mint(login.username, ago_seconds=985, lifetime_seconds=900)
    assert api.me(late) == 401

    assert api.revoke(admin, token=late)["kind"] == "token"


def test_a_leaked_token_that_is_dead_everywhere_needs_no_revocation(api: Api, admin: str) -> None:
    answer = post(api, admin, token=api.expired(api.login()))

    assert answer.status_code == 200
    assert answer.get_json()["revocation"] is None
    assert answer.get_json()["receipt"]["enforced"] is True


@pytest.mark.parametrize("what", ["nonsense", "foreign", "refresh token", "tampered"])
def test_what_is_no_token_of_ours_is_not_revoked(api: Api, admin: str, what: str) -> None:
    login = api.login()
    head, claims, signature = login.access_token.split(".")
    leaked = {
        "nonsense": "nonsense",
        "foreign": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.AAAA",
        "refresh token": login.refresh_token,
        "tampered": f"{head}.{claims}.{signature[::-1]}",
    }[what]

    answer = post(api, admin, token=leaked)

    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert leaked not in answer.text
    assert alive(api, login) == (200, 200)


# The list


def test_the_list_has_every_kind_newest_first_and_can_be_of_one(fresh: Api) -> None:
    admin = fresh.admin()
    made = [fresh.revoke(admin, kind=kind, value=f"some-{kind}") for kind in ("token", "session", "subject")]
    key = fresh.revoke(admin, kind="key", value="some-key")

    listed = fresh.get("/admin/revocations", token=admin).get_json()

    assert [one["id"] for one in listed["revocations"]] == [one["id"] for one in reversed([*made, key])]
    assert listed["revocations"][-1] == made[0]
    only = fresh.get("/admin/revocations?kind=session", token=admin).get_json()["revocations"]
    assert only == [made[1]]
    fresh.undo(admin, made[1])
    assert fresh.get("/admin/revocations?kind=session", token=admin).get_json()["revocations"] == []


def test_the_pages_of_the_list_are_the_whole_list(fresh: Api) -> None:
    admin = fresh.admin()
    denylist = fresh.service.stores.denylist
    denylist.revoke_many([Handle("session", f"s{n}", issuer=fresh.settings.issuer) for n in range(120)])

    values: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        query = {"kind": "session", **({"cursor": cursor} if cursor else {})}
        page = fresh.get("/admin/revocations", query_string=query, token=admin).get_json()
        values += [one["value"] for one in page["revocations"]]
        cursor = page["next_cursor"]
        pages += 1

    assert values == [f"s{n}" for n in reversed(range(120))]
    assert pages <= 5


@pytest.mark.parametrize(
    "query",
    [
        *("kind=", "kind=everything", "kind=Token", "kind=token%00", "cursor=x", "cursor=other:1"),
        *("cursor=log:1", "cursor=log:1-1%00", "cursor=lasting:-1", "cursor=lasting:%2B"),
    ],
)
def test_a_made_up_query_is_refused(api: Api, admin: str, query: str) -> None:
    refused(api.get(f"/admin/revocations?{query}", token=admin), 400, "invalid")


# Accounts


def patch(api: Api, admin: str, name: str, **body: Any) -> TestResponse:
    return api.patch(f"/admin/users/{name}", token=admin, json=body)


def test_a_new_account_can_sign_in_and_its_password_is_shown_nowhere(api: Api, admin: str) -> None:
    body = {"username": "grace", "password": PASSWORD, "scope": "reports:read  me me"}

    answer = api.post("/admin/users", token=admin, json=body)

    assert answer.status_code == 201
    made = answer.get_json()
    assert INSTANT.fullmatch(made.pop("created_at"))
    assert made == {"username": "grace", "scope": "me reports:read", "disabled": False}
    assert api.login("grace").scope == "me reports:read"
    refused(api.post("/admin/users", token=admin, json=body), 409, "exists")


@pytest.mark.parametrize(
    "body",
    [
        {"username": "x y", "password": PASSWORD},
        {"username": "", "password": PASSWORD},
        {"username": "x", "password": "short"},
        {"username": "x", "password": "p" * 2000},
        {"username": "x", "password": PASSWORD, "scope": 'with "quotes"'},
        {"username": "x", "password": PASSWORD, "disabled": True},
        {"username": "x"},
        {"username": 5, "password": PASSWORD},
    ],
)
def test_an_account_that_cannot_be_is_refused(api: Api, admin: str, body: dict[str, Any]) -> None:
    answer = api.post("/admin/users", token=admin, json=body)

    refused(answer, 400, "invalid")
    assert api.service.stores.users.get("x") is None


@pytest.mark.parametrize("change", [{"password": "another password"}, {"scope": "reports:read"}, {"disabled": True}])
def test_a_change_of_an_account_ends_everything_it_held(api: Api, admin: str, change: dict[str, Any]) -> None:
    old = api.login(api.add_user(scope="me"))

    answer = patch(api, admin, old.username, **change)

    assert answer.status_code == 200
    assert answer.get_json()["receipt"]["enforced"] is True
    assert alive(api, old) == (401, 401)
    assert api.refresh(old.refresh_token).status_code == 401


def test_who_signs_in_after_a_change_does_so_by_the_new_state(api: Api, admin: str) -> None:
    name = api.add_user(scope="me")

    patch(api, admin, name, scope="reports:read", password="another password")
    wrong = {"username": name, "password": PASSWORD}
    assert api.post("/auth/login", json=wrong, address="192.0.2.31").status_code == 401
    assert api.login(name, "another password").scope == "reports:read"

    patch(api, admin, name, disabled=True)
    right = {"username": name, "password": "another password"}
    assert api.post("/auth/login", json=right, address="192.0.2.31").status_code == 401

    patch(api, admin, name, disabled=False)
    assert alive(api, api.login(name, "another password")) == (200, 200)


def test_enabling_an_account_brings_no_old_session_back(api: Api, admin: str) -> None:
    login = api.login()

    patch(api, admin, login.username, disabled=True)
    patch(api, admin, login.username, disabled=False)

    assert alive(api, login) == (401, 401)


def test_an_admin_who_changes_their_own_password_has_to_sign_in_again(fresh: Api) -> None:
    admin = fresh.admin()

    assert patch(fresh, admin, "admin", password="another password").status_code == 200

    assert fresh.me(admin) == 401
    assert fresh.me(fresh.login("admin", "another password").access_token) == 200


@pytest.mark.parametrize("body", [{}, {"password": None}, {"disabled": "yes"}, {"username": "new"}, {"scope": 5}])
def test_a_change_that_changes_nothing_is_refused_and_ends_nothing(api: Api, admin: str, body: dict[str, Any]) -> None:
    login = api.login()

    refused(patch(api, admin, login.username, **body), 400, "invalid")
    refused(patch(api, admin, login.username, password="short", disabled=True), 400, "invalid")

    assert alive(api, login) == (200, 200)


@pytest.mark.parametrize("username", ["nobody", "%00", "a%20b", "x" * 500, "first-party", "%ED%A0%80"])
def test_an_account_that_is_not_there_cannot_be_changed(api: Api, admin: str, username: str) -> None:
    refused(patch(api, admin, username, disabled=True), 404, "unknown_user")


def test_the_sessions_of_a_user_are_listed(api: Api, admin: str) -> None:
    first = api.login(address="192.0.2.5")
    second = api.login(first.username)
    api.logout(api.login(first.username).access_token)

    listed = api.get(f"/admin/sessions?subject={first.username}", token=admin).get_json()["sessions"]

    assert {one["session_id"] for one in listed} == {first.session_id, second.session_id}
    assert {one["ip"] for one in listed} == {"192.0.2.5", "127.0.0.1"}
    for nobody in ("subject=nobody", "subject=", "", "subject=%00"):
        refused(api.get(f"/admin/sessions?{nobody}", token=admin), 404, "unknown_user")


def test_a_session_ends_with_its_account_also_for_whoever_undoes_the_revocation(api: Api, admin: str) -> None:
    """Introspection and refreshing agree, and the answer says why signing in does not work."""
    login, machine = api.login(), api.machine()
    login = api.refreshed(login)
    patch(api, admin, login.username, disabled=True)
    (revocation,) = api.get(f"/admin/revocations?kind=subject&value={login.username}", token=admin).get_json()[
        "revocations"
    ]

    undone = api.undo(admin, revocation)

    assert undone.get_json() == {"undone": revocation, "still_disabled": True}
    for token in (login.access_token, login.refresh_token):
        asked = api.post("/oauth/introspect", data={"token": token}, headers=machine.basic)
        assert asked.get_json() == {"active": False}
    assert api.me(login.access_token) == 401
    assert api.refresh(login.refresh_token).status_code == 401
    # An account that is enabled again begins anew.
    patch(api, admin, login.username, disabled=False)
    assert api.refresh(login.refresh_token).status_code == 401
    assert api.me(api.login(login.username).access_token) == 200


def test_a_session_ends_with_its_account_also_where_the_library_undoes_the_revocation(api: Api, admin: str) -> None:
    """`revocation undo` knows nothing of accounts. The sessions of one's own choice end with their own entries."""
    logins = [api.login() for _ in range(2)]
    logins += [api.login(logins[0].username)]
    patch(api, admin, logins[0].username, disabled=True)
    handle = Handle("subject", logins[0].username, issuer=api.settings.issuer)
    for revocation in api.service.revocations.of_handle(handle):
        assert api.service.stores.denylist.undo(revocation.id)

    assert [api.me(login.access_token) for login in logins] == [401, 200, 401]


def test_a_database_that_is_away_does_not_make_an_undo_look_as_if_it_had_failed(
    api: Api, admin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    revocation = api.revoke(admin, kind="subject", value=api.add_user())

    def away(_username: str) -> None:
        raise DatabaseUnavailableError("not there")

    monkeypatch.setattr(api.service.stores.users, "get", away)
    assert api.undo(admin, revocation).get_json() == {"undone": revocation}


# Clients


def test_a_new_clients_secret_is_shown_once_and_works(api: Api, admin: str) -> None:
    answer = api.post("/admin/clients", token=admin, json={"name": "nightly reports", "scope": "reports:read"})

    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.get_json()
    assert body.keys() == {"client_id", "client_secret", "name", "scope"}
    token = api.machine_token(Machine(body["client_id"], body["client_secret"]))
    assert api.get("/api/reports", token=token).status_code == 200
    assert body["client_secret"] not in str(api.audited(admin))


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "a\nb"}, {"name": "x" * 101}, {"name": "x", "scope": "ä"}])
def test_a_client_that_cannot_be_is_refused(api: Api, admin: str, body: dict[str, Any]) -> None:
    before = len(api.service.stores.clients.list())

    refused(api.post("/admin/clients", token=admin, json=body), 400, "invalid")

    assert len(api.service.stores.clients.list()) == before


# The audit log


def test_every_act_is_in_the_audit_log_with_who_what_when_why_and_from_where(fresh: Api) -> None:
    started = datetime.now(UTC) - timedelta(seconds=1)
    admin = fresh.login("admin", ADMIN_PASSWORD)
    here: dict[str, Any] = {"address": "198.51.100.23"}
    fresh.post("/admin/users", token=admin.access_token, json={"username": "ada", "password": PASSWORD}, **here)
    ada = fresh.login("ada", **here)
    fresh.post(
        "/admin/revocations",
        token=admin.access_token,
        json={"kind": "session", "value": ada.session_id, "reason": "laptop stolen ☂"},
        **here,
    )
    other = fresh.login("ada", **here)
    fresh.post("/auth/logout", token=other.access_token, **here)
    fresh.patch("/admin/users/ada", token=admin.access_token, json={"scope": "me"}, **here)
    last = fresh.login("ada", **here)
    fresh.delete(f"/auth/sessions/{last.session_id}", token=last.access_token, **here)
    everywhere = fresh.login("ada", **here)
    fresh.post("/auth/logout-all", token=everywhere.access_token, **here)
    fresh.post("/admin/clients", token=admin.access_token, json={"name": "reports"}, **here)

    records = sorted(fresh.audited(admin.access_token), key=lambda one: one["at"])

    changes = [one for one in records if one["revocation_id"] is None]
    assert [(one["actor"], one["action"], one["target"], one["reason"]) for one in changes] == [
        ("admin", "user.create", "ada", "scope: ''"),
        ("admin", "user.change", "ada", "scope: '' -> 'me'"),
        ("admin", "client.create", changes[-1]["target"], "name: 'reports', scope: ''"),
    ]
    revoked = [one for one in records if one["revocation_id"] is not None]
    assert [(one["actor"], one["action"], one["target"], one["reason"]) for one in revoked] == [
        ("admin", "revocation.create", f"session:{ada.session_id}", "laptop stolen ☂"),
        ("ada", "session.logout", other.session_id, "logged out"),
        ("admin", "revocation.create", "subject:ada", "account changed: scope"),
        ("ada", "session.end", last.session_id, "ended by its user"),
        ("ada", "session.logout_all", "ada", "logged out everywhere"),
    ]
    assert {one["address"] for one in records} == {"198.51.100.23"}
    for one in records:
        assert INSTANT.fullmatch(one["at"])
        assert started <= datetime.fromisoformat(one["at"]) <= datetime.now(UTC) + timedelta(seconds=1)


def audit_targets(api: Api, admin: str, query: str) -> list[str]:
    answer = api.get(f"/admin/audit?{query}", token=admin)
    assert answer.status_code == 200, answer.text
    return [one["target"] for one in answer.get_json()["records"]]


def test_the_audit_log_has_the_filters_that_one_expects(fresh: Api) -> None:
    audit, admin = fresh.service.stores.audit, fresh.admin()
    for hour, (actor, action, target) in enumerate([("ada", "x", "t1"), ("ada", "y", "t2"), ("bob", "x", "t3")]):
        at = datetime(2026, 3, 1, hour, tzinfo=UTC)
        audit.record(Act(actor=actor, action=action, target=target, at=at))

    assert audit_targets(fresh, admin, "actor=ada") == ["t2", "t1"]
    assert audit_targets(fresh, admin, "action=x") == ["t3", "t1"]
    assert audit_targets(fresh, admin, "actor=ada&action=x") == ["t1"]
    assert audit_targets(fresh, admin, "target=t2") == ["t2"]
    assert audit_targets(fresh, admin, "actor=ad") == []
    audit.record(Act(actor="eve", action="y", target="t4", reason="Laptop 100% STOLEN", address="192.0.2.7"))
    assert audit_targets(fresh, admin, "reason=laptop 100%25 stolen") == ["t4"]
    assert audit_targets(fresh, admin, "reason=lap%25stolen") == []
    assert audit_targets(fresh, admin, "address=192.0.2.7") == ["t4"]
    assert audit_targets(fresh, admin, "address=192.0.2") == []
    for text in ("EVE", "t4", "stolen", "2.0.2.7"):
        assert audit_targets(fresh, admin, f"text={text}") == ["t4"], text
    assert audit_targets(fresh, admin, "since=2026-03-01T01:00:00Z&until=2026-03-01T02:00:00Z") == ["t2"]
    assert audit_targets(fresh, admin, "since=2026-03-01T03:00:00%2B01:00&until=2026-04-01T00:00:00Z") == ["t3"]
    assert audit_targets(fresh, admin, "until=2026-04-01T00:00:00Z&limit=2") == ["t3", "t2"]
    page = fresh.get("/admin/audit?action=x&limit=1", token=admin).get_json()
    assert audit_targets(fresh, admin, f"action=x&limit=1&cursor={page['next_cursor']}") == ["t1"]


@pytest.mark.parametrize(
    "query",
    ["actr=ada", "limit=0", "limit=201", "limit=x", "since=yesterday", "since=2026-03-01T00:00:00", "page=2"],
)
def test_a_filter_of_the_audit_log_that_means_nothing_is_refused(api: Api, admin: str, query: str) -> None:
    refused(api.get(f"/admin/audit?{query}", token=admin), 400, "invalid")


@pytest.mark.parametrize("path", ["/admin/revocations?actor=ada", "/admin/changes?limit=5", "/admin/sessions?user=ada"])
def test_a_filter_that_a_list_does_not_have_is_refused(api: Api, admin: str, path: str) -> None:
    answer = api.get(path, token=admin)
    refused(answer, 400, "invalid")
    assert "There is no parameter" in answer.get_json()["detail"]


def test_what_a_command_line_revokes_is_in_the_audit_log_at_once(fresh: Api) -> None:
    admin = fresh.admin()
    handle = Handle("issuer", issuer="https://elsewhere.example")
    made = fresh.service.stores.denylist.revoke(
        handle, reason="left", actor="operator eve", address="host-7"
    ).revocation
    assert made is not None

    newest = fresh.audited(admin)[0]

    assert (newest["actor"], newest["address"], newest["reason"]) == ("operator eve", "host-7", "left")
    assert (newest["target"], newest["revocation_id"]) == ("issuer:https://elsewhere.example", made.id)


def test_granting_the_scope_of_administrators_is_in_the_audit_log_with_before_and_after(api: Api, admin: str) -> None:
    name = api.add_user(scope="reports:read")
    patch(api, admin, name, scope="reports:read revocation:admin")

    (record,) = api.get(f"/admin/audit?target={name}&action=user.change", token=admin).get_json()["records"]

    assert record["reason"] == "scope: 'reports:read' -> 'reports:read revocation:admin'"


def test_sign_ins_are_in_the_audit_log_where_that_is_set(api: Api, admin: str) -> None:
    name = api.add_user()
    api.login(name)
    assert api.get(f"/admin/audit?target={name}", token=admin).get_json()["records"] == []
    with another(api.settings, audit_sign_ins=True) as recording:
        recording.login(name, address="192.0.2.7")
        for who in (name, "hunter2 typed here"):
            recording.post("/auth/login", json={"username": who, "password": "a wrong password"}, address="192.0.2.8")

    records = api.get("/admin/audit?limit=3", token=admin).get_json()["records"]
    assert [(one["actor"], one["action"], one["target"], one["address"]) for one in records] == [
        ("", "sign_in.refused", "unknown user", "192.0.2.8"),
        (name, "sign_in.refused", name, "192.0.2.8"),
        (name, "sign_in.accepted", name, "192.0.2.7"),
    ]


def test_the_pages_of_the_audit_log_are_the_whole_log(fresh: Api) -> None:
    admin = fresh.admin()
    for number in range(120):
        fresh.service.stores.audit.record(Act(actor="test", action="test", target=str(number)))

    targets, query = [], "/admin/audit"
    while query:
        page = fresh.get(query, token=admin).get_json()
        targets += [one["target"] for one in page["records"]]
        query = page["next_cursor"] and f"/admin/audit?cursor={page['next_cursor']}"

    assert targets == [str(number) for number in reversed(range(120))]


@pytest.mark.parametrize("cursor", ["x", "%00", "MQ", "YXVkaXQ6MA", "%D9%A3"])
def test_a_made_up_cursor_of_the_audit_log_is_refused(api: Api, admin: str, cursor: str) -> None:
    refused(api.get(f"/admin/audit?cursor={cursor}", token=admin), 400, "invalid")


# What was revoked together


def listed(api: Api, admin: str, **query: Any) -> dict[str, Any]:
    answer = api.get("/admin/revocations", token=admin, query_string=query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.get_json()
    return told


def test_a_batch_is_one_row_with_its_number_and_is_undone_together(fresh: Api) -> None:
    admin, logins = fresh.admin(), [fresh.login() for _ in range(3)]
    issuer = fresh.settings.issuer
    before = fresh.revoke(admin, kind="session", value="before", even_if_unknown=True)
    fresh.service.stores.denylist.revoke_many(
        [Handle("session", login.session_id, issuer=issuer) for login in logins],
        reason="the wrong list",
        actor="operator ada",
    )
    assert [alive(fresh, login) for login in logins] == [(401, 401)] * 3

    rows = listed(fresh, admin, fold="true")["revocations"]
    assert [(row.get("stands_for"), row["reason"]) for row in rows] == [(3, "the wrong list"), (None, before["reason"])]
    batch = rows[0]["batch"]
    members = listed(fresh, admin, batch=batch)["revocations"]
    assert {one["value"] for one in members} == {login.session_id for login in logins}

    answer = fresh.delete(f"/admin/batches/{batch}", token=admin, query_string={"reason": "the right one is another"})

    told = answer.get_json()
    assert (told["undone"], told["kept"]) == (3, 0)
    assert [alive(fresh, login) for login in logins] == [(200, 200)] * 3
    assert [row["id"] for row in listed(fresh, admin, fold="true")["revocations"]] == [before["id"]]
    undone = [one for one in fresh.audited(admin) if one["action"] == "revocation.undo"]
    assert {one["reason"] for one in undone} == {"the right one is another"}
    assert {one["revocation_id"] for one in undone} == {one["id"] for one in members}


@pytest.mark.parametrize("outlives_the_log", [False, True])
def test_a_batch_is_undone_five_hundred_at_a_time(
    fresh: Api, monkeypatch: pytest.MonkeyPatch, outlives_the_log: bool
) -> None:
    monkeypatch.setattr("app.accounts._UNDONE_AT_ONCE", 2)
    admin, issuer = fresh.admin(), fresh.settings.issuer
    handles = [Handle("session", f"s-{number}", issuer=issuer) for number in range(5)]
    denylist = fresh.service.stores.denylist
    denylist.revoke_many(handles, reason="x", actor="ada")
    if outlives_the_log:
        client: Any = denylist.link.client
        client.xtrim(denylist.namespace.log, maxlen=1, approximate=False)
    batch = listed(fresh, admin)["revocations"][0]["batch"]

    undone: list[int] = []
    cursor = None
    while not undone or cursor is not None:
        place = f"?cursor={cursor}" if cursor else ""
        told = fresh.delete(f"/admin/batches/{batch}{place}", token=admin).get_json()
        undone.append(told["undone"])
        cursor = told["next_cursor"]

    assert (sum(undone), max(undone)) == (5, 2)
    assert listed(fresh, admin)["revocations"] == []


def test_a_disabled_account_is_one_row_for_its_sessions(fresh: Api) -> None:
    admin, name = fresh.admin(), fresh.add_user()
    for _ in range(3):
        fresh.login(name)

    fresh.patch(f"/admin/users/{name}", token=admin, json={"disabled": True})

    rows = listed(fresh, admin, fold="true")["revocations"]
    assert [(row["kind"], row.get("stands_for")) for row in rows] == [("session", 3), ("subject", None)]


@pytest.mark.parametrize("text", ["LAPTOP", "admin", "127.0.0.1", "stolen on the"])
def test_revocations_are_found_by_reason_actor_and_address(fresh: Api, text: str) -> None:
    admin = fresh.admin()
    wanted = fresh.revoke(admin, kind="subject", value="x", even_if_unknown=True, reason="laptop stolen on the train")
    other = Handle("subject", "other", issuer=fresh.settings.issuer)
    fresh.service.stores.denylist.revoke(other, reason="left", actor="eve", address="192.0.2.7")

    assert [one["id"] for one in listed(fresh, admin, text=text)["revocations"]] == [wanted["id"]]
    assert [one["value"] for one in listed(fresh, admin, text="192.0.2")["revocations"]] == ["other"]


def test_keys_are_listed_rotated_and_withdrawn(fresh: Api) -> None:
    login = fresh.login("admin", ADMIN_PASSWORD)
    (signing,) = fresh.get("/admin/keys", token=login.access_token).get_json()["keys"]
    assert (signing["state"], signing["algorithm"]) == ("signs", fresh.settings.algorithm)

    rotated = fresh.post("/admin/keys", token=login.access_token)
    assert (rotated.status_code, rotated.get_json()["state"]) == (201, "next")
    why = {"reason": "a backup was public"}
    too_long = {"reason": "x" * 300}
    refused(
        fresh.delete(f"/admin/keys/{signing['key_id']}", token=login.access_token, query_string=too_long),
        400,
        "invalid",
    )
    withdrawn = fresh.delete(f"/admin/keys/{signing['key_id']}", token=login.access_token, query_string=why).get_json()

    assert withdrawn["withdrawn"] is True
    assert (withdrawn["revocation"]["kind"], withdrawn["revocation"]["value"]) == ("key", signing["key_id"])
    assert fresh.me(login.access_token) == 401
    fresh.look_at_keys()
    admin = fresh.refreshed(login).access_token
    states = {one["key_id"]: one["state"] for one in fresh.get("/admin/keys", token=admin).get_json()["keys"]}
    assert signing["key_id"] not in states
    assert sorted(states.values()) == ["next", "signs"]
    told = [(one["action"], one["reason"]) for one in fresh.audited(admin)][:2]
    assert told == [("key.revoke", "a backup was public"), ("key.rotate", "")]


def test_what_no_key_can_be_called_is_refused(fresh: Api) -> None:
    refused(fresh.delete(f"/admin/keys/{'x' * 300}", token=fresh.admin()), 400, "invalid")
