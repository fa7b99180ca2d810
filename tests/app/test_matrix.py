"""Every route and method by role: a route without a row here fails, and so does a row without a route."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from app.openapi.operation import operation_of
from revocation import TokenIssuer
from tests.app.api import ADMIN_PASSWORD, PASSWORD, Api, Login, Machine, prepared, settings_for
from tests.support.denylists import until
from tests.support.servers import Server


class World:
    """Two users, an admin and a machine, for one request. Each signs in when the request needs them."""

    def __init__(self, api: Api) -> None:
        self.api = api

    @cached_property
    def user(self) -> Login:
        return self.api.login()

    @cached_property
    def other(self) -> Login:
        return self.api.login()

    @cached_property
    def admin(self) -> Login:
        return self.api.login("admin", ADMIN_PASSWORD)

    @cached_property
    def machine(self) -> Machine:
        return self.api.machine(scope="reports:read")


#: Who asks, and the bearer token that they send.
GOOD: dict[str, Callable[[World], str]] = {
    "user": lambda world: world.user.access_token,
    "other": lambda world: world.other.access_token,
    "admin": lambda world: world.admin.access_token,
    "machine": lambda world: world.api.machine_token(world.machine),
}


def revoked(world: World) -> str:
    login = world.api.login(world.user.username)
    world.api.logout(login.access_token)
    return login.access_token


def of_another(world: World, **differently: str) -> str:
    """A token of our own key that is for somebody else, or claims to be from somebody else."""
    settings = world.api.settings
    terms = {"issuer": settings.issuer, "audience": settings.audience, **differently}
    issuer = TokenIssuer(world.api.service.keys, issuer=terms["issuer"], audience=terms["audience"])
    return world.api.mint(world.admin.username, issuer=issuer, scope=world.admin.scope)


BAD: dict[str, Callable[[World], str]] = {
    "expired": lambda world: world.api.expired(world.user),
    "revoked": revoked,
    "refresh token": lambda world: world.user.refresh_token,
    "another audience": lambda world: of_another(world, audience="https://elsewhere.example"),
    "another issuer": lambda world: of_another(world, issuer="https://elsewhere.example"),
    "nonsense": lambda _: "nonsense",
}

ROLES = ("nobody", *GOOD, *BAD)


def same(status: int) -> dict[str, int]:
    """Whoever asks."""
    return dict.fromkeys(ROLES, status)


def signed_in(status: int, **otherwise: int) -> dict[str, int]:
    """Who has a good token."""
    return {**same(401), **dict.fromkeys(GOOD, status), **otherwise}


def admins(status: int) -> dict[str, int]:
    """Who may administer."""
    return signed_in(403, admin=status)


@dataclass(frozen=True)
class Row:
    """What is asked, and which status each role gets."""

    statuses: dict[str, int]
    path: Callable[[World], str] | None = None
    body: Callable[[World], dict[str, Any]] = field(default=lambda _: {})


def form(world: World, **parameters: str) -> dict[str, Any]:
    return {"data": {"client_id": world.machine.client_id, "client_secret": world.machine.secret, **parameters}}


def revocation_path(world: World) -> str:
    revocation = world.api.revoke(world.api.admin(), kind="session", value=secrets.token_urlsafe(16))
    return f"/admin/revocations/{revocation['id']}"


def reason(world: World) -> dict[str, Any]:
    return {"query_string": {"reason": "mistake"}}


def own_password(world: World) -> dict[str, Any]:
    """Of the users; the administrator's own is another one."""
    return {"json": {"password": PASSWORD, "new_password": PASSWORD}}


# A bearer token where a client's secret is expected is no authentication at all.
CLIENTS = {**same(401), "nobody": 200}

ROWS: dict[tuple[str, str], Row] = {
    ("POST", "/auth/login"): Row(
        same(200), body=lambda w: {"json": {"username": w.user.username, "password": PASSWORD}}
    ),
    ("POST", "/auth/refresh"): Row(same(200), body=lambda w: {"json": {"refresh_token": w.other.refresh_token}}),
    # Also of an expired token, and a second time; but an access token must be one of ours.
    ("POST", "/auth/logout"): Row(signed_in(200, expired=200, revoked=200)),
    ("POST", "/auth/logout-all"): Row(signed_in(200)),
    # A machine has no password.
    ("POST", "/auth/password"): Row(signed_in(200, machine=404, admin=400), body=own_password),
    ("GET", "/auth/sessions"): Row(signed_in(200)),
    ("DELETE", "/auth/sessions/<sid>"): Row(
        signed_in(404, user=200), path=lambda w: f"/auth/sessions/{w.user.session_id}"
    ),
    ("POST", "/oauth/token"): Row(CLIENTS, body=lambda w: form(w, grant_type="client_credentials")),
    ("POST", "/oauth/revoke"): Row(CLIENTS, body=lambda w: form(w, token="unknown")),
    ("POST", "/oauth/introspect"): Row(CLIENTS, body=lambda w: form(w, token=w.user.access_token)),
    ("GET", "/.well-known/oauth-authorization-server"): Row(same(200)),
    ("GET", "/.well-known/oauth-authorization-server/<path:tenant>"): Row(
        same(404), path=lambda _: "/.well-known/oauth-authorization-server/another"
    ),
    ("GET", "/.well-known/jwks.json"): Row(same(200)),
    ("POST", "/admin/revocations"): Row(
        admins(201),
        body=lambda w: {"json": {"kind": "session", "value": w.api.login().session_id, "reason": "stolen"}},
    ),
    ("GET", "/admin/revocations"): Row(admins(200)),
    ("GET", "/admin/revocations/<revocation_id>"): Row(admins(200), path=revocation_path),
    ("DELETE", "/admin/revocations/<revocation_id>"): Row(admins(200), path=revocation_path, body=reason),
    ("DELETE", "/admin/batches/<batch>"): Row(admins(200), path=lambda _: "/admin/batches/of-nothing", body=reason),
    ("GET", "/admin/sessions"): Row(admins(200), body=lambda w: {"query_string": {"subject": w.user.username}}),
    ("GET", "/admin/audit"): Row(admins(200)),
    ("GET", "/admin/changes"): Row(admins(200)),
    ("GET", "/admin/health"): Row(admins(200)),
    ("POST", "/admin/search"): Row(admins(200), body=lambda _: {"json": {"query": "ada"}}),
    ("POST", "/admin/users"): Row(
        admins(201), body=lambda _: {"json": {"username": f"new-{secrets.token_hex(6)}", "password": PASSWORD}}
    ),
    ("GET", "/admin/users"): Row(admins(200)),
    ("GET", "/admin/users/<username>"): Row(admins(200), path=lambda w: f"/admin/users/{w.other.username}"),
    ("DELETE", "/admin/users/<username>"): Row(admins(200), path=lambda w: f"/admin/users/{w.api.add_user()}"),
    ("PATCH", "/admin/users/<username>"): Row(
        admins(200), path=lambda w: f"/admin/users/{w.other.username}", body=lambda _: {"json": {"disabled": False}}
    ),
    ("POST", "/admin/clients"): Row(admins(201), body=lambda _: {"json": {"name": "reports"}}),
    ("GET", "/admin/clients"): Row(admins(200)),
    ("PATCH", "/admin/clients/<client_id>"): Row(
        admins(200),
        path=lambda w: f"/admin/clients/{w.machine.client_id}",
        body=lambda _: {"json": {"disabled": False}},
    ),
    ("POST", "/admin/clients/<client_id>/secret"): Row(
        admins(200), path=lambda w: f"/admin/clients/{w.machine.client_id}/secret"
    ),
    ("DELETE", "/admin/clients/<client_id>"): Row(
        admins(200), path=lambda w: f"/admin/clients/{w.api.machine().client_id}"
    ),
    ("GET", "/admin/keys"): Row(admins(200)),
    ("POST", "/admin/keys"): Row(admins(201)),
    ("DELETE", "/admin/keys/<key_id>"): Row(admins(200), path=lambda _: "/admin/keys/of-nobody"),
    ("GET", "/admin/kinds"): Row(admins(200)),
    ("GET", "/admin/throttle/locked"): Row(admins(200)),
    ("GET", "/admin/throttle"): Row(admins(200), body=lambda w: {"query_string": {"username": w.user.username}}),
    ("DELETE", "/admin/throttle"): Row(admins(204), body=lambda w: {"query_string": {"username": w.user.username}}),
    ("GET", "/api/me"): Row(signed_in(200)),
    ("GET", "/api/reports"): Row(signed_in(403, admin=200, machine=200)),
    # Pages. On a Redis of one's own there is no playground.
    ("GET", "/"): Row(same(302)),
    ("GET", "/static/<path:name>"): Row(same(200), path=lambda _: "/static/theme.css"),
    ("GET", "/console"): Row(same(200)),
    ("GET", "/docs"): Row(same(200)),
    ("GET", "/openapi.json"): Row(same(200)),
    # A cookie counts there, and only for a page of this service; a bearer token is none.
    ("POST", "/console/session"): Row(same(403)),
    ("POST", "/console/session/refresh"): Row(same(403)),
    ("DELETE", "/console/session"): Row(same(403)),
    ("GET", "/healthz"): Row(same(200)),
    ("GET", "/readyz"): Row(same(200)),
    ("GET", "/metrics"): Row(same(200)),
    **{
        (method, rule): Row(signed_in(200), path=lambda _, path=path: path)  # type: ignore[misc]  # bound per row
        for method in ("GET", "HEAD", "OPTIONS")
        for rule, path in (
            ("/verify", "/verify"),
            ("/verify/", "/verify/"),
            ("/verify/<path:original>", "/verify/guarded/page"),
        )
    },
}


def routes(api: Api) -> set[tuple[str, str]]:
    """Every method and rule, without the HEAD and OPTIONS that Flask adds to each; /verify has its own."""
    return {
        (method, rule.rule)
        for rule in api.app.url_map.iter_rules()
        for method in rule.methods or ()
        if rule.endpoint.startswith("verify.") or method not in ("HEAD", "OPTIONS")
    }


@pytest.fixture
def world(api: Api) -> World:
    return World(api)


def test_every_route_has_a_row_and_every_row_a_route(api: Api) -> None:
    assert set(ROWS) == routes(api)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "rule"), ROWS)
def test_each_role_gets_what_it_may_have(world: World, method: str, rule: str, role: str) -> None:
    row = ROWS[method, rule]
    token = None if role == "nobody" else {**GOOD, **BAD}[role](world)

    answer = world.api.ask(method, row.path(world) if row.path else rule, token=token, **row.body(world))

    assert answer.status_code == row.statuses[role], answer.text
    assert "Set-Cookie" not in answer.headers


def test_admin_routes_are_decided_strictly_whatever_the_service_is_set_to(valkey: Server, tmp_path: Path) -> None:
    with prepared(settings_for(valkey, tmp_path, REVOCATION_MAX_STALENESS="60")) as api:
        world = World(api)

        def decided_by(method: str, rule: str) -> str:
            row = ROWS[method, rule]
            path = row.path(world) if row.path else rule
            answer = api.ask(method, path, token=world.user.access_token, **row.body(world))
            return answer.headers["Server-Timing"].partition('desc="')[2].partition('"')[0]

        until(lambda: decided_by("GET", "/api/me") == "follower")
        asked = {(method, rule): decided_by(method, rule) for method, rule in ROWS if rule.startswith("/admin/")}
        assert asked == dict.fromkeys(asked, "redis")


def test_every_route_that_can_be_read_answers_head_as_get(world: World) -> None:
    read = [(rule, row) for (method, rule), row in ROWS.items() if method == "GET"]
    for rule, row in read:
        for token in (None, world.user.access_token):
            path = row.path(world) if row.path else rule
            head = world.api.ask("HEAD", path, token=token, **row.body(world))
            assert head.status_code == world.api.get(path, token=token, **row.body(world)).status_code, rule
            assert head.data == b""


def test_every_route_says_what_it_takes_and_refuses_the_rest(world: World) -> None:
    by_rule: dict[str, set[str]] = {}
    for method, rule in ROWS:
        if not rule.startswith("/verify"):  # which takes every method
            by_rule.setdefault(rule, set()).add(method)
    for rule, methods in by_rule.items():
        path = next(row.path(world) if row.path else rule for (_, one), row in ROWS.items() if one == rule)
        allowed = methods | ({"HEAD"} if "GET" in methods else set()) | {"OPTIONS"}
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"):
            if method not in allowed:
                refused = world.api.ask(method, path, token=world.admin.access_token)
                assert refused.status_code == 405, (method, rule)
                assert set(refused.headers["Allow"].split(", ")) == allowed
                is_oauth = rule.startswith("/oauth/")
                assert refused.mimetype == ("application/json" if is_oauth else "application/problem+json")


def test_no_route_takes_a_parameter_that_it_does_not_have_or_one_twice(world: World) -> None:
    """But for those whose query is not ours to judge: of OAuth, and of whoever is guarded."""
    adapter = world.api.app.url_map.bind("localhost")
    ignoring = set()
    for (method, rule), row in ROWS.items():
        path = row.path(world) if row.path else rule
        endpoint, _ = adapter.match(path, method)
        told = operation_of(world.api.app.view_functions[endpoint])
        if told is None or told.ignores_query:
            ignoring.add(rule)
            continue
        asked = row.body(world)
        twice = {name: ["", ""] for name in (get_type_hints(told.query) if told.query else ())}
        for more in filter(None, ({"dry_run": "true"}, twice)):
            query = asked.get("query_string", {}) | more
            refused = world.api.ask(method, path, token=world.admin.access_token, **asked | {"query_string": query})
            # Who comes from another page is told so first.
            assert refused.status_code == (403 if rule.startswith("/console/") else 400), (method, rule, more)
    assert ignoring == {
        *("/oauth/token", "/oauth/revoke", "/oauth/introspect"),
        *(rule for _, rule in ROWS if rule.startswith(("/.well-known/", "/verify/"))),
        *("/", "/static/<path:name>", "/console", "/docs"),
    }


def test_two_users_never_see_or_end_each_others_sessions(world: World) -> None:
    api, user, other = world.api, world.user, world.other
    second = api.login(user.username)

    listed = api.get("/auth/sessions", token=user.access_token).get_json()["sessions"]
    assert {one["session_id"] for one in listed} == {user.session_id, second.session_id}
    foreign = api.delete(f"/auth/sessions/{user.session_id}", token=other.access_token)
    unknown = api.delete(f"/auth/sessions/{secrets.token_urlsafe(16)}", token=other.access_token)
    assert (foreign.status_code, foreign.data) == (404, unknown.data)
    assert api.post("/auth/logout-all", token=other.access_token).status_code == 200
    assert api.logout(api.login(other.username).access_token).status_code == 200

    assert api.me(user.access_token) == 200
    assert api.me(second.access_token) == 200
    assert api.refresh(user.refresh_token).status_code == 200
    assert api.me(other.access_token) == 401


def test_the_same_session_id_of_two_users_cannot_be_claimed_by_a_body(world: World) -> None:
    """Logging out takes a proof of the session, never just its id."""
    answer = world.api.post("/auth/logout", token=world.other.access_token, json={"session_id": world.user.session_id})

    assert answer.status_code == 400
    assert world.api.me(world.user.access_token) == 200


def test_a_machine_with_the_name_of_a_user_is_impossible(world: World) -> None:
    """Client ids and usernames never collide: a machine's `sub` would otherwise be somebody's."""
    machine = world.machine.client_id
    for name in (machine, machine.upper(), "first-party"):
        refused = world.api.post(
            "/admin/users", token=world.admin.access_token, json={"username": name, "password": PASSWORD}
        )
        assert refused.status_code == 400


def test_two_services_on_one_redis_do_not_accept_each_others_tokens(
    valkey: Server, tmp_path_factory: pytest.TempPathFactory, world: World
) -> None:
    namespace = world.api.settings.revocation.namespace
    settings = settings_for(
        valkey,
        tmp_path_factory.mktemp("neighbour"),
        REVOCATION_NAMESPACE=namespace,
        APP_ISSUER="https://neighbour.example",
    )
    with prepared(settings) as neighbour:
        neighbour.add_user(world.user.username)
        same_name = neighbour.login(world.user.username)
        assert world.api.me(same_name.access_token) == 401
        assert neighbour.me(world.user.access_token) == 401
        assert world.api.refresh(same_name.refresh_token).status_code == 401
        assert neighbour.post("/auth/logout-all", token=same_name.access_token).status_code == 200

        assert world.api.me(world.user.access_token) == 200
