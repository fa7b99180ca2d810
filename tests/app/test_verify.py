"""Forward authentication: what a proxy is told."""

import pytest

from tests.app.api import Api, Login


@pytest.fixture
def login(api: Api) -> Login:
    return api.login(api.add_user(scope="reports:read me"))


def test_the_proxy_is_told_who_it_is(api: Api, login: Login) -> None:
    answer = api.get("/verify", token=login.access_token)

    assert (answer.status_code, answer.data) == (204, b"")
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
    """Headers that are left out could be the client's own, passed on."""
    answer = api.get("/verify", token=api.machine_token(api.machine()), headers={"X-Auth-Session": "made-up"})

    assert answer.headers["X-Auth-Session"] == ""


def test_the_proxy_may_ask_for_a_scope(api: Api, login: Login) -> None:
    assert api.get("/verify?scope=reports:read", token=login.access_token).status_code == 204
    assert api.get("/verify?scope=reports:read%20me", token=login.access_token).status_code == 204

    refused = api.get("/verify?scope=reports:read%20revocation:admin", token=login.access_token)
    assert refused.status_code == 403
    challenge = refused.headers["WWW-Authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="reports:read revocation:admin"' in challenge


@pytest.mark.parametrize("bound", ["0", "0.5", "60", "inf", "1e3"])
def test_the_proxy_may_set_the_dial(api: Api, login: Login, bound: str) -> None:
    assert api.get(f"/verify?max_staleness={bound}", token=login.access_token).status_code == 204
    assert api.logout(login.access_token).status_code == 200

    after = api.get(f"/verify?max_staleness={bound}", token=login.access_token)

    if bound == "inf":
        assert after.status_code == 204, "stateless is what was asked for"
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
    assert api.ask("POST", path, token=login.access_token, data=b"whatever").status_code == 204
    assert api.ask("POST", path, data=b"whatever").status_code == 401


def test_behind_a_path_the_query_is_the_clients_and_sets_nothing(api: Api, login: Login) -> None:
    """Otherwise whoever holds a revoked token would ask for a check that nobody is asked in."""
    assert api.get("/verify/page?scope=none:such&max_staleness=soon", token=login.access_token).status_code == 204
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
    refused = api.get(f"/verify?access_token={login.access_token}", token=login.access_token)

    assert refused.status_code == 400
    assert 'error="invalid_request"' in refused.headers["WWW-Authenticate"]
    assert api.get(f"/verify?access_token={login.access_token}").status_code == 401
