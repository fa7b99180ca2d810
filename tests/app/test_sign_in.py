"""Signing in, the session it begins, and the end of it: what each endpoint under /auth promises."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.database import DatabaseUnavailableError
from app.refresh_tokens import RefreshTokens
from app.stores import Stores
from revocation import Handle
from tests.app.api import ADMIN_PASSWORD, PASSWORD, Api, Login, another, prepared, settings_for
from tests.support.servers import Server

DAY_MS = 86_400_000

#: A record outlives its session by two leeways and the margin: ending the session asks it for its last access token.
KEPT_MS = 1000 * (2 * 30 + 60)


def problem(answer: TestResponse, status: int, reason: str) -> dict[str, Any]:
    """The answer, which is a problem of RFC 9457 of this status and reason."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = answer.get_json()
    assert (body["type"], body["status"], body["reason"]) == ("about:blank", status, reason)
    assert body["title"]
    return body


# Signing in


def test_login_gives_both_tokens_and_says_what_they_are(api: Api) -> None:
    name = api.add_user(scope="reports:read me")

    answer = api.post("/auth/login", json={"username": name, "password": PASSWORD})

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.mimetype == "application/json"
    body = answer.get_json()
    members = {"access_token", "refresh_token", "token_type", "expires_in", "session_id", "scope", "device_token"}
    assert body.keys() == members
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 900, "me reports:read")


def test_an_access_token_is_what_rfc_9068_asks_for(api: Api) -> None:
    name = api.add_user(scope="reports:read")
    before = api.service.stores.denylist.now_ms()
    login = api.login(name)

    claims = api.claims(login.access_token)

    assert claims.raw.keys() == {"iss", "aud", "sub", "client_id", "iat", "iat_ms", "exp", "jti", "scope", "sid"}
    assert (claims.issuer, claims.audience) == (api.settings.issuer, (api.settings.audience,))
    assert (claims.subject, claims.client_id, claims.session_id) == (name, "first-party", login.session_id)
    assert claims.scope == {"reports:read"}
    assert before <= claims.raw["iat_ms"] <= api.service.stores.denylist.now_ms()
    assert claims.judged_at_ms == claims.raw["iat_ms"]
    assert claims.issued_at == claims.raw["iat_ms"] // 1000
    assert claims.expires_at - claims.issued_at == 900
    assert isinstance(claims.raw["iat"], int)
    assert isinstance(claims.raw["exp"], int)


def test_me_says_who_the_token_speaks_for_and_what_the_check_cost(api: Api) -> None:
    login = api.login()

    answer = api.get("/api/me", token=login.access_token)

    assert answer.get_json() == {
        "sub": login.username,
        "client_id": "first-party",
        "session_id": login.session_id,
        "scope": "",
    }
    timing = answer.headers["Server-Timing"]
    assert re.fullmatch(r'verify;dur=\d+\.\d{3}, revocation;dur=\d+\.\d{3};desc="(redis|follower)"', timing)


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("admin", "wrong password"),
        ("ADMIN", ADMIN_PASSWORD),
        ("admin ", ADMIN_PASSWORD),
        ("nobody", ADMIN_PASSWORD),
        ("", ""),
        ("admin", ""),
        ("admin", ADMIN_PASSWORD + "\0"),
        ("admin\0", ADMIN_PASSWORD),
        ("first-party", ""),
        ("a" * 10_000, "b" * 10_000),
        ("' OR 1=1 --", "' OR 1=1 --"),
    ],
)
def test_whoever_cannot_prove_who_they_are_gets_one_answer(api: Api, username: str, password: str) -> None:
    refused = api.post("/auth/login", json={"username": username, "password": password}, address="192.0.2.1")

    body = problem(refused, 401, "invalid_credentials")
    assert body["detail"] == "Unknown user or wrong password."
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"username", "password"}),
        ({"username": "ada"}, {"password"}),
        ({"username": 1, "password": None}, {"username", "password"}),
        ({"username": "ada", "password": PASSWORD, "remember": True}, {"remember"}),
        ([], {"body"}),
        ("ada", {"body"}),
    ],
)
def test_a_body_of_another_form_is_told_what_is_wrong_with_it(api: Api, body: object, fields: set[str]) -> None:
    refused = problem(api.post("/auth/login", json=body), 400, "invalid")

    assert {error["field"] for error in refused["errors"]} == fields


def test_a_wrong_body_is_never_repeated(api: Api) -> None:
    for body in ('{"username": "ada", "password": "hunter2', '{"username": "ada", "password": ["hunter2"]}'):
        refused = api.post("/auth/login", data=body, content_type="application/json")
        problem(refused, 400, "invalid")
        assert "hunter2" not in refused.text


@pytest.mark.parametrize("path", ["/auth/login", "/auth/refresh"])
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "", "multipart/form-data"])
def test_only_json_is_taken(api: Api, path: str, content_type: str) -> None:
    """A form on somebody's page cannot send it, so nobody is signed in by a foreign page."""
    body = b'{"username": "admin", "password": "correct horse battery"}'

    problem(api.post(path, data=body, content_type=content_type), 415, "content_type")


def test_two_logins_are_two_sessions(api: Api) -> None:
    first = api.login()
    second = api.login(first.username)

    assert first.session_id != second.session_id
    assert api.logout(first.access_token).status_code == 200
    assert (api.me(first.access_token), api.me(second.access_token)) == (401, 200)


# Refreshing


def test_a_refresh_gives_the_next_tokens_of_the_same_session(api: Api) -> None:
    first = api.login(api.add_user(scope="me"))

    second = api.refreshed(first)

    assert second.session_id == first.session_id
    assert second.scope == "me"
    assert second.refresh_token != first.refresh_token
    assert second.access_token != first.access_token
    assert api.me(second.access_token) == 200
    assert api.me(first.access_token) == 200, "it is not revoked, only followed"


def test_within_the_grace_period_the_same_successor_comes_again(api: Api) -> None:
    """Two tabs, or a retry after a lost answer."""
    first = api.login()
    second = api.refreshed(first)

    again = api.refreshed(first)

    assert again.refresh_token == second.refresh_token
    assert api.me(again.access_token) == 200
    assert api.refreshed(second).refresh_token not in (first.refresh_token, second.refresh_token)


def test_after_the_grace_period_a_used_token_ends_the_session_and_its_access_tokens(api: Api) -> None:
    first = api.login()
    second = api.refreshed(first)
    api.let_grace_pass(first)

    problem(api.refresh(first.refresh_token), 401, "invalid_refresh_token")

    assert api.me(first.access_token) == 401
    assert api.me(second.access_token) == 401
    problem(api.refresh(second.refresh_token), 401, "invalid_refresh_token")


def test_a_token_that_was_never_handed_out_is_reuse(api: Api) -> None:
    """Who holds one has the secret, or this Redis is an older one."""
    login = api.login()
    secret = Stores.of(api.settings).keyring.refresh_secret()
    beyond = RefreshTokens(secret).token(login.session_id, 2)

    assert api.refresh(beyond).status_code == 401

    assert api.me(login.access_token) == 401
    assert api.refresh(login.refresh_token).status_code == 401


def test_reuse_is_audited_and_touches_no_other_session(api: Api) -> None:
    first = api.login()
    other = api.login(first.username)
    third = api.refreshed(api.refreshed(first))
    api.let_grace_pass(first)

    api.refresh(first.refresh_token, address="198.51.100.7")

    assert api.me(third.access_token) == 401
    assert api.me(other.access_token) == 200
    (audited,) = [one for one in api.audited(api.admin()) if one["target"] == first.session_id]
    assert (audited["action"], audited["actor"]) == ("session.reuse", first.username)
    assert (audited["reason"], audited["address"]) == ("refresh token used twice", "198.51.100.7")
    assert audited["revocation_id"]


@pytest.mark.parametrize("forge", ["another session", "another number", "leading zero", "cut", "padded", "upper case"])
def test_a_forged_refresh_token_gives_nothing_and_ends_nothing(api: Api, forge: str) -> None:
    login = api.login()
    session_id, n, mac = login.refresh_token.split(".")
    forged = {
        "another session": f"{api.login().session_id}.{n}.{mac}",
        "another number": f"{session_id}.2.{mac}",
        "leading zero": f"{session_id}.01.{mac}",
        "cut": login.refresh_token[:-1],
        "padded": login.refresh_token + "=",
        "upper case": login.refresh_token.swapcase(),
    }[forge]

    problem(api.refresh(forged), 401, "invalid_refresh_token")

    assert api.refresh(login.refresh_token).status_code == 200


def test_a_session_ends_when_it_is_idle(api: Api) -> None:
    login = api.login()
    client: Any = api.service.stores.denylist.link.client
    assert 0 <= 14 * DAY_MS + KEPT_MS - client.pttl(api.record(login)) < 60_000

    api.let_pass(login, 14 * 86_400 - 60)
    assert client.pttl(api.record(login)) <= 60_000 + KEPT_MS
    login = api.refreshed(login)
    assert 0 <= 14 * DAY_MS + KEPT_MS - client.pttl(api.record(login)) < 60_000

    api.let_pass(login, 14 * 86_400)
    assert client.exists(api.record(login)) == 1
    assert api.refresh(login.refresh_token).status_code == 401


def test_a_session_whose_record_has_expired_gives_nothing(api: Api) -> None:
    login = api.login()
    client: Any = api.service.stores.denylist.link.client
    client.pexpire(api.record(login), 1)
    deadline = time.monotonic() + 60
    while client.exists(api.record(login)):
        assert time.monotonic() < deadline
    assert api.refresh(login.refresh_token).status_code == 401


def grow_busily(api: Api, login: Login, *, days: int) -> Login:
    """A session that is so many days old and was never idle."""
    for _ in range(days // 10):
        api.let_pass(login, 10 * 86_400)
        login = api.refreshed(login)
    api.let_pass(login, days % 10 * 86_400)
    return login


def test_a_session_ends_at_its_absolute_life_however_busy_it_is(api: Api) -> None:
    login = grow_busily(api, api.login(), days=29)
    client: Any = api.service.stores.denylist.link.client

    login = api.refreshed(login)
    assert 0 <= DAY_MS + KEPT_MS - client.pttl(api.record(login)) < 60_000

    api.let_pass(login, 86_400)
    assert client.exists(api.record(login)) == 1
    assert api.refresh(login.refresh_token).status_code == 401


def test_a_shorter_absolute_life_counts_for_sessions_that_began_before_it(api: Api) -> None:
    """Entries of the deny-list live as long as sessions do by today's settings; no session may outlive them."""
    old, young = api.login(), api.login()
    api.let_pass(old, 7200)

    with another(api.settings, session_ttl_seconds=3600, refresh_ttl_seconds=3600) as shorter:
        assert shorter.refresh(old.refresh_token).status_code == 401
        assert shorter.refresh(young.refresh_token).status_code == 200
        client: Any = api.service.stores.denylist.link.client
        assert client.pttl(api.record(young)) <= 3600_000 + KEPT_MS


def test_a_session_that_is_over_by_a_shorter_absolute_life_is_shown_nowhere_as_alive(api: Api) -> None:
    old = api.login()
    machine = api.machine()
    api.let_pass(old, 7200)

    with another(api.settings, session_ttl_seconds=3600, refresh_ttl_seconds=3600) as shorter:
        asked = shorter.post("/oauth/introspect", data={"token": old.refresh_token}, headers=machine.basic)
        assert asked.get_json() == {"active": False}
        young = shorter.login(old.username)
        listed = shorter.get("/auth/sessions", token=young.access_token).get_json()["sessions"]
        assert [one["session_id"] for one in listed] == [young.session_id]


def test_a_longer_absolute_life_does_not_prolong_what_began_before_it(valkey: Server, tmp_path: Path) -> None:
    sixty_days = settings_for(valkey, tmp_path, APP_SESSION_TTL=str(60 * 86_400))
    with prepared(sixty_days) as longer, another(sixty_days, session_ttl_seconds=30 * 86_400) as shorter:
        old, young = shorter.login(), longer.login()
        old, young = grow_busily(shorter, old, days=20), grow_busily(longer, young, days=20)
        for login in (old, young):
            longer.let_pass(login, 11 * 86_400)

        assert longer.refresh(old.refresh_token).status_code == 401
        assert longer.refresh(young.refresh_token).status_code == 200


def test_a_process_whose_sessions_live_longer_than_entries_gives_no_tokens(api: Api) -> None:
    login = api.login()

    with another(api.settings, session_ttl_seconds=90 * 86_400) as longer:
        problem(longer.refresh(login.refresh_token), 503, "denylist_unavailable")
        asked = {"username": login.username, "password": PASSWORD}
        problem(longer.post("/auth/login", json=asked), 503, "denylist_unavailable")

    assert api.refresh(login.refresh_token).status_code == 200


def test_a_disabled_user_gets_no_next_tokens_though_nobody_revoked_anything(api: Api) -> None:
    """Disabling goes before its revocation: there is no moment in which the one has happened and nothing holds."""
    login = api.login()
    api.service.stores.users.change(login.username, disabled=True)

    assert api.refresh(login.refresh_token).status_code == 401


# Signing out


def test_logout_by_the_access_token_ends_access_and_refresh(api: Api) -> None:
    first = api.login()
    second = api.refreshed(first)

    answer = api.logout(second.access_token)

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    receipt = answer.get_json()["receipt"]
    assert receipt["enforced"] is True
    assert receipt["followers"].keys() == {"confirmed", "total"}
    assert receipt["elapsed_seconds"] >= 0
    for token in (first.access_token, second.access_token):
        refused = api.get("/api/me", token=token)
        problem(refused, 401, "revoked")
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    for token in (first.refresh_token, second.refresh_token):
        assert api.refresh(token).status_code == 401


def test_logout_by_an_expired_access_token_still_ends_the_session(api: Api) -> None:
    login = api.login()
    expired = api.expired(login)
    problem(api.get("/api/me", token=expired), 401, "expired")

    assert api.logout(expired).status_code == 200

    assert api.me(login.access_token) == 401
    assert api.refresh(login.refresh_token).status_code == 401


@pytest.mark.parametrize("which", ["new", "used"])
def test_logout_by_a_refresh_token_old_or_new_ends_access_and_refresh(api: Api, which: str) -> None:
    first = api.login()
    second = api.refreshed(first)

    assert api.logout(refresh_token={"new": second, "used": first}[which].refresh_token).status_code == 200

    assert api.me(second.access_token) == 401
    assert api.refresh(second.refresh_token).status_code == 401


def test_logout_twice_is_no_error(api: Api) -> None:
    login = api.login()

    for _ in range(2):
        assert api.logout(login.access_token).status_code == 200
        assert api.logout(refresh_token=login.refresh_token).status_code == 200

    assert api.me(login.access_token) == 401


def test_logout_with_the_tokens_of_two_sessions_ends_both(api: Api) -> None:
    first = api.login()
    second = api.login(first.username)

    assert api.logout(first.access_token, refresh_token=second.refresh_token).status_code == 200

    assert (api.me(first.access_token), api.me(second.access_token)) == (401, 401)
    assert api.refresh(second.refresh_token).status_code == 401


def test_logout_without_a_token_is_a_challenge(api: Api) -> None:
    refused = api.logout()

    problem(refused, 401, "missing_token")
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("body", [b"{}", b'{"refresh_token": null}'])
def test_logout_with_an_empty_body_takes_the_access_token(api: Api, body: bytes) -> None:
    login = api.login()

    answer = api.post("/auth/logout", token=login.access_token, data=body, content_type="application/json")

    assert answer.status_code == 200
    assert api.me(login.access_token) == 401


def test_logout_by_what_is_no_token_of_ours_ends_nothing(api: Api) -> None:
    login = api.login()

    problem(api.logout(refresh_token=login.access_token), 401, "invalid_refresh_token")
    problem(api.logout(login.refresh_token), 401, "malformed")
    problem(api.logout("nonsense", refresh_token=login.refresh_token), 401, "malformed")

    assert api.me(login.access_token) == 200


def test_logout_of_a_machine_ends_its_token(api: Api) -> None:
    machine = api.machine()
    token, other = api.machine_token(machine), api.machine_token(machine)

    assert api.logout(token).status_code == 200

    assert (api.me(token), api.me(other)) == (401, 200)


def test_logout_is_audited_with_who_and_from_where(api: Api) -> None:
    login = api.login()
    api.post("/auth/logout", token=login.access_token, address="203.0.113.9")

    newest = api.audited(api.admin())[0]

    assert (newest["actor"], newest["action"], newest["target"]) == (
        login.username,
        "session.logout",
        login.session_id,
    )
    assert (newest["reason"], newest["address"]) == ("logged out", "203.0.113.9")


def test_logout_everywhere_ends_every_session_and_the_next_sign_in_works(api: Api) -> None:
    first = api.login()
    second = api.login(first.username)

    assert api.post("/auth/logout-all", token=first.access_token).status_code == 200
    third = api.login(first.username)

    assert [api.me(login.access_token) for login in (first, second, third)] == [401, 401, 200]
    assert [api.refresh(login.refresh_token).status_code for login in (first, second, third)] == [401, 401, 200]


def test_what_was_issued_before_a_revocation_dies_and_what_comes_a_millisecond_later_lives(api: Api) -> None:
    """A thousand times in the millisecond of the revocation, on Redis' clock."""
    denylist, name = api.service.stores.denylist, "somebody-quick"
    subject = Handle("subject", name, issuer=api.settings.issuer)
    survived, refused = 0, 0
    for _ in range(1000):
        older = api.claims(api.mint(name))
        receipt = denylist.revoke(subject)
        assert receipt.revocation is not None
        cutoff = receipt.revocation.issued_before_ms
        assert cutoff is not None
        # What is minted in the very millisecond of the revocation is taken for older: so wait for that one to pass.
        while denylist.now_ms() < cutoff:
            pass
        newer = api.claims(api.mint(name))
        survived += denylist.latest_cutoff(older.handles) <= older.judged_at_ms
        refused += denylist.latest_cutoff(newer.handles) > newer.judged_at_ms

    assert (survived, refused) == (0, 0)


# One's own sessions


def test_sessions_are_listed_with_what_tells_them_apart(api: Api) -> None:
    name = api.add_user()
    first = api.login(name, address="192.0.2.7", headers={"User-Agent": "Browser/1 \xe9" + "x" * 500})
    second = api.login(name)
    api.refresh(first.refresh_token, address="192.0.2.8", headers={"User-Agent": "Browser/2"})

    listed = api.get("/auth/sessions", token=second.access_token).get_json()["sessions"]

    assert [one["session_id"] for one in listed] == [first.session_id, second.session_id], "the last used first"
    instant = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    for one in listed:
        assert one.keys() == {
            *("session_id", "client_id", "created_at", "last_used_at", "expires_at", "ip", "user_agent", "current")
        }
        assert one["client_id"] == "first-party"
        assert all(re.fullmatch(instant, one[name]) for name in ("created_at", "last_used_at", "expires_at"))
    assert (listed[0]["ip"], listed[0]["user_agent"]) == ("192.0.2.8", "Browser/2")
    assert (listed[0]["current"], listed[1]["current"]) == (False, True)
    assert listed[0]["last_used_at"] > listed[0]["created_at"]


def test_a_user_agent_is_kept_to_a_bound(api: Api) -> None:
    login = api.login(headers={"User-Agent": "\xe9" * 5000})

    (listed,) = api.get("/auth/sessions", token=login.access_token).get_json()["sessions"]

    assert listed["user_agent"] == "\xe9" * 256


def test_ending_one_session_leaves_the_others(api: Api) -> None:
    first = api.login()
    second = api.login(first.username)

    assert api.delete(f"/auth/sessions/{first.session_id}", token=second.access_token).status_code == 200

    assert (api.me(first.access_token), api.me(second.access_token)) == (401, 200)
    assert api.refresh(first.refresh_token).status_code == 401
    listed = api.get("/auth/sessions", token=second.access_token).get_json()["sessions"]
    assert [one["session_id"] for one in listed] == [second.session_id]
    gone = api.delete(f"/auth/sessions/{first.session_id}", token=second.access_token)
    problem(gone, 404, "unknown_session")


def test_revoked_sessions_are_not_listed(api: Api) -> None:
    first = api.login()
    assert api.post("/auth/logout-all", token=first.access_token).status_code == 200
    second = api.login(first.username)

    listed = api.get("/auth/sessions", token=second.access_token).get_json()["sessions"]

    assert [one["session_id"] for one in listed] == [second.session_id]


def test_an_expired_token_ends_no_session_but_its_own(api: Api) -> None:
    login = api.login()
    other = api.login(login.username)
    expired = api.expired(login)

    problem(api.delete(f"/auth/sessions/{other.session_id}", token=expired), 401, "expired")
    problem(api.post("/auth/logout-all", token=expired), 401, "expired")

    assert api.me(other.access_token) == 200


def test_a_refresh_without_a_database_uses_nothing_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    login = api.login()

    def away(_username: str) -> None:
        raise DatabaseUnavailableError("not there")

    with monkeypatch.context() as without:
        without.setattr(api.service.stores.users, "get", away)
        problem(api.refresh(login.refresh_token), 503, "unavailable")
    api.let_pass(login, api.settings.refresh_grace_seconds + 5)

    assert api.refresh(login.refresh_token).status_code == 200
    assert api.me(login.access_token) == 200


def test_no_access_token_outlives_its_session(api: Api) -> None:
    with another(api.settings, refresh_ttl_seconds=30) as short:
        login = short.login()
        claims = short.claims(login.access_token)
        assert claims.expires_at - claims.issued_at <= 30 < api.settings.access_ttl_seconds

        refreshed = short.claims(short.refreshed(login).access_token)
        assert refreshed.expires_at - refreshed.issued_at <= 30


def test_the_deny_list_keeps_what_it_must_for_as_long_as_access_tokens_live_and_no_longer(api: Api) -> None:
    """A million logouts a day are then some megabytes, not half a gigabyte."""
    denylist = api.service.stores.denylist
    login = api.login()
    assert api.logout(login.access_token).status_code == 200

    assert denylist.head().settings.max_token_seconds == api.settings.access_ttl_seconds == 900
    entry = denylist.key(Handle("session", login.session_id, issuer=api.settings.issuer).name)
    client: Any = denylist.link.client
    assert 0 < client.pttl(entry) <= 1000 * (900 + 30 + 60)
    assert denylist.head().settings.horizon_ms == 1000 * (900 + 2 * 30 + 2 * 60)


def test_a_shorter_access_life_leaves_older_tokens_what_they_are(api: Api) -> None:
    login = api.login()

    with another(api.settings, access_ttl_seconds=60) as shorter:
        assert shorter.me(login.access_token) == 200
        short = shorter.claims(shorter.refreshed(login).access_token)
        assert short.expires_at - short.issued_at == 60
        assert shorter.logout(login.access_token).status_code == 200
        assert shorter.me(login.access_token) == 401


def test_one_may_end_the_session_one_is_in_after_its_record_is_gone(api: Api) -> None:
    login = api.login()
    client: Any = api.service.stores.denylist.link.client
    client.delete(api.record(login))

    answer = api.delete(f"/auth/sessions/{login.session_id}", token=login.access_token)

    assert answer.status_code == 200
    assert api.me(login.access_token) == 401


def test_nothing_that_ends_or_refreshes_waits_for_a_database_that_is_away(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, login, other, third = api.admin(), api.login(), api.login(), api.login()

    def away(*_: object) -> None:
        raise AssertionError("this asked the database")

    monkeypatch.setattr(api.service.stores.database, "_transaction", away)
    assert api.logout(login.access_token).status_code == 200
    assert api.me(login.access_token) == 401
    assert api.post("/auth/logout-all", token=other.access_token).status_code == 200
    assert api.delete(f"/auth/sessions/{third.session_id}", token=third.access_token).status_code == 200
    api.undo(admin, api.revoke(admin, kind="session", value="s-1"))
