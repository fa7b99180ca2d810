"""The OAuth endpoints: tokens (RFC 6749), revocation (RFC 7009), introspection (RFC 7662)."""

import base64
from typing import Any
from urllib.parse import quote_plus

import jwt
import pytest
from werkzeug.test import TestResponse

from revocation import Handle
from tests.app.api import Api, Login, Machine


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def error(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The answer, which is an error of RFC 6749, section 5.2."""
    assert (answer.status_code, answer.get_json().get("error")) == (status, code), answer.text
    assert answer.mimetype == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = answer.get_json()
    assert body.keys() == {"error", "error_description"}
    assert all(" " <= character <= "~" and character not in '"\\' for character in body["error_description"])
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    return body


def token(api: Api, machine: Machine, **parameters: str) -> TestResponse:
    form = {"grant_type": "client_credentials", **parameters}
    return api.post("/oauth/token", data=form, headers=machine.basic)


def introspect(api: Api, machine: Machine, **parameters: str) -> dict[str, Any]:
    answer = api.post("/oauth/introspect", data=parameters, headers=machine.basic)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = answer.get_json()
    return body


def revoke_as_first_party(api: Api, token: str, **parameters: str) -> TestResponse:
    return api.post("/oauth/revoke", data={"token": token, "client_id": "first-party", **parameters})


@pytest.fixture(scope="module")
def machine(api: Api) -> Machine:
    return api.machine(scope="reports:read reports:write")


@pytest.fixture
def login(api: Api) -> Login:
    return api.login(api.add_user(scope="reports:read me"))


# Tokens


def test_client_credentials_give_an_access_token_alone(api: Api, machine: Machine) -> None:
    answer = token(api, machine)

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    body = answer.get_json()
    assert body.keys() == {"access_token", "token_type", "expires_in", "scope"}
    claims = api.claims(body["access_token"])
    assert (claims.subject, claims.client_id, claims.session_id) == (machine.client_id, machine.client_id, None)
    assert (body["token_type"], body["scope"]) == ("Bearer", "reports:read reports:write")


def test_a_machine_may_ask_for_less_scope_and_not_for_more(api: Api, machine: Machine) -> None:
    less = token(api, machine, scope="reports:read")
    assert less.get_json()["scope"] == "reports:read"
    assert api.claims(less.get_json()["access_token"]).scope == {"reports:read"}

    error(token(api, machine, scope="reports:read revocation:admin"), 400, "invalid_scope")
    error(token(api, machine, scope="me"), 400, "invalid_scope")


@pytest.mark.parametrize("encoded", [True, False])
def test_a_client_may_form_encode_its_credentials_in_the_header(api: Api, machine: Machine, encoded: bool) -> None:
    name, secret = machine.client_id, machine.secret
    if encoded:
        name, secret = (text.replace("c", "%63") for text in (quote_plus(name), quote_plus(secret)))

    answer = api.post("/oauth/token", data={"grant_type": "client_credentials"}, headers=basic(name, secret))

    assert answer.status_code == 200


def test_a_client_may_authenticate_in_the_body(api: Api, machine: Machine) -> None:
    form = {"grant_type": "client_credentials", "client_id": machine.client_id, "client_secret": machine.secret}

    assert api.post("/oauth/token", data=form).status_code == 200


def test_authenticating_twice_is_refused(api: Api, machine: Machine) -> None:
    form = {"grant_type": "client_credentials", "client_id": machine.client_id, "client_secret": machine.secret}

    error(api.post("/oauth/token", data=form, headers=machine.basic), 400, "invalid_request")


def test_naming_two_clients_is_refused(api: Api, machine: Machine) -> None:
    form = {"grant_type": "client_credentials", "client_id": "first-party"}

    error(api.post("/oauth/token", data=form, headers=machine.basic), 400, "invalid_request")


def test_naming_the_same_client_twice_is_not(api: Api, machine: Machine) -> None:
    assert token(api, machine, client_id=machine.client_id).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
        "Basic " + base64.b64encode(b"nobody:wrong").decode(),
        "Basic " + base64.b64encode(b":").decode(),
        "Basic " + base64.b64encode(b"first-party:guessed").decode(),
        "Bearer abc",
        "Negotiate abc",
        "\xff",
    ],
)
def test_credentials_that_prove_nothing_are_refused_with_a_challenge(api: Api, header: str) -> None:
    for path in ("/oauth/token", "/oauth/revoke", "/oauth/introspect"):
        form = {"grant_type": "client_credentials", "token": "t"}
        refused = api.post(path, data=form, headers={"Authorization": header}, address="192.0.2.20")
        error(refused, 401, "invalid_client")


def test_the_wrong_secret_and_a_disabled_client_are_refused_alike(api: Api) -> None:
    machine = api.machine()
    wrong = error(token(api, Machine(machine.client_id, "wrong")), 401, "invalid_client")
    api.service.stores.clients.change(machine.client_id, disabled=True)

    assert error(token(api, machine), 401, "invalid_client") == wrong


@pytest.mark.parametrize("grant", ["password", "authorization_code", "implicit", "urn:ietf:params:oauth:grant", "\xff"])
def test_other_grants_are_unsupported(api: Api, machine: Machine, grant: str) -> None:
    error(token(api, machine, grant_type=grant), 400, "unsupported_grant_type")


@pytest.mark.parametrize("form", [{}, {"grant_type": ""}, {"grant_type": "refresh_token"}])
def test_a_missing_parameter_is_an_invalid_request_also_if_its_value_is_empty(
    api: Api, machine: Machine, form: dict[str, str]
) -> None:
    error(api.post("/oauth/token", data=form, headers=machine.basic), 400, "invalid_request")
    for path in ("/oauth/revoke", "/oauth/introspect"):
        error(api.post(path, data={"token": "", **form}, headers=machine.basic), 400, "invalid_request")


@pytest.mark.parametrize("name", ["grant_type", "scope", "client_id", "token", "made_up", 'a"\r\nb'])
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect"])
def test_a_repeated_parameter_is_refused(api: Api, machine: Machine, path: str, name: str) -> None:
    form = {"grant_type": ["client_credentials"], "token": ["t"], name: ["first", "second"]}

    error(api.post(path, data=form, headers=machine.basic), 400, "invalid_request")


def test_unknown_parameters_are_ignored(api: Api, machine: Machine) -> None:
    assert token(api, machine, audience="elsewhere", made_up="x").status_code == 200


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "", "multipart/form-data; boundary=x"])
def test_only_forms_are_taken(api: Api, machine: Machine, content_type: str) -> None:
    body = b"grant_type=client_credentials&token=t"
    for path in ("/oauth/token", "/oauth/revoke", "/oauth/introspect"):
        refused = api.post(path, data=body, content_type=content_type, headers=machine.basic)
        error(refused, 400, "invalid_request")


def test_parameters_in_the_query_are_not_read(api: Api, machine: Machine) -> None:
    """What stands in a URL stands in logs."""
    refused = api.post(
        f"/oauth/token?grant_type=client_credentials&client_id={machine.client_id}&client_secret={machine.secret}",
        content_type="application/x-www-form-urlencoded",
    )

    error(refused, 400, "invalid_request")


def test_a_body_that_is_too_long_is_refused(api: Api, machine: Machine) -> None:
    error(token(api, machine, made_up="x" * 70_000), 413, "invalid_request")


def test_the_public_client_has_no_credentials_to_ask_with(api: Api) -> None:
    form = {"grant_type": "client_credentials", "client_id": "first-party"}

    error(api.post("/oauth/token", data=form), 400, "unauthorized_client")


# Refreshing


def refresh(api: Api, refresh_token: str, **parameters: str) -> TestResponse:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": "first-party", **parameters}
    return api.post("/oauth/token", data=form)


def test_the_public_client_refreshes_without_a_secret(api: Api, login: Login) -> None:
    answer = refresh(api, login.refresh_token)

    body = answer.get_json()
    assert body.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "session_id", "scope"}
    assert (body["session_id"], body["scope"]) == (login.session_id, "me reports:read")
    assert api.me(body["access_token"]) == 200


def test_a_refresh_may_ask_for_less_scope_and_the_next_one_for_all_of_it_again(api: Api, login: Login) -> None:
    less = refresh(api, login.refresh_token, scope="me").get_json()
    assert less["scope"] == "me"
    assert api.get("/api/reports", token=less["access_token"]).status_code == 403

    again = refresh(api, less["refresh_token"]).get_json()

    assert again["scope"] == "me reports:read"
    assert api.get("/api/reports", token=again["access_token"]).status_code == 200


def test_a_refresh_for_more_scope_is_refused_and_uses_nothing_up(api: Api, login: Login) -> None:
    for _ in range(3):
        error(refresh(api, login.refresh_token, scope="me revocation:admin"), 400, "invalid_scope")

    assert refresh(api, login.refresh_token).status_code == 200


def test_a_scope_asked_for_twice_is_granted_once(api: Api, login: Login) -> None:
    answer = refresh(api, login.refresh_token, scope="me  reports:read me")

    assert answer.get_json()["scope"] == "me reports:read"
    assert api.claims(answer.get_json()["access_token"]).raw["scope"] == "me reports:read"


@pytest.mark.parametrize(
    "scope", [" ", "\t", "\u00a0", "me\treports:read", "me\u00a0reports:read", 'me"', "\u2003me", "me\\"]
)
def test_what_is_no_scope_is_an_invalid_scope_and_uses_nothing_up(
    api: Api, machine: Machine, login: Login, scope: str
) -> None:
    """RFC 6749, section 3.3: words of printable ASCII, a space between them."""
    error(token(api, machine, scope=scope), 400, "invalid_scope")
    error(refresh(api, login.refresh_token, scope=scope), 400, "invalid_scope")

    assert introspect(api, machine, token=login.refresh_token)["active"] is True


def test_a_session_has_no_more_scope_than_its_user_has_today(api: Api, machine: Machine, login: Login) -> None:
    """The change of the account ended its sessions; somebody undid that."""
    admin = api.admin()
    api.patch(f"/admin/users/{login.username}", token=admin, json={"scope": "me other"})
    for revocation in api.service.revocations.of_handle(Handle("subject", login.username, issuer=api.settings.issuer)):
        assert api.undo(admin, {"id": revocation.id}).status_code == 200

    assert introspect(api, machine, token=login.refresh_token)["scope"] == "me"
    error(refresh(api, login.refresh_token, scope="reports:read"), 400, "invalid_scope")
    answer = refresh(api, login.refresh_token)

    assert answer.get_json()["scope"] == "me"


def test_a_refresh_token_of_another_client_is_an_invalid_grant_and_stays_good(
    api: Api, machine: Machine, login: Login
) -> None:
    stolen = {"grant_type": "refresh_token", "refresh_token": login.refresh_token}

    error(api.post("/oauth/token", data=stolen, headers=machine.basic), 400, "invalid_grant")

    assert refresh(api, login.refresh_token).status_code == 200


def test_a_used_refresh_token_is_an_invalid_grant_and_ends_the_session(api: Api, login: Login) -> None:
    latest = api.refreshed(api.refreshed(login))
    api.let_grace_pass(login)

    error(refresh(api, login.refresh_token), 400, "invalid_grant")

    assert api.me(latest.access_token) == 401


@pytest.mark.parametrize("made_up", ["x", "\0", "a.b.c", "\ud7ff", "x" * 60_000])
def test_what_is_no_refresh_token_is_an_invalid_grant(api: Api, made_up: str) -> None:
    error(refresh(api, made_up), 400, "invalid_grant")


# Revocation


def test_revoking_an_access_token_leaves_the_session(api: Api, login: Login) -> None:
    answer = revoke_as_first_party(api, login.access_token)

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert api.me(login.access_token) == 401
    assert api.me(api.refreshed(login).access_token) == 200


def test_revoking_a_refresh_token_ends_the_session_with_its_access_tokens(api: Api, login: Login) -> None:
    latest = api.refreshed(login)

    assert revoke_as_first_party(api, latest.refresh_token).status_code == 200

    assert [api.me(login.access_token), api.me(latest.access_token)] == [401, 401]
    assert api.refresh(latest.refresh_token).status_code == 401


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "made_up", ""])
@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_a_wrong_hint_hides_nothing(api: Api, login: Login, kind: str, hint: str) -> None:
    answer = revoke_as_first_party(api, getattr(login, kind), token_type_hint=hint)

    assert answer.status_code == 200
    assert api.me(login.access_token) == 401


def test_what_is_revoked_expired_or_unknown_is_done_already(api: Api, login: Login) -> None:
    for _ in range(2):
        assert revoke_as_first_party(api, login.refresh_token).status_code == 200
        assert revoke_as_first_party(api, login.access_token).status_code == 200
    for gone in (api.expired(login), "nonsense", "\0", login.access_token + "=", "x" * 60_000):
        assert revoke_as_first_party(api, gone).status_code == 200


def test_an_expired_access_token_that_verifiers_still_forgive_is_revoked(api: Api, login: Login) -> None:
    """`exp` has passed, but the leeway has not."""
    token = api.mint(login.username, session=login.session_id, ago_seconds=910, lifetime_seconds=900)
    assert api.me(token) == 200

    assert revoke_as_first_party(api, token).status_code == 200

    assert api.me(token) == 401


def test_the_token_of_another_client_is_an_invalid_grant_and_stays_good(
    api: Api, machine: Machine, login: Login
) -> None:
    theirs = api.machine_token(api.machine())
    for token in (login.access_token, login.refresh_token, theirs):
        refused = api.post("/oauth/revoke", data={"token": token}, headers=machine.basic)
        error(refused, 400, "invalid_grant")
    error(revoke_as_first_party(api, theirs), 400, "invalid_grant")

    assert [api.me(login.access_token), api.me(theirs)] == [200, 200]
    assert api.refresh(login.refresh_token).status_code == 200


def test_a_machine_revokes_its_own_token_and_only_that_one(api: Api, machine: Machine) -> None:
    first, second = api.machine_token(machine), api.machine_token(machine)

    assert api.post("/oauth/revoke", data={"token": first}, headers=machine.basic).status_code == 200

    assert [api.me(first), api.me(second)] == [401, 200]


def test_a_client_is_authenticated_before_its_token_is_looked_at(api: Api, login: Login) -> None:
    error(api.post("/oauth/revoke", data={"token": login.access_token}), 401, "invalid_client")
    error(api.post("/oauth/revoke", data={"token": ""}), 401, "invalid_client")

    assert api.me(login.access_token) == 200


# Introspection


def test_introspection_says_what_a_token_is_worth_now(api: Api, machine: Machine, login: Login) -> None:
    claims = api.claims(login.access_token)

    assert introspect(api, machine, token=login.access_token) == {
        "active": True,
        "token_type": "Bearer",
        "iss": api.settings.issuer,
        "sub": login.username,
        "aud": [api.settings.audience],
        "client_id": "first-party",
        "scope": "me reports:read",
        "jti": claims.token_id,
        "sid": login.session_id,
        "iat": int(claims.issued_at),
        "exp": int(claims.expires_at),
    }


def test_introspection_of_a_refresh_token(api: Api, machine: Machine, login: Login) -> None:
    body = introspect(api, machine, token=login.refresh_token, token_type_hint="access_token")

    assert body.keys() == {"active", "iss", "sub", "client_id", "scope", "sid", "iat", "exp"}
    assert (body["active"], body["sub"], body["sid"]) == (True, login.username, login.session_id)
    # If nobody refreshes it.
    assert body["exp"] - body["iat"] == api.settings.refresh_ttl_seconds < api.settings.session_ttl_seconds


def test_whatever_is_worth_nothing_is_exactly_inactive(api: Api, machine: Machine, login: Login) -> None:
    latest = api.refreshed(login)
    ended = api.login()
    api.logout(ended.access_token)
    worthless = {
        "used": login.refresh_token,
        "ended": ended.refresh_token,
        "revoked": ended.access_token,
        "expired": api.expired(login),
        "nonsense": "nonsense",
        "too long": "x" * 60_000,
        "another's secret": machine.secret,
        "unsigned": base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').decode().rstrip("=") + ".e30.",
    }

    for name, token in worthless.items():
        assert introspect(api, machine, token=token) == {"active": False}, name
    assert introspect(api, machine, token=latest.refresh_token)["active"] is True


def test_a_claim_named_active_does_not_overwrite_the_verdict(api: Api, machine: Machine, login: Login) -> None:
    claims = dict(api.claims(login.access_token).raw) | {"active": True, "jti": "revoked-with-a-claim"}
    key = api.service.keys.key_set().signing_key()
    token = jwt.encode(claims, key.signing, algorithm=key.algorithm, headers={"typ": "at+jwt", "kid": key.id})
    assert introspect(api, machine, token=token)["active"] is True
    assert revoke_as_first_party(api, token).status_code == 200

    assert introspect(api, machine, token=token) == {"active": False}


def test_introspection_asks_redis_whatever_the_service_is_set_to(api: Api, machine: Machine, login: Login) -> None:
    api.service.stores.denylist.revoke(api.claims(login.access_token).handles[0])

    assert introspect(api, machine, token=login.access_token) == {"active": False}


def test_the_public_client_may_not_introspect(api: Api, login: Login) -> None:
    form = {"token": login.access_token, "client_id": "first-party"}

    error(api.post("/oauth/introspect", data=form), 401, "invalid_client")
    error(api.post("/oauth/introspect", data=form, headers=basic("first-party", "")), 401, "invalid_client")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/oauth/nowhere", 404),
        ("POST", "/oauth/token/more", 404),
        ("POST", "/oauth/", 404),
        ("GET", "/oauth/token", 405),
        ("DELETE", "/oauth/revoke", 405),
        ("BREW", "/oauth/introspect", 405),
    ],
)
def test_what_no_endpoint_takes_is_an_error_of_oauth(api: Api, method: str, path: str, status: int) -> None:
    answer = api.ask(method, path)
    assert (answer.status_code, answer.mimetype) == (status, "application/json")
    assert answer.get_json().keys() == {"error", "error_description"}
    assert answer.get_json()["error"] == "invalid_request"
    assert answer.headers["Cache-Control"] == "no-store"
    assert ("Allow" in answer.headers) == (status == 405)


def test_a_mistake_of_ours_is_an_error_of_oauth(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("what nobody must read")

    monkeypatch.setattr(api.service.stores.clients, "authenticate", broken)
    answer = api.post("/oauth/introspect", data={"token": "x"}, headers=api.machine().basic)
    assert (answer.status_code, answer.get_json()["error"]) == (500, "server_error")
    assert "nobody must read" not in answer.text


def test_another_path_is_no_business_of_oauth(api: Api) -> None:
    assert api.get("/oauthority").mimetype == "application/problem+json"
