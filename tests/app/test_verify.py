"""Forward authentication: what a proxy is told."""

import io

import pytest

from tests.app.api import Api, Login


@pytest.fixture
def login(api: Api) -> Login:
    return api.login(api.add_user(scope="reports:read me"))


def test_the_proxy_is_told_who_it_is(api: Api, login: Login) -> None:
    answer = api.get("/verify", token=login.access_token)

    assert (answer.status_code, answer.data) == (200, b"")
    told = {name: value for name, value in answer.headers.items() if name.startswith("X-Auth-")}
    assert told == {
        "X-Auth-Subject": login.username,
        "X-Auth-Client": "first-party",
        "X-Auth-Scope": "me reports:read",
        "X-Auth-Session": login.session_id,
    }
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Server-Timing" in answer.headers


def test_a_machine_has_no_session_and_says_so_itself(api: Api) -> None:
    """Headers that are left out or empty could be the client's own, passed on."""
    answer = api.get("/verify", token=api.machine_token(api.machine()), headers={"X-Auth-Session": "made-up"})

    assert answer.headers["X-Auth-Session"] == "-"
    assert answer.headers["X-Auth-Scope"] == "-"


def test_the_proxy_may_ask_for_a_scope(api: Api, login: Login) -> None:
    assert api.get("/verify?scope=reports:read", token=login.access_token).status_code == 200
    assert api.get("/verify?scope=reports:read%20me", token=login.access_token).status_code == 200

    refused = api.get("/verify?scope=reports:read%20revocation:admin", token=login.access_token)
    assert refused.status_code == 403
    challenge = refused.headers["WWW-Authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="reports:read revocation:admin"' in challenge


@pytest.mark.parametrize("bound", ["0", "0.5", "60", "inf", "1e3"])
def test_the_proxy_may_set_the_dial(api: Api, login: Login, bound: str) -> None:
    assert api.get(f"/verify?max_staleness={bound}", token=login.access_token).status_code == 200
    assert api.logout(login.access_token).status_code == 200

    after = api.get(f"/verify?max_staleness={bound}", token=login.access_token)

    if bound == "inf":
        assert after.status_code == 200, "stateless is what was asked for"
        assert 'desc="none"' in after.headers["Server-Timing"]
    elif bound == "0":
        assert after.status_code == 401


@pytest.mark.parametrize("bound", ["", "-1", "nan", "-inf", "soon", "0x10", "1;2"])
def test_what_is_no_dial_is_refused_and_lets_nobody_in(api: Api, login: Login, bound: str) -> None:
    refused = api.get("/verify", query_string={"max_staleness": bound}, token=login.access_token)

    assert refused.status_code == 400
    assert refused.mimetype == "application/problem+json"


@pytest.mark.parametrize("path", ["/verify/", "/verify/guarded", "/verify/guarded/a%2Fb/../c;d", "/verify/verify"])
def test_a_path_behind_it_is_not_judged(api: Api, login: Login, path: str) -> None:
    assert api.ask("POST", path, token=login.access_token, data=b"whatever").status_code == 200
    assert api.ask("POST", path, data=b"whatever").status_code == 401


def test_behind_a_path_the_query_is_the_clients_and_sets_nothing(api: Api, login: Login) -> None:
    """Otherwise whoever holds a revoked token would ask for a check that nobody is asked in."""
    assert api.get("/verify/page?scope=none:such&max_staleness=soon", token=login.access_token).status_code == 200
    assert api.logout(login.access_token).status_code == 200

    for path in ("/verify/page", "/verify/"):
        assert api.get(f"{path}?max_staleness=inf", token=login.access_token).status_code == 401


def test_what_is_refused_carries_its_challenge(api: Api, login: Login) -> None:
    nobody = api.get("/verify")
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, 'Bearer realm="api"')

    api.logout(login.access_token)
    revoked = api.get("/verify?max_staleness=0", token=login.access_token)
    assert revoked.status_code == 401
    assert 'error="invalid_token"' in revoked.headers["WWW-Authenticate"]
    assert not [name for name, _ in revoked.headers.items() if name.startswith("X-Auth-")]


def test_a_second_token_in_the_query_is_refused(api: Api, login: Login) -> None:
    refused = api.get(f"/verify/page?access_token={login.access_token}", token=login.access_token)

    assert refused.status_code == 400
    assert 'error="invalid_request"' in refused.headers["WWW-Authenticate"]
    assert api.get(f"/verify/page?access_token={login.access_token}").status_code == 401
    # Where the query is the proxy's own, it is no parameter at all.
    assert api.get(f"/verify?access_token={login.access_token}", token=login.access_token).status_code == 400


@pytest.mark.parametrize("method", ["PROPFIND", "MKCOL", "REPORT", "PURGE", "M-SEARCH", "CONNECT", "QUERY"])
@pytest.mark.parametrize("path", ["/verify", "/verify/", "/verify/calendars/ada"])
def test_any_method_may_be_asked_about(api: Api, login: Login, method: str, path: str) -> None:
    assert api.ask(method, path, token=login.access_token).status_code == 200
    assert api.ask(method, path).status_code == 401


def test_a_method_in_the_name_of_another_counts_for_nothing_outside_of_it(api: Api, login: Login) -> None:
    for path in ("/verified", "/api/me/verify", "//verify"):
        assert api.ask("PROPFIND", path, token=login.access_token).status_code in (404, 405)


@pytest.mark.parametrize("path", ["/verify", "/verify/socket"])
def test_a_websocket_handshake_may_be_asked_about(api: Api, login: Login, path: str) -> None:
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    allowed = api.get(path, token=login.access_token, headers=handshake)
    assert (allowed.status_code, allowed.headers["X-Auth-Subject"]) == (200, login.username)
    assert api.get(path, headers=handshake).status_code == 401


class Untouched(io.RawIOBase):
    """A body that must not be read."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: object) -> int:
        raise AssertionError("the body was read")


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"]
)
@pytest.mark.parametrize("path", ["/verify", "/verify/upload"])
def test_a_body_of_any_size_stays_unread(api: Api, login: Login, path: str, content_type: str) -> None:
    for length in ("10", "5000000000"):
        answer = api.post(
            path,
            token=login.access_token,
            environ={"wsgi.input": Untouched(), "CONTENT_LENGTH": length, "CONTENT_TYPE": content_type},
        )
        assert (answer.status_code, answer.headers["X-Auth-Subject"]) == (200, login.username)


PREFLIGHT = {"Origin": "https://app.example", "Access-Control-Request-Method": "DELETE"}
NOBODY = {f"X-Auth-{name}": "-" for name in ("Subject", "Client", "Scope", "Session")}


@pytest.mark.parametrize("path", ["/verify", "/verify?scope=reports:read", "/verify/orders/7"])
def test_a_preflight_passes_without_a_token_and_is_nobodys(api: Api, login: Login, path: str) -> None:
    revoked = api.login(login.username)
    api.logout(revoked.access_token)
    for token in (None, login.access_token, revoked.access_token):
        answer = api.ask("OPTIONS", path, headers=PREFLIGHT, token=token)
        assert answer.status_code == 200
        assert {name: answer.headers[name] for name in NOBODY} == NOBODY


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("OPTIONS", {}),
        ("OPTIONS", {"Origin": "https://app.example"}),
        ("OPTIONS", {"Access-Control-Request-Method": "GET"}),
        ("GET", PREFLIGHT),
        ("POST", PREFLIGHT),
        ("DELETE", {**PREFLIGHT, "X-HTTP-Method-Override": "OPTIONS"}),
        # Some proxies send GET with the method in a header, and others pass such a header of the client's on.
        ("GET", {**PREFLIGHT, "X-Forwarded-Method": "OPTIONS", "X-Original-Method": "OPTIONS"}),
    ],
)
def test_what_only_looks_like_a_preflight_needs_a_token(api: Api, method: str, headers: dict[str, str]) -> None:
    for path in ("/verify", "/verify/orders/7"):
        assert api.ask(method, path, headers=headers).status_code == 401
