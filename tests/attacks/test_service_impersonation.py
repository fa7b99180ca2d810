"""Impersonation: other people's ids, other kinds of token, other services' tokens, made-up addresses, foreign pages."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from revocation import Key, KeySet, TokenIssuer
from tests.app.api import PASSWORD, Api, Login, prepared, settings_for
from tests.support.servers import Server


@pytest.fixture(scope="module")
def api(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with prepared(settings_for(valkey, tmp_path_factory.mktemp("service"))) as api:
        yield api


@pytest.fixture
def login(api: Api) -> Login:
    return api.login(api.add_user(scope="reports:read"))


# Other people's ids


def test_knowing_the_id_of_a_session_is_not_owning_it(api: Api, login: Login) -> None:
    thief = api.login()
    sid = login.session_id

    assert api.delete(f"/auth/sessions/{sid}", token=thief.access_token).status_code == 404
    assert api.post("/auth/logout", json={"refresh_token": f"{sid}.1.{'A' * 43}"}).status_code == 401
    assert api.refresh(f"{sid}.1.{'A' * 43}").status_code == 401
    assert api.get(f"/auth/sessions?subject={login.username}", token=thief.access_token).status_code == 400

    assert api.me(login.access_token) == 200
    assert api.refresh(login.refresh_token).status_code == 200


def test_knowing_the_id_of_a_revocation_is_not_being_an_admin(api: Api, login: Login) -> None:
    revocation = api.revoke(api.admin(), kind="session", value=login.session_id)
    thief = api.login().access_token

    for method in ("GET", "DELETE"):
        assert api.ask(method, f"/admin/revocations/{revocation['id']}", token=thief).status_code == 403
    assert api.me(login.access_token) == 401


def test_a_user_cannot_give_themselves_a_scope(api: Api, login: Login) -> None:
    wanted = "reports:read revocation:admin"
    form = {"grant_type": "refresh_token", "client_id": "first-party", "refresh_token": login.refresh_token}

    assert api.post("/oauth/token", data={**form, "scope": wanted}).status_code == 400
    assert api.post("/auth/refresh", json={"refresh_token": login.refresh_token, "scope": wanted}).status_code == 400
    body = {"username": login.username, "password": PASSWORD, "scope": wanted}
    assert api.post("/auth/login", json=body).status_code == 400
    changed = api.patch(f"/admin/users/{login.username}", token=login.access_token, json={"scope": wanted})
    assert changed.status_code == 403


# Other kinds of token


def test_a_refresh_token_is_no_access_token_and_an_access_token_is_no_refresh_token(api: Api, login: Login) -> None:
    assert api.me(login.refresh_token) == 401
    assert api.get("/verify", token=login.refresh_token).status_code == 401
    assert api.refresh(login.access_token).status_code == 401
    form = {"grant_type": "refresh_token", "client_id": "first-party", "refresh_token": login.access_token}
    assert api.post("/oauth/token", data=form).get_json()["error"] == "invalid_grant"

    assert api.me(login.access_token) == 200
    assert api.refresh(login.refresh_token).status_code == 200


@pytest.mark.parametrize("type_", ["JWT", "logout+jwt", "secevent+jwt", "dpop+jwt", "id+jwt", "rt+jwt", "", None, 5])
def test_a_token_of_our_own_key_that_is_of_another_kind_is_refused(api: Api, login: Login, type_: Any) -> None:
    key = api.service.keys.key_set().signing_key()
    claims = dict(api.claims(login.access_token).raw)
    header = {"kid": key.id, "typ": type_}

    token = jwt.PyJWS().encode(json.dumps(claims).encode(), key.signing, algorithm=key.algorithm, headers=header)

    answer = api.get("/api/me", token=token)
    assert (answer.status_code, answer.get_json()["reason"]) == (401, "type")


@pytest.mark.parametrize("foreign", ["key", "issuer", "audience"])
def test_a_token_of_another_service_is_refused_everywhere(api: Api, foreign: str) -> None:
    settings = api.settings
    keys: Any = KeySet([Key.from_secret(secrets.token_bytes(32))]) if foreign == "key" else api.service.keys
    elsewhere = "https://elsewhere.example"
    issuer = TokenIssuer(
        keys,
        issuer=elsewhere if foreign == "issuer" else settings.issuer,
        audience=elsewhere if foreign == "audience" else settings.audience,
    )
    token = api.mint("admin", issuer=issuer, scope="revocation:admin reports:read")
    machine = api.machine()

    for path in ("/api/me", "/api/reports", "/verify", "/verify?max_staleness=inf", "/admin/audit", "/auth/sessions"):
        assert api.get(path, token=token).status_code == 401
    assert api.logout(token).status_code == 401
    asked = api.post("/oauth/introspect", data={"token": token}, headers=machine.basic)
    assert asked.get_json() == {"active": False}
    leaked = api.post("/admin/revocations", token=api.admin(), json={"token": token, "reason": "leaked"})
    assert leaked.status_code == 400


# Made-up addresses


def audited_address(api: Api, headers: dict[str, str], *, address: str) -> str:
    login = api.login()
    api.post("/auth/logout", token=login.access_token, headers=headers, address=address)
    found: str = next(one["address"] for one in api.audited(api.admin()) if one["target"] == login.session_id)
    return found


FORGED = {
    "X-Forwarded-For": "203.0.113.66",
    "X-Real-IP": "203.0.113.66",
    "Forwarded": "for=203.0.113.66",
    "X-Client-IP": "203.0.113.66",
    "True-Client-IP": "203.0.113.66",
    "CF-Connecting-IP": "203.0.113.66",
}


def test_without_a_proxy_no_header_says_where_a_request_comes_from(api: Api) -> None:
    assert audited_address(api, FORGED, address="192.0.2.1") == "192.0.2.1"
    login = api.login(headers=FORGED, address="192.0.2.1")
    (session,) = api.get("/auth/sessions", token=login.access_token).get_json()["sessions"]
    assert session["ip"] == "192.0.2.1"


@pytest.mark.parametrize(
    ("forwarded", "believed"),
    [
        ("198.51.100.7", "198.51.100.7"),
        # What the client itself wrote stands to the left of what the proxy appended.
        ("203.0.113.66, 198.51.100.7", "198.51.100.7"),
        ("203.0.113.66,203.0.113.67,  198.51.100.7", "198.51.100.7"),
    ],
)
def test_behind_one_proxy_only_its_word_counts(valkey: Server, tmp_path: Path, forwarded: str, believed: str) -> None:
    with prepared(settings_for(valkey, tmp_path, APP_TRUSTED_PROXIES="1")) as behind:
        headers = {**FORGED, "X-Forwarded-For": forwarded}
        assert audited_address(behind, headers, address="10.0.0.1") == believed
        assert audited_address(behind, {"X-Real-IP": "203.0.113.66"}, address="10.0.0.1") == "10.0.0.1"


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_a_made_up_address_does_not_get_around_the_limit_of_guesses(
    valkey: Server, tmp_path: Path, proxies: str
) -> None:
    with prepared(settings_for(valkey, tmp_path, APP_TRUSTED_PROXIES=proxies, APP_GUESSES_ADDRESS="20")) as api:
        statuses = []
        for number in range(25):
            made_up = f"203.0.113.{number}"
            forwarded = made_up if proxies == "0" else f"{made_up}, 198.51.100.7"
            wrong = {"username": f"user{number}", "password": "a password of many"}
            headers = {"X-Forwarded-For": forwarded}
            statuses.append(api.post("/auth/login", json=wrong, headers=headers, address="192.0.2.1").status_code)

        assert statuses == [401] * 20 + [429] * 5


def test_a_made_up_host_changes_nothing_that_is_published(valkey: Server, tmp_path: Path) -> None:
    with prepared(settings_for(valkey, tmp_path, APP_TRUSTED_PROXIES="1")) as api:
        headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
        for path in ("/.well-known/oauth-authorization-server", "/.well-known/jwks.json", "/api/me", "/nowhere"):
            answer = api.get(path, headers=headers)
            assert "evil.example" not in answer.text + str(answer.headers)
            assert "gopher" not in answer.text + str(answer.headers)
        assert api.claims(api.login(headers=headers).access_token).issuer == api.settings.issuer


# Foreign pages


def test_a_foreign_page_cannot_act_for_whoever_looks_at_it(api: Api, login: Login) -> None:
    """A browser adds nothing of its own accord: there are no cookies, and a token must be put into a header."""
    origin = {"Origin": "https://evil.example", "Cookie": f"token={login.access_token}; access_token=x"}

    for method, path in (("POST", "/auth/logout"), ("POST", "/auth/logout-all"), ("GET", "/api/me")):
        answer = api.ask(method, path, headers=origin)
        assert answer.status_code == 401
        assert "Set-Cookie" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers
    form = {"username": login.username, "password": PASSWORD}
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
        answer = api.post("/auth/login", data=form, headers=origin, content_type=content_type)
        assert answer.status_code == 415

    assert api.me(login.access_token) == 200


@pytest.mark.parametrize("path", ["/auth/login", "/auth/refresh", "/api/me", "/admin/revocations", "/oauth/token"])
def test_a_foreign_page_is_not_allowed_to_ask_or_to_read(api: Api, login: Login, path: str) -> None:
    preflight = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }

    for answer in (
        api.ask("OPTIONS", path, headers=preflight),
        api.post(path, token=login.access_token, headers=preflight, json={}),
    ):
        assert not [name for name, _ in answer.headers.items() if name.startswith("Access-Control-")]


def test_a_token_in_the_query_opens_nothing(api: Api, login: Login) -> None:
    """What stands in a URL stands in logs, in histories and in the Referer."""
    for name in ("access_token", "token", "bearer", "jwt"):
        assert api.get(f"/api/me?{name}={login.access_token}").status_code == 401
    assert api.post("/auth/logout-all", data={"access_token": login.access_token}).status_code == 401
    for place in ("query_string", "data"):
        twice: dict[str, Any] = {place: {"access_token": "x"}}
        refused = api.post("/auth/logout-all", token=login.access_token, **twice)
        assert refused.status_code == 400
        assert 'error="invalid_request"' in refused.headers["WWW-Authenticate"]

    assert api.me(login.access_token) == 200
