"""BearerAuth: what each error is over HTTP, to the letter."""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, jsonify
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from revocation import (
    Claims,
    ConfigurationError,
    ConflictError,
    DenylistEmptyError,
    DenylistUnavailableError,
    ExpiredTokenError,
    Guard,
    Handle,
    InsufficientRoleError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    MissingTokenError,
    RevocationError,
    RevokedTokenError,
    SigningKeyError,
)
from revocation.bearer import STATUS
from revocation.flask import BearerAuth, bearer_token
from revocation.testing import Clock, Sandbox
from tests.support.denylists import can_mint, opened, until
from tests.support.servers import Server
from tests.support.tokens import Forge

#: auth-param of RFC 6750, section 3: one quoted-string, and nothing in it that needs a backslash.
CHALLENGE = re.compile(
    r'Bearer (?:[a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*")(?:, [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*")*'
)
PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')
SERVER_TIMING = re.compile(r'verify;dur=\d+\.\d{3}, revocation;dur=\d+\.\d{3};desc="(none|follower|redis)"')


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def make_app(guard: Guard, **options: Any) -> tuple[Flask, BearerAuth]:
    app = Flask("made")
    auth = BearerAuth(guard, **options)
    auth.init_app(app)

    @app.get("/me")
    @auth.required(scope="me")
    def me() -> dict[str, Any]:
        """Who am I?"""
        return {"sub": auth.claims.subject}

    @app.route("/any", methods=["GET", "POST"])
    @auth.required()
    def anybody() -> dict[str, Any]:
        return {"sub": auth.claims.subject}

    @app.get("/stateless")
    @auth.required(max_staleness=float("inf"))
    def stateless() -> str:
        return "ok"

    @app.get("/both/<int:number>")
    @auth.required(scope="me reports:read", max_staleness=0)
    def both(number: int) -> dict[str, int]:
        return {"number": number}

    @app.get("/open")
    def unprotected() -> str:
        return "ok"

    return app, auth


@pytest.fixture
def client(sandbox: Sandbox) -> FlaskClient:
    return make_app(sandbox.guard)[0].test_client()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def challenge(response: TestResponse) -> dict[str, str]:
    """The parameters of the one challenge; each at most once, none that breaks the grammar."""
    [value] = response.headers.get_all("WWW-Authenticate")
    assert CHALLENGE.fullmatch(value), value
    found = PARAMETER.findall(value)
    assert len(dict(found)) == len(found)
    return dict(found)


def problem(response: TestResponse) -> dict[str, Any]:
    """The problem details, checked for what RFC 9457 asks of all of them."""
    assert response.mimetype == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    document: dict[str, Any] = response.get_json(force=True)
    assert document["status"] == response.status_code
    assert document["type"] == "about:blank"
    return document


# Let in


def test_a_good_token_is_let_in_and_its_claims_are_known(sandbox: Sandbox, client: FlaskClient) -> None:
    response = client.get("/me", headers=bearer(sandbox.mint("ada", scope="me")))

    assert (response.status_code, response.json) == (200, {"sub": "ada"})
    assert "WWW-Authenticate" not in response.headers


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_may_be_written_in_any_case(sandbox: Sandbox, client: FlaskClient, scheme: str) -> None:
    response = client.get("/any", headers={"Authorization": f"{scheme} {sandbox.mint()}"})

    assert response.status_code == 200


def test_spaces_around_the_token_mean_nothing(sandbox: Sandbox, client: FlaskClient) -> None:
    assert client.get("/any", headers={"Authorization": f"Bearer   {sandbox.mint()}  "}).status_code == 200


def test_a_route_keeps_its_arguments_name_and_docstring(sandbox: Sandbox) -> None:
    app, _ = make_app(sandbox.guard)
    token = sandbox.mint(scope="reports:read me other")

    assert app.test_client().get("/both/7", headers=bearer(token)).json == {"number": 7}
    assert app.view_functions["me"].__doc__ == "Who am I?"
    assert set(app.view_functions) >= {"me", "anybody", "stateless", "both", "unprotected"}


# Refused for want of a token


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer   "},
        ),
        *(
            {"Authorization": "Basic YTpi"},
            {"Authorization": "Bearerx"},
            {"Authorization": "DPoP x"},
            {"Authorization": "x"},
        ),
    ],
)
def test_without_a_token_the_challenge_has_no_error(client: FlaskClient, headers: dict[str, str]) -> None:
    response = client.get("/me", headers=headers)

    assert response.status_code == 401
    assert challenge(response) == {"realm": "api"}
    assert problem(response)["reason"] == "missing_token"
    assert "Server-Timing" not in response.headers


def test_a_token_in_the_query_alone_is_no_token(sandbox: Sandbox, client: FlaskClient) -> None:
    response = client.get("/any", query_string={"access_token": sandbox.mint()})

    assert response.status_code == 401
    assert challenge(response) == {"realm": "api"}


def test_a_token_in_the_form_alone_is_no_token(sandbox: Sandbox, client: FlaskClient) -> None:
    response = client.post("/any", data={"access_token": sandbox.mint()})

    assert response.status_code == 401
    assert challenge(response) == {"realm": "api"}


def test_a_token_in_a_cookie_is_no_token(sandbox: Sandbox, client: FlaskClient) -> None:
    client.set_cookie("access_token", sandbox.mint())

    assert client.get("/any").status_code == 401


# Refused for how it was sent


@pytest.mark.parametrize("place", ["query", "form"])
@pytest.mark.parametrize("second", ["same", "other", ""])
def test_two_tokens_are_one_too_many(sandbox: Sandbox, client: FlaskClient, place: str, second: str) -> None:
    token = sandbox.mint()
    fields = {"access_token": {"same": token, "other": sandbox.mint(), "": ""}[second]}
    sent: dict[str, Any] = {"query_string": fields} if place == "query" else {"data": fields}

    response = client.post("/any", headers=bearer(token), **sent)

    assert response.status_code == 400
    assert challenge(response)["error"] == "invalid_request"
    assert problem(response)["reason"] == "invalid_request"


def test_two_authorization_headers_are_one_bad_token(sandbox: Sandbox, client: FlaskClient) -> None:
    token = sandbox.mint()
    joined = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]

    assert client.get("/any", headers=joined).status_code == 401


# Refused, because it is no good


def refused(sandbox: Sandbox) -> dict[str, tuple[str, str]]:
    """Tokens that are not good, and the reason that each is refused for."""
    forge = Forge(next(iter(sandbox.verifier._keys.key_set())), clock=sandbox.clock)
    revoked = sandbox.mint()
    sandbox.revoke(revoked)
    now = int(sandbox.clock())
    return {
        "malformed": ("nonsense", "malformed"),
        "expired": (forge.token(forge.claims(iat=now - 1000, exp=now - 100)), "expired"),
        "revoked": (revoked, "revoked"),
        "forged": (sandbox.mint()[:-5] + "AAAAA", "signature"),
        "for others": (forge.token(forge.claims(aud="x")), "audience"),
        "of another type": (forge.token(header=forge.header(typ="JWT")), "type"),
        "too long": ("a" * 10_000, "too_long"),
    }


@pytest.mark.parametrize("name", refused(Sandbox()))
def test_a_token_that_is_not_good_is_invalid_and_says_why(sandbox: Sandbox, client: FlaskClient, name: str) -> None:
    token, reason = refused(sandbox)[name]

    response = client.get("/any", headers=bearer(token))

    assert response.status_code == 401
    parameters = challenge(response)
    assert set(parameters) == {"realm", "error", "error_description"}
    assert parameters["error"] == "invalid_token"
    document = problem(response)
    assert document["reason"] == reason
    assert document["title"] == "Unauthorized"
    assert token not in response.text
    assert "Retry-After" not in response.headers


HOSTILE_TEXTS = [
    '"',
    "\\",
    '", error="x',
    "a\r\nX-Evil: 1",
    "\x00",
    "é",
    "🧀",
    "\u2028",
    "'; DROP",
    "<script>",
    "%0d%0a",
]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_no_text_of_a_token_reaches_a_header(sandbox: Sandbox, client: FlaskClient, text: str) -> None:
    forge = Forge(next(iter(sandbox.verifier._keys.key_set())), clock=sandbox.clock)
    tokens = [forge.token({**forge.claims(), name: text}) for name in ("iss", "aud", "sub", "jti", "scope", "sid")]
    tokens += [forge.token(header={**forge.header(), name: text}) for name in ("alg", "typ", "kid", "cty")]
    tokens += [forge.token(header={**forge.header(), text: 1}), forge.token({**forge.claims(), text: text})]

    for token in tokens:
        response = client.get("/both/1", headers=bearer(token))
        assert response.status_code in (401, 403)
        assert challenge(response)["realm"] == "api"
        assert not any("Evil" in name for name, _ in response.headers)
        problem(response)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_no_text_of_the_programmer_breaks_a_header(sandbox: Sandbox, text: str) -> None:
    app = Flask("made")
    auth = BearerAuth(sandbox.guard, realm=f"realm {text}")
    auth.init_app(app)
    app.get("/")(auth.required(scope=f"scope {text}")(lambda: "ok"))

    response = app.test_client().get("/", headers=bearer(sandbox.mint()))

    assert response.status_code == 403
    assert set(challenge(response)) == {"realm", "error", "error_description", "scope"}
    problem(response)


@pytest.mark.parametrize("token", ["\x7f", "a\tb", "é", "\udce9", "a b", "a,b", "x" * 60_000, "%00", "null", "{}"])
def test_any_text_as_a_token_is_a_401(client: FlaskClient, token: str) -> None:
    environ = {"HTTP_AUTHORIZATION": f"Bearer {token}"}

    response = client.get("/any", environ_overrides=environ)

    assert response.status_code == 401
    challenge(response)
    problem(response)


# Refused, because it is not enough


def test_a_scope_that_is_missing_is_named(sandbox: Sandbox, client: FlaskClient) -> None:
    response = client.get("/both/1", headers=bearer(sandbox.mint(scope="me")))

    assert response.status_code == 403
    parameters = challenge(response)
    assert parameters["error"] == "insufficient_scope"
    assert parameters["scope"] == "me reports:read"
    assert problem(response)["reason"] == "insufficient_scope"


@pytest.mark.parametrize(
    ("granted", "status"),
    [
        ("", 403),
        ("mee", 403),
        ("m", 403),
        ("ME", 403),
        ("reports:read", 403),
        ("me", 200),
        ("x me y", 200),
        ("x\tme", 403),
    ],
)
def test_scopes_are_whole_words(sandbox: Sandbox, client: FlaskClient, granted: str, status: int) -> None:
    assert client.get("/me", headers=bearer(sandbox.mint(scope=granted))).status_code == status


def test_a_revoked_token_is_a_401_whatever_its_scope(sandbox: Sandbox, client: FlaskClient) -> None:
    token = sandbox.mint(scope="nothing")
    sandbox.revoke(token)

    assert client.get("/me", headers=bearer(token)).status_code == 401


# Nobody knows


def test_where_redis_cannot_be_asked_it_is_a_503_and_never_a_401(sandbox: Sandbox, client: FlaskClient) -> None:
    token = sandbox.mint(scope="me")

    with sandbox.redis_down():
        assert client.get("/me", headers=bearer(token)).status_code == 200
        sandbox.clock.advance(1)
        response = client.get("/me", headers=bearer(token))
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) >= 1
        assert "WWW-Authenticate" not in response.headers
        document = problem(response)
        assert document["reason"] == "denylist_unavailable"
        assert "Redis" not in response.text
        assert client.get("/stateless", headers=bearer(token)).status_code == 200
        assert client.get("/me", headers=bearer("nonsense")).status_code == 401
        assert client.get("/me").status_code == 401
    assert client.get("/me", headers=bearer(token)).status_code == 200


def test_lost_data_is_a_503_too(sandbox: Sandbox, client: FlaskClient) -> None:
    token = sandbox.mint(scope="me")
    sandbox.flush()

    response = client.get("/me", headers=bearer(token))

    assert (response.status_code, problem(response)["reason"]) == (503, "denylist_empty")


ROWS: list[tuple[RevocationError, int, str | None]] = [
    (InvalidRequestError("x"), 400, "invalid_request"),
    (MissingTokenError("x"), 401, None),
    (InvalidTokenError("audience", "x"), 401, "invalid_token"),
    (ExpiredTokenError(), 401, "invalid_token"),
    (RevokedTokenError(), 401, "invalid_token"),
    (InsufficientScopeError("a b"), 403, "insufficient_scope"),
    (InsufficientRoleError("a b"), 403, "insufficient_scope"),
    (ConflictError("x"), 409, None),
    (SigningKeyError("k"), 409, None),
    (DenylistUnavailableError("x", retry_after_seconds=7), 503, None),
    (DenylistEmptyError(), 503, None),
]


@pytest.mark.parametrize(("error", "status", "code"), ROWS, ids=lambda value: type(value).__name__)
def test_every_row_of_the_table(sandbox: Sandbox, error: RevocationError, status: int, code: str | None) -> None:
    app, _ = make_app(sandbox.guard)

    @app.get("/raise")
    def raising() -> str:
        raise error

    response = app.test_client().get("/raise")

    assert response.status_code == status
    problem(response)
    if status == 503:
        expected = error.retry_after_seconds if isinstance(error, DenylistUnavailableError) else None
        assert response.headers["Retry-After"] == str(expected)
    elif status == 409:
        assert not {"WWW-Authenticate", "Retry-After"} & set(response.headers.keys())
    else:
        assert challenge(response).get("error") == code


def test_the_table_has_a_row_for_every_error_of_a_request() -> None:
    assert set(STATUS) == {
        InvalidRequestError,
        MissingTokenError,
        InvalidTokenError,
        InsufficientScopeError,
        ConflictError,
        DenylistUnavailableError,
    }


def test_a_mistake_of_the_programmer_is_not_dressed_up(sandbox: Sandbox) -> None:
    app, _ = make_app(sandbox.guard)
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @app.get("/raise")
    def raising() -> str:
        raise ConfigurationError("x")

    assert app.test_client().get("/raise").status_code == 500


# Server-Timing


def test_every_decided_response_says_what_the_decision_cost(sandbox: Sandbox, client: FlaskClient) -> None:
    token = sandbox.mint(scope="me")
    revoked = sandbox.mint()
    sandbox.revoke(revoked)
    with sandbox.redis_down():
        sandbox.clock.advance(1)
        down = client.get("/me", headers=bearer(token))
    answers = [
        (client.get("/me", headers=bearer(token)), 200, "follower"),
        (client.get("/both/1", headers=bearer(sandbox.mint(scope="me reports:read"))), 200, "redis"),
        (client.get("/stateless", headers=bearer(token)), 200, "none"),
        (client.get("/me", headers=bearer("nonsense")), 401, "none"),
        (client.get("/me", headers=bearer(revoked)), 401, "follower"),
        (client.get("/me", headers=bearer(sandbox.mint())), 403, "follower"),
        (down, 503, "redis"),
    ]

    for response, status, source in answers:
        assert response.status_code == status
        match = SERVER_TIMING.fullmatch(response.headers["Server-Timing"])
        assert match is not None
        assert match[1] == source
    assert "Server-Timing" not in client.get("/open").headers
    assert "Server-Timing" not in client.get("/missing").headers


def test_a_view_may_add_timings_of_its_own(sandbox: Sandbox) -> None:
    app, auth = make_app(sandbox.guard)

    @app.get("/timed")
    @auth.required()
    def timed() -> Response:
        response = jsonify(1)
        response.headers["Server-Timing"] = "db;dur=1"
        return response

    values = app.test_client().get("/timed", headers=bearer(sandbox.mint())).headers.get_all("Server-Timing")

    assert values[0] == "db;dur=1"
    assert SERVER_TIMING.fullmatch(values[1])


# The extension


def test_a_second_registration_is_a_mistake(sandbox: Sandbox) -> None:
    app, auth = make_app(sandbox.guard)

    for again in (auth, BearerAuth(sandbox.guard)):
        with pytest.raises(ConfigurationError, match="already"):
            again.init_app(app)


def test_a_guard_must_be_given_somewhere() -> None:
    with pytest.raises(ConfigurationError, match="guard"):
        BearerAuth().init_app(Flask("made"))
    with Flask("made").app_context(), pytest.raises(ConfigurationError, match="init_app"):
        _ = BearerAuth().guard


def test_two_apps_share_one_extension_and_trust_only_their_own_tokens() -> None:
    auth = BearerAuth()
    sandboxes = Sandbox(), Sandbox()
    clients = []
    for sandbox in sandboxes:
        app = Flask("made")
        auth.init_app(app, guard=sandbox.guard)
        app.get("/")(auth.required()(lambda: {"sub": auth.claims.subject}))
        clients.append(app.test_client())

    tokens = [sandbox.mint() for sandbox in sandboxes]

    statuses = [[client.get("/", headers=bearer(token)).status_code for token in tokens] for client in clients]
    assert statuses == [[200, 401], [401, 200]]


def test_claims_are_known_only_where_a_token_was_accepted(sandbox: Sandbox) -> None:
    app, auth = make_app(sandbox.guard)
    seen: list[object] = []

    @app.get("/peek")
    def peek() -> str:
        with pytest.raises(LookupError, match="required"):
            seen.append(auth.claims)
        return "ok"

    @app.get("/refused")
    def look_after_refusal() -> str:
        with pytest.raises(InsufficientScopeError):
            auth.require(scope="more")
        with pytest.raises(LookupError):
            seen.append(auth.claims)
        return "ok"

    client = app.test_client()
    headers = bearer(sandbox.mint())
    assert client.get("/any", headers=headers).status_code == 200
    assert client.get("/peek", headers=headers).status_code == 200
    assert client.get("/refused", headers=headers).status_code == 200
    assert seen == []


def test_a_condition_that_is_known_only_inside_the_request(sandbox: Sandbox) -> None:
    app, auth = make_app(sandbox.guard)

    @app.get("/documents/<name>")
    def document(name: str) -> dict[str, str]:
        auth.require(scope=f"read:{name}", max_staleness=0)
        return {"sub": auth.claims.subject}

    client = app.test_client()
    headers = bearer(sandbox.mint(scope="read:a"))
    assert client.get("/documents/a", headers=headers).status_code == 200
    assert client.get("/documents/b", headers=headers).status_code == 403
    assert client.get("/documents/a").status_code == 401


@pytest.mark.parametrize("bound", [-1, float("nan"), "1", True])
def test_a_wrong_bound_shows_when_the_route_is_made(sandbox: Sandbox, bound: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_staleness"):
        BearerAuth(sandbox.guard).required(max_staleness=bound)


class AsyncFlask(Flask):
    """A Flask that runs coroutines itself, as its documentation allows, without the extra `async`."""

    def async_to_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: asyncio.run(func(*args, **kwargs))


def test_an_async_view_is_protected_too(sandbox: Sandbox) -> None:
    app = AsyncFlask("made")
    auth = BearerAuth(sandbox.guard)
    auth.init_app(app)

    @app.get("/me/<int:number>")
    @auth.required(scope="me")
    async def me(number: int) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"sub": auth.claims.subject, "number": number}

    client = app.test_client()
    assert client.get("/me/3", headers=bearer(sandbox.mint(scope="me"))).json == {"sub": "ada", "number": 3}
    assert client.get("/me/3", headers=bearer(sandbox.mint())).status_code == 403
    assert client.get("/me/3").status_code == 401


def test_what_a_request_does_to_its_raw_claims_is_not_there_in_the_next(sandbox: Sandbox) -> None:
    forge = Forge(clock=sandbox.clock)
    app, auth = make_app(Guard(forge.verifier(), sandbox.denylist, clock=sandbox.clock))

    @app.get("/roles")
    @auth.required()
    def roles() -> list[str]:
        mine: list[str] = auth.claims.raw["roles"]
        mine.append("admin")
        return mine

    client = app.test_client()
    headers = bearer(forge.token(forge.claims(roles=["reader"])))
    for _ in range(2):
        assert client.get("/roles", headers=headers).json == ["reader", "admin"]


def test_the_guard_in_somebody_elses_callback_gives_the_same_answers(sandbox: Sandbox) -> None:
    """As flask-jwt-extended's token_in_blocklist_loader: another extension verifies, the guard checks."""
    app, auth = make_app(sandbox.guard)
    claims_sent = Forge(clock=sandbox.clock).claims()

    @app.before_request
    def other_extension() -> None:
        auth.guard.check(claims_sent)

    client = app.test_client()
    assert client.get("/open").status_code == 200
    with sandbox.redis_down():
        sandbox.clock.advance(1)
        response = client.get("/open")
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
    sandbox.revoke(next(one for one in _handles(claims_sent) if one.kind == "token"))
    response = client.get("/open")
    assert response.status_code == 401
    assert challenge(response)["error"] == "invalid_token"


def _handles(claims: dict[str, Any]) -> Any:
    return Claims.from_mapping(claims).handles


def test_the_token_can_be_read_without_judging_it(sandbox: Sandbox) -> None:
    app, _ = make_app(sandbox.guard)

    with app.test_request_context(headers={"Authorization": "bearer  abc "}):
        assert bearer_token() == "abc"
    with (
        app.test_request_context("/?access_token=x", headers={"Authorization": "Bearer abc"}),
        pytest.raises(InvalidRequestError),
    ):
        bearer_token()


# Who is calling belongs to the request


def test_the_caller_of_before_is_forgotten_where_an_application_context_outlives_requests(sandbox: Sandbox) -> None:
    app, auth = make_app(sandbox.guard)

    @app.get("/who")
    def who() -> str:
        claims = auth.claims_if_any
        return "nobody" if claims is None else claims.subject

    with app.app_context():
        client = app.test_client()
        assert client.get("/any", headers=bearer(sandbox.mint("ada"))).json == {"sub": "ada"}
        answer = client.get("/who")
    assert answer.text == "nobody"
    assert "Server-Timing" not in answer.headers


# Blueprints


def guarded_blueprint(auth: BearerAuth, how: str) -> Blueprint:
    pages = Blueprint("pages", __name__, url_prefix="/pages")
    if how == "protect":
        auth.protect(pages)
    else:
        pages.before_request(auth.require)
    pages.route("/", methods=["GET", "POST"])(lambda: auth.claims.subject)
    pages.route("/own", methods=["OPTIONS"], endpoint="own", provide_automatic_options=False)(
        lambda: "what only callers may see"
    )
    return pages


@pytest.mark.parametrize("how", ["protect", "before_request"])
def test_a_whole_blueprint_is_guarded_and_answers_preflights(sandbox: Sandbox, how: str) -> None:
    app, auth = make_app(sandbox.guard)
    app.register_blueprint(guarded_blueprint(auth, how))
    client = app.test_client()
    assert client.get("/pages/", headers=bearer(sandbox.mint("bob"))).text == "bob"
    assert client.get("/pages/").status_code == 401
    assert client.get("/pages/", headers=bearer("nonsense")).status_code == 401
    preflight = client.options(
        "/pages/", headers={"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}
    )
    assert (preflight.status_code, set(preflight.allow or ())) == (200, {"GET", "HEAD", "OPTIONS", "POST"})
    assert client.options("/pages/own").status_code == 401


def test_a_nested_blueprint_is_guarded_with_the_one_around_it(sandbox: Sandbox) -> None:
    app, auth = make_app(sandbox.guard)
    outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)
    auth.protect(outer, scope="read")
    inner.get("/inner")(lambda: "ok")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    client = app.test_client()
    assert client.get("/inner", headers=bearer(sandbox.mint())).status_code == 403
    assert client.get("/inner", headers=bearer(sandbox.mint(scope="read"))).status_code == 200


# Handlers of one's own


@pytest.mark.parametrize("kind", [RevocationError, InvalidTokenError, RevokedTokenError])
@pytest.mark.parametrize("place", ["app, before", "app, after", "blueprint"])
def test_a_handler_of_ones_own_is_asked(sandbox: Sandbox, kind: type[RevocationError], place: str) -> None:
    app, auth = Flask("made"), BearerAuth(sandbox.guard)
    pages = Blueprint("pages", __name__)
    pages.get("/")(auth.required()(lambda: "ok"))
    where = pages if place == "blueprint" else app
    handler = lambda error: (f"mine: {type(error).__name__}", 418)  # noqa: E731 (three registrations share it)
    if place != "app, after":
        where.register_error_handler(kind, handler)
    auth.init_app(app)
    if place == "app, after":
        where.register_error_handler(kind, handler)
    app.register_blueprint(pages)
    token = sandbox.mint()
    sandbox.revoke(token)
    answer = app.test_client().get("/", headers=bearer(token))
    assert (answer.status_code, answer.text) == (418, "mine: RevokedTokenError")
    assert SERVER_TIMING.fullmatch(answer.headers["Server-Timing"])


def test_a_view_may_handle_what_require_raises(sandbox: Sandbox) -> None:
    app, auth = make_app(sandbox.guard)

    @app.get("/maybe")
    def maybe() -> str:
        try:
            auth.require(scope="read")
        except InsufficientScopeError:
            return "less"
        return "all"

    client = app.test_client()
    assert client.get("/maybe", headers=bearer(sandbox.mint())).text == "less"
    assert client.get("/maybe", headers=bearer(sandbox.mint(scope="read"))).text == "all"


def test_a_view_that_handles_it_and_then_fails_has_failed(sandbox: Sandbox) -> None:
    app, auth = make_app(sandbox.guard)
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @app.get("/broken")
    def broken() -> str:
        with contextlib.suppress(InsufficientScopeError):
            auth.require(scope="read")
        raise ZeroDivisionError

    assert app.test_client().get("/broken", headers=bearer(sandbox.mint())).status_code == 500


# Bounds


def test_a_bound_that_no_follower_serves_is_refused_in_either_order() -> None:
    guard = Sandbox(longest_staleness=1.0).guard
    auth = BearerAuth(guard)
    auth.init_app(Flask("made"))
    pages = Blueprint("pages", __name__)
    asks: list[Callable[[], object]] = [
        lambda: auth.required(max_staleness=60),
        lambda: auth.optional(max_staleness=60),
        lambda: auth.protect(pages, max_staleness=60),
    ]
    for ask in asks:
        with pytest.raises(ConfigurationError, match=r"bounds=\[60\]"):
            ask()
    auth.required(max_staleness=float("inf"))
    later = BearerAuth(guard)
    later.required(max_staleness=60)
    with pytest.raises(ConfigurationError, match=r"bounds=\[60\]"):
        later.init_app(Flask("made"))


# Optional, roles, a token from elsewhere


def test_a_route_for_anybody_knows_who_has_a_token(sandbox: Sandbox) -> None:
    app, auth = make_app(sandbox.guard)

    @app.get("/greeting")
    @auth.optional(scope="me")
    def greeting() -> str:
        claims = auth.claims_if_any
        return "hello" if claims is None else f"hello {claims.subject}"

    client = app.test_client()
    assert client.get("/greeting").text == "hello"
    assert client.get("/greeting", headers=bearer(sandbox.mint(scope="me"))).text == "hello ada"
    assert client.get("/greeting", headers=bearer(sandbox.mint())).status_code == 403
    revoked = sandbox.mint(scope="me")
    sandbox.revoke(revoked)
    assert client.get("/greeting", headers=bearer(revoked)).status_code == 401
    assert client.get("/greeting", headers=bearer("nonsense")).status_code == 401


@pytest.mark.parametrize(
    ("name", "claims", "status"),
    [
        ("roles", {"roles": ["editor", "reader"]}, 200),
        ("roles", {"roles": "editor reader"}, 200),
        ("roles", {"roles": ["EDITOR", "editors"]}, 403),
        ("roles", {"roles": {"editor": True}}, 403),
        ("roles", {"roles": [["editor"], None, 1]}, 403),
        ("roles", {}, 403),
        ("realm_access.roles", {"realm_access": {"roles": ["admin"]}}, 200),
        ("realm_access.roles", {"realm_access": ["admin"]}, 403),
        ("https://app.example/roles", {"https://app.example/roles": ["admin"]}, 200),
        ("cognito:groups", {"cognito:groups": ["admin"]}, 200),
    ],
)
def test_roles_by_a_claim(sandbox: Sandbox, name: str, claims: dict[str, Any], status: int) -> None:
    app = Flask("made")
    auth = BearerAuth(sandbox.guard, roles_claim=name)
    auth.init_app(app)
    app.get("/")(auth.required(roles="editor admin")(lambda: "ok"))
    answer = app.test_client().get("/", headers=bearer(sandbox.mint(claims=claims)))
    assert answer.status_code == status
    if status == 403:
        assert set(challenge(answer)) == {"realm", "error", "error_description"}
        assert problem(answer)["reason"] == "insufficient_scope"


def test_a_token_that_the_view_read_itself(sandbox: Sandbox) -> None:
    app, auth = make_app(sandbox.guard)

    @app.get("/socket/<token>")
    def socket(token: str) -> str:
        auth.require(token=token)
        return auth.claims.subject

    client = app.test_client()
    assert client.get(f"/socket/{sandbox.mint('bob')}").text == "bob"
    assert client.get("/socket/nonsense", headers=bearer(sandbox.mint())).status_code == 401


# Logging out


@pytest.mark.parametrize("session", ["s-1", None])
def test_logging_out_takes_back_the_session_or_the_token_alone(sandbox: Sandbox, session: str | None) -> None:
    app, auth = make_app(sandbox.guard)

    @app.post("/logout")
    @auth.required()
    def logout() -> tuple[str, int]:
        auth.log_out()
        return "", 204

    client = app.test_client()
    token, other = sandbox.mint(session=session), sandbox.mint(session=session)
    assert client.post("/logout", headers=bearer(token)).status_code == 204
    assert client.get("/any", headers=bearer(token)).status_code == 401
    assert client.get("/any", headers=bearer(other)).status_code == (200 if session is None else 401)


def test_who_logged_out_is_refused_by_this_process_at_once_and_from_memory(valkey: Server, namespace: str) -> None:
    denylist = opened(valkey.client(), namespace)
    until(lambda: can_mint(denylist))
    forge = Forge(clock=Clock(time.time()))
    guard = Guard(forge.verifier(), denylist, max_staleness=60)
    app, auth = make_app(guard)
    guard.start()
    until(lambda: guard.follower is not None and guard.follower.state.age_seconds < 60)

    @app.post("/logout")
    @auth.required()
    def logout() -> str:
        auth.log_out(wait_seconds=0)
        return "bye"

    client = app.test_client()
    for number in range(20):
        headers = bearer(forge.token(forge.claims(sid=f"s-{number}")))
        assert client.post("/logout", headers=headers).text == "bye"
        answer = client.get("/any", headers=headers)
        assert (answer.status_code, problem(answer)["reason"]) == (401, "revoked")
        assert 'desc="follower"' in answer.headers["Server-Timing"]
    guard.stop()


def test_a_state_of_the_denylist_that_forbids_it_is_a_conflict_and_no_500(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, auth = make_app(sandbox.guard)
    monkeypatch.setattr("revocation.memory.MAX_REVOKED_KEYS", 1)

    @app.post("/keys/<name>")
    def revoke(name: str) -> str:
        auth.guard.denylist.revoke(Handle("key", name, issuer="https://auth.example"))
        return "revoked"

    client = app.test_client()
    assert client.post("/keys/one").status_code == 200
    answer = client.post("/keys/two")
    assert (answer.status_code, problem(answer)["reason"]) == (409, "conflict")
