"""What the console asks of the service: the cookie's routes, search, changes, health."""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.database import UserRow
from revocation import DenylistUnavailableError
from tests.app.api import ADMIN_PASSWORD, PASSWORD, Api, another, prepared, settings_for
from tests.support.round_trips import RoundTrips
from tests.support.servers import Server, StartServer

SESSION = "/console/session"


@dataclass
class Browser:
    """Asks as a browser does that shows the console: with its cookie, and the origin of the page."""

    api: Api
    cookie: str = ""
    name: str = "console"
    #: The other cookie, which says that this browser signed in before.
    device: str = ""

    def ask(self, method: str, path: str = SESSION, **kwargs: Any) -> TestResponse:
        headers = {"Origin": self.api.settings.issuer, "Sec-Fetch-Site": "same-origin", **kwargs.pop("headers", {})}
        if self.cookie:
            headers["Cookie"] = f"{self.name}={self.cookie}"
        if self.device:
            headers["Cookie"] = f"{headers.get('Cookie', 'other=1')}; {self.name}-device={self.device}"
        answer = self.api.ask(method, path, headers=headers, **kwargs)
        if self.name in self.cookies(answer):
            self.cookie = self.cookies(answer)[self.name].value
        if f"{self.name}-device" in self.cookies(answer):
            self.device = self.cookies(answer)[f"{self.name}-device"].value
        return answer

    def cookies(self, answer: TestResponse) -> "SimpleCookie":
        cookies: SimpleCookie = SimpleCookie()
        for line in answer.headers.getlist("Set-Cookie"):
            cookies.load(line)
        return cookies

    def morsel(self, answer: TestResponse) -> "Morsel[str]":
        """The cookie that the answer sets."""
        return self.cookies(answer)[self.name]

    def sign_in(self, username: str = "admin", password: str = ADMIN_PASSWORD) -> TestResponse:
        return self.ask("POST", json={"username": username, "password": password})

    def renew(self, **kwargs: Any) -> TestResponse:
        return self.ask("POST", f"{SESSION}/refresh", **kwargs)


@pytest.fixture(scope="module")
def admin(api: Api) -> str:
    return api.admin()


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api)


@pytest.fixture
def fresh(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    with prepared(settings_for(valkey, tmp_path)) as api:
        yield api


# Signing in


def test_signing_in_puts_the_refresh_token_where_no_script_and_no_other_path_gets_it(browser: Browser) -> None:
    answer = browser.sign_in()

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.get_json().keys() == {"access_token", "expires_in", "username", "session_id"}
    assert browser.api.get("/admin/audit", token=answer.get_json()["access_token"]).status_code == 200
    morsel = browser.morsel(answer)
    assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["domain"]) == (True, "Strict", SESSION, "")
    assert morsel["max-age"] == str(browser.api.settings.refresh_ttl_seconds)
    assert morsel["secure"] == ""
    assert browser.cookie not in answer.text


def test_a_browser_that_signed_in_before_is_let_in_while_strangers_guess(fresh: Api) -> None:
    browser, another_admin = Browser(fresh), fresh.add_user(scope="revocation:admin")
    answer = browser.sign_in()
    morsel = browser.cookies(answer)["console-device"]
    assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["domain"]) == (True, "Strict", SESSION, "")
    assert morsel["max-age"] == str(400 * 86400)
    assert browser.sign_in(another_admin, PASSWORD).status_code == 200, "a second account in the same browser"
    for number in range(10):
        Browser(fresh).sign_in("admin", f"guess {number}")
        Browser(fresh).sign_in(another_admin, f"guess {number}")

    assert Browser(fresh).sign_in().status_code == 429
    assert browser.sign_in().status_code == 200
    assert browser.sign_in(another_admin, PASSWORD).status_code == 200
    browser.ask("DELETE")
    assert browser.sign_in().status_code == 200, "who signs out leaves the browser known"


def test_behind_https_the_cookie_is_secure_and_says_so_in_its_name(fresh: Api) -> None:
    with another(replace(fresh.settings, issuer="https://auth.example:443", audience="https://auth.example")) as api:
        browser = Browser(api, name="__Secure-console")
        # Browsers leave the default port out.
        headers = {"Origin": "https://auth.example"}
        answer = browser.ask("POST", json={"username": "admin", "password": ADMIN_PASSWORD}, headers=headers)

        assert browser.morsel(answer)["secure"] is True
        assert browser.renew(headers=headers).status_code == 200


def test_a_reload_goes_on_by_the_cookie_which_is_replaced(browser: Browser) -> None:
    first = browser.sign_in().get_json()
    before = browser.cookie

    answer = browser.renew()

    assert answer.status_code == 200
    assert answer.get_json()["session_id"] == first["session_id"]
    assert browser.cookie not in ("", before)
    assert browser.api.me(answer.get_json()["access_token"]) == 200


def test_without_a_cookie_nobody_is_signed_in_and_that_is_no_error(browser: Browser) -> None:
    answer = browser.renew()

    assert (answer.status_code, answer.data) == (204, b"")


def test_signing_out_ends_the_session_and_forgets_the_cookie(browser: Browser) -> None:
    token = browser.sign_in().get_json()["access_token"]
    kept = browser.cookie

    answer = browser.ask("DELETE")

    assert answer.status_code == 204
    assert (browser.cookie, browser.morsel(answer)["max-age"]) == ("", "0")
    assert browser.api.me(token) == 401
    browser.cookie = kept
    assert browser.renew().status_code == 401
    assert browser.cookie == ""
    newest = browser.api.audited(browser.api.admin())[0]
    assert (newest["action"], newest["actor"]) == ("session.logout", "admin")


def test_signing_out_twice_is_no_error(browser: Browser) -> None:
    assert browser.ask("DELETE").status_code == 204
    browser.cookie = "nonsense"
    assert browser.ask("DELETE").status_code == 204


def test_who_may_not_administer_is_refused_and_holds_no_session(browser: Browser, admin: str) -> None:
    name = browser.api.add_user(scope="reports:read")

    answer = browser.sign_in(name, PASSWORD)

    assert (answer.status_code, answer.get_json()["reason"]) == (403, "not_an_admin")
    assert "Set-Cookie" not in answer.headers
    listed = browser.api.get(f"/admin/sessions?subject={name}", token=admin)
    assert listed.get_json()["sessions"] == []


def test_a_wrong_password_is_refused_as_at_any_other_door(browser: Browser) -> None:
    answer = browser.sign_in(browser.api.add_user(), "wrong password")

    assert (answer.status_code, answer.get_json()["reason"]) == (401, "invalid_credentials")
    assert "Set-Cookie" not in answer.headers


def test_the_page_is_the_same_for_everybody_and_holds_nothing(api: Api, admin: str) -> None:
    page = api.get("/console")

    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "'unsafe" not in page.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", page.text)
    assert api.get("/console", token=admin).data == page.data


# Search


def search(api: Api, admin: str, query: str) -> list[dict[str, Any]]:
    answer = api.post("/admin/search", token=admin, json={"query": query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.get_json()["found"]
    return found


def kinds(found: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(one["kind"], one["value"], one["state"]) for one in found]


def test_a_token_is_found_with_all_that_it_can_be_revoked_by(api: Api, admin: str) -> None:
    login = api.login()
    claims = api.claims(login.access_token)

    token = login.access_token
    headers = (f"  Bearer {token}\n", f"Authorization: Bearer {token}", f"-H 'authorization:bearer {token}'")
    for text in (token, *headers):
        found = search(api, admin, text)
        assert kinds(found) == [
            ("token", claims.token_id, "active"),
            ("session", login.session_id, "active"),
            ("subject", login.username, "active"),
            ("client", "first-party", None),
            ("key", claims.key_id, None),
        ]
    assert found[0]["token"]["subject"] == found[1]["session"]["subject"] == login.username
    for handle in found[:3]:
        preview = {"kind": handle["kind"], "value": handle["value"], "reason": "x", "dry_run": True}
        assert api.post("/admin/revocations", token=admin, json=preview).status_code == 200


def test_a_token_says_what_has_become_of_it(api: Api, admin: str) -> None:
    login = api.login()
    assert kinds(search(api, admin, api.expired(login)))[0][2] == "expired"
    revocation = api.revoke(admin, kind="subject", value=login.username)

    found = search(api, admin, login.access_token)

    assert [one["state"] for one in found[:3]] == ["revoked", "revoked", "active"]
    assert [one["revocations"] for one in found[:3]] == [[], [], [revocation]]


def test_sessions_are_found_by_id_and_by_refresh_token_also_when_they_are_revoked(api: Api, admin: str) -> None:
    login = api.login()

    for text in (login.session_id, login.refresh_token):
        assert kinds(search(api, admin, text)) == [("session", login.session_id, "active")]
    revocation = api.revoke(admin, kind="session", value=login.session_id)
    (found,) = search(api, admin, login.session_id)
    assert (found["state"], found["revocations"]) == ("revoked", [revocation])


def test_users_and_clients_are_found_by_parts_of_their_names_in_any_case(fresh: Api) -> None:
    admin = fresh.admin()
    for name in ("grace", "ada", "Adam", "cascade", "a_b", "axb"):
        fresh.add_user(name)
    client, _ = fresh.service.stores.clients.create("Nightly ADA reports", scope="")

    assert [one["value"] for one in search(fresh, admin, "ada")] == ["Adam", "ada", client.client_id]
    assert [one["value"] for one in search(fresh, admin, "SCAD")] == ["cascade"]
    assert [one["value"] for one in search(fresh, admin, "a_b")] == ["a_b"]
    assert [one["value"] for one in search(fresh, admin, "%")] == []
    assert kinds(search(fresh, admin, client.client_id)) == [("client", client.client_id, "active")]
    assert kinds(search(fresh, admin, "first-party")) == [("client", "first-party", None)]


def test_three_hundred_matches_say_so_and_have_pages(fresh: Api) -> None:
    admin, users, clients = fresh.admin(), fresh.service.stores.users, fresh.service.stores.clients
    password, _ = fresh.service.stores.users._read("admin")
    assert password is not None
    with fresh.service.stores.database.session() as session:
        session.add_all(
            UserRow(
                username=f"first.{number:03}",
                password_hash=password.password_hash,
                scope="",
                disabled=False,
                created_at=password.created_at,
            )
            for number in range(290)
        )
    for number in range(10):
        clients.create(f"first {number}", scope="")
    assert users.search("first", limit=1)[0] == 290

    found, answer, pages = [], {"next_cursor": None, "total": 0}, 0
    while pages == 0 or answer["next_cursor"] is not None:
        body = {"query": "first", "cursor": answer["next_cursor"]}
        answer = fresh.post("/admin/search", token=admin, json=body).get_json()
        assert answer["total"] == 301, "the client first-party is one of them"
        found += [(one["kind"], one["value"]) for one in answer["found"]]
        pages += 1

    assert len(set(found)) == len(found) == 301
    assert pages == 16


def test_revocations_and_keys_are_found_by_their_ids(api: Api, admin: str) -> None:
    key = api.claims(admin).key_id
    assert key
    assert kinds(search(api, admin, key)) == [("key", key, None)]
    revocation = api.revoke(admin, kind="subject", value="somebody-of-old")
    (found,) = search(api, admin, revocation["id"])
    assert (found["kind"], found["value"], found["revocations"]) == ("subject", "somebody-of-old", [revocation])


def test_an_id_that_nobody_knows_may_be_that_of_a_token(api: Api, admin: str) -> None:
    for text in ("0f8fad5b-d9cb-469f-a165-70867728950e", "9" * 20 + "-0-00000000"):
        assert kinds(search(api, admin, text)) == [("token", text, None)]


def test_a_search_is_four_round_trips_at_the_most_the_strict_check_included(
    api: Api, admin: str, round_trips: RoundTrips
) -> None:
    login = api.login()
    for kind, value in (("subject", login.username), ("session", login.session_id)):
        revocation = api.revoke(admin, kind=kind, value=value)
    key = str(api.claims(admin).key_id)

    for text in (login.access_token, login.session_id, login.refresh_token, login.username, revocation["id"], key):
        assert search(api, admin, text)
        assert round_trips.of(partial(search, api, admin, text)) <= 4, text
    assert round_trips.of(lambda: search(api, admin, "nobody")) == 1


@pytest.mark.parametrize("query", ["nobody", "\x00", " ", "☂" * 30, "x" * 8000])
def test_what_is_nothing_is_not_found(api: Api, admin: str, query: str) -> None:
    assert search(api, admin, query) == []


@pytest.mark.parametrize(
    "body", [{}, {"query": ""}, {"query": "\ud800"}, {"query": "x" * 9000}, {"query": 5}, {"query": "x", "more": 1}]
)
def test_a_question_that_is_none_is_refused(api: Api, admin: str, body: dict[str, Any]) -> None:
    assert api.post("/admin/search", token=admin, json=body).status_code == 400


def test_the_revocations_of_one_handle_are_listed(api: Api, admin: str) -> None:
    first = api.revoke(admin, kind="subject", value="who")
    second = api.revoke(admin, kind="subject", value="who")
    api.revoke(admin, kind="subject", value="who else")

    listed = api.get("/admin/revocations?kind=subject&value=who", token=admin).get_json()

    assert listed == {"revocations": [second, first], "next_cursor": None}
    assert api.get("/admin/revocations?value=who", token=admin).status_code == 400
    assert api.get("/admin/revocations?kind=subject&value=", token=admin).status_code == 400


def test_a_preview_says_whether_it_includes_the_admin_who_asks(api: Api) -> None:
    me = api.login("admin", ADMIN_PASSWORD)

    def includes_me(**body: Any) -> bool:
        answer = api.post("/admin/revocations", token=me.access_token, json={"reason": "x", "dry_run": True, **body})
        yours: bool = answer.get_json()["includes_you"]
        return yours

    assert includes_me(kind="session", value=me.session_id)
    assert includes_me(kind="subject", value="admin")
    assert includes_me(kind="issuer")
    assert not includes_me(kind="issuer", issued_before=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert not includes_me(kind="session", value=api.login().session_id)
    assert not includes_me(kind="issuer", issuer="https://elsewhere.example")


# Changes


def changes(api: Api, admin: str, cursor: str | None = None) -> tuple[list[dict[str, Any]], str]:
    answer = api.get("/admin/changes", token=admin, query_string={"cursor": cursor} if cursor else {})
    assert answer.status_code == 200, answer.text
    return answer.get_json()["changes"], answer.get_json()["next_cursor"]


def test_who_watches_sees_each_change_once_and_in_order(fresh: Api) -> None:
    admin = fresh.admin()
    fresh.revoke(admin, kind="subject", value="before")
    nothing, cursor = changes(fresh, admin)
    assert nothing == []

    revocation = fresh.revoke(admin, kind="subject", value="ada")
    fresh.undo(admin, revocation)

    seen, cursor = changes(fresh, admin, cursor)
    assert [(one["undone"], one["revocation_id"], one["revocation"]) for one in seen] == [
        (False, revocation["id"], revocation),
        (True, revocation["id"], revocation),
    ]
    assert [(one["actor"], one["reason"]) for one in seen] == [("admin", "test"), ("admin", "mistake")]
    assert changes(fresh, admin, cursor) == ([], cursor)


def test_many_changes_come_in_pages(fresh: Api) -> None:
    admin = fresh.admin()
    _, cursor = changes(fresh, admin)
    for number in range(130):
        fresh.revoke(admin, kind="subject", value=f"user-{number}")

    first, cursor = changes(fresh, admin, cursor)
    second, cursor = changes(fresh, admin, cursor)

    assert [one["revocation"]["value"] for one in first + second] == [f"user-{number}" for number in range(130)]
    assert changes(fresh, admin, cursor) == ([], cursor)


@pytest.mark.parametrize("cursor", ["x", "%00", "1", "9999999999999999999999-0", "%D9%A3-0", "log:+"])
def test_a_made_up_cursor_of_changes_is_refused(api: Api, admin: str, cursor: str) -> None:
    assert api.get(f"/admin/changes?cursor={cursor}", token=admin).status_code == 400


# Health


def health(api: Api, admin: str) -> dict[str, Any]:
    answer = api.get("/admin/health", token=admin)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.get_json()
    return told


def test_a_server_that_keeps_what_it_is_told_gives_no_warning(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("valkey", "--appendonly", "yes", "--appendfsync", "always")
    settings = settings_for(server, tmp_path, REVOCATION_MAX_STALENESS="1")
    with prepared(settings) as api:
        api.service.guard.start()
        admin = api.admin()
        api.revoke(admin, kind="subject", value="ada")

        told = health(api, admin)

    assert told["warnings"] == []
    (follower,) = told["followers"]
    assert follower["caught_up"] is True
    assert 0 <= follower["age_seconds"] < 2
    assert told["redis"]["server"] == "valkey"
    assert (told["redis"]["append_only"], told["redis"]["eviction_policy"]) == (True, "noeviction")


def test_what_silently_breaks_a_denylist_is_said_with_what_to_do(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("redis")
    with prepared(settings_for(server, tmp_path)) as api:
        admin = api.admin()
        # A process looks at the policy when it starts, and refuses it then; this one is changed later.
        health(api, admin)
        # In small pieces: the buffers that one large one passes through are in use, too, for a moment.
        for number in range(200):
            server.client().set(f"filler:{number}", b"x" * 100_000)
        server.client().config_set("maxmemory", server.client().info("memory")["used_memory"] + 1_000_000)
        server.client().config_set("maxmemory-policy", "allkeys-lru")

        first = health(api, admin)["warnings"]
        again = health(api, admin)["warnings"]

    assert {each["check"]: each["since"] for each in again} == {each["check"]: each["since"] for each in first}
    assert all(each["what"] and each["why"] and each["severity"] in ("problem", "warning") for each in first)
    warnings = "\n".join(each["mend"] for each in first)
    for word in ("CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory ", "CONFIG SET appendonly yes"):
        assert word in warnings


def wait_until_open(api: Api) -> None:
    """Until Redis' clock has passed the cut-off of a new epoch, and tokens can be issued again."""
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(DenylistUnavailableError):
            api.service.stores.denylist.now_ms()
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_data_that_were_lost_are_an_alarm_until_everything_from_before_is_dead(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server("valkey")
    with prepared(settings_for(server, tmp_path)) as api:
        assert "opened anew" not in str(health(api, api.admin()))

        api.service.stores.denylist.open(new_epoch=True)
        wait_until_open(api)

        assert "opened anew" in str(health(api, api.admin())["warnings"])


def test_a_redis_user_that_may_not_ask_for_info_gets_what_there_is(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("valkey")
    with prepared(settings_for(server, tmp_path)) as api:
        admin = api.admin()
        client: Any = server.client()
        client.execute_command("ACL", "SETUSER", "default", "-info")

        told = health(api, admin)

    assert told["redis"]["version"] is None
    assert told["redis"]["round_trip_seconds"] > 0
