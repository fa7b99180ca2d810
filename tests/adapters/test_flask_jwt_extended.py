"""protect: flask-jwt-extended goes on as it is, and its tokens can be revoked wherever it finds them."""

import datetime as dt
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    decode_token,
    get_csrf_token,
    get_jwt,
    jwt_required,
    set_access_cookies,
)

from revocation import Claims, Guard, Handle
from revocation.bearer import Bearer
from revocation.errors import DenylistUnavailableError
from revocation.flask_jwt_extended import log_out, login_claim, protect
from revocation.testing import Clock, FaultyDenylist, Sandbox, SandboxFollower


class Setting:
    """An application with flask-jwt-extended, and the deny-list that its guard asks."""

    def __init__(self) -> None:
        self.clock = Clock(time.time())
        self.denylist = FaultyDenylist(lifetimes=Sandbox().denylist.lifetimes, clock=self.clock)
        follower = SandboxFollower(self.denylist, longest_seconds=60, clock=self.clock)
        guard = Guard(None, self.denylist, follower=follower, clock=self.clock)
        self.app = Flask("made")
        self.app.config |= {
            "JWT_SECRET_KEY": "s" * 32,
            "JWT_ENCODE_ISSUER": "https://app.example",
            "JWT_DECODE_ISSUER": "https://app.example",
            "JWT_TOKEN_LOCATION": ["headers", "cookies"],
            "JWT_REFRESH_TOKEN_EXPIRES": dt.timedelta(hours=8),
        }
        jwt = JWTManager(self.app)
        protect(jwt, guard)
        self.app.register_error_handler(Exception, lambda _: ("broken", 500))
        self.app.route("/me", endpoint="me", methods=["GET", "POST"])(jwt_required()(lambda: "me"))
        self.app.post("/refresh", endpoint="refresh")(jwt_required(refresh=True)(lambda: create_access_token("ada")))
        self.app.get("/optional", endpoint="optional")(jwt_required(optional=True)(lambda: "optional"))
        self.client: FlaskClient = self.app.test_client()

    def token(self, make: Any = create_access_token, **options: Any) -> str:
        with self.app.app_context():
            token: str = make("ada", **options)
        return token

    def revoke(self, token: str) -> None:
        with self.app.app_context():
            self.denylist.revoke(Handle.token(Claims.from_mapping(decode_token(token))))


@pytest.fixture
def setting() -> Setting:
    return Setting()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_revoked_token_gets_the_answer_of_the_extension(setting: Setting) -> None:
    token, refresh = setting.token(), setting.token(create_refresh_token)
    assert setting.client.get("/me", headers=bearer(token)).status_code == 200
    assert setting.client.post("/refresh", headers=bearer(refresh)).status_code == 200

    setting.revoke(token)
    setting.revoke(refresh)

    for answer in (
        setting.client.get("/me", headers=bearer(token)),
        setting.client.get("/optional", headers=bearer(token)),
        setting.client.post("/refresh", headers=bearer(refresh)),
    ):
        assert (answer.status_code, answer.json) == (401, {"msg": "Token has been revoked"})


def test_a_token_in_a_cookie_is_revoked_too_and_needs_its_second_half(setting: Setting) -> None:
    token = setting.token()
    with setting.app.app_context():
        csrf = get_csrf_token(token)
        answer = setting.app.response_class()
        set_access_cookies(answer, token)
    for cookie in answer.headers.getlist("Set-Cookie"):
        name, _, value = cookie.partition(";")[0].partition("=")
        setting.client.set_cookie(name, value)

    assert setting.client.post("/me").status_code == 401
    assert setting.client.post("/me", headers={"X-CSRF-TOKEN": csrf}).status_code == 200
    setting.revoke(token)
    assert setting.client.post("/me", headers={"X-CSRF-TOKEN": csrf}).json == {"msg": "Token has been revoked"}


def test_where_nobody_can_say_it_is_503_and_never_500(setting: Setting) -> None:
    token = setting.token()
    assert setting.client.get("/me", headers=bearer(token)).status_code == 200

    setting.denylist.down = True
    setting.clock.advance(2)
    answer = setting.client.get("/me", headers=bearer(token))

    expected = Bearer().answer(DenylistUnavailableError("away"))
    assert (answer.status_code, answer.data) == (503, expected.body)
    assert answer.headers["Retry-After"] == "1"
    setting.denylist.down = False
    assert setting.client.get("/me", headers=bearer(token)).status_code == 200


def test_a_token_that_no_revocation_could_name_is_invalid(setting: Setting) -> None:
    token = setting.token(expires_delta=False)

    answer = setting.client.get("/me", headers=bearer(token))

    assert answer.status_code == 422
    assert answer.json is not None
    assert "exp" in answer.json["msg"]


def test_revoking_the_key_refuses_what_it_signed(setting: Setting) -> None:
    token = setting.token(additional_headers={"kid": "key-1"})
    assert setting.client.get("/me", headers=bearer(token)).status_code == 200

    setting.denylist.revoke(Handle("key", "key-1", issuer="https://app.example"))

    assert setting.client.get("/me", headers=bearer(token)).status_code == 401


def test_who_signs_in_as_somebody_else_gets_a_login_of_its_own(setting: Setting) -> None:
    app, guard = Flask("logins"), Guard(None, setting.denylist, max_staleness=0, clock=setting.clock)
    app.config |= setting.app.config
    jwt = JWTManager(app)
    protect(jwt, guard)
    jwt.additional_claims_loader(login_claim)
    jwt.user_identity_loader(lambda user: user.rpartition("/")[2])

    @app.post("/login/<user>")
    @jwt_required(optional=True)  # type: ignore[untyped-decorator]  # the extension's types say less
    def login(user: str) -> list[str]:
        return [create_access_token(f"users/{user}"), create_refresh_token(user), create_access_token("users/eve")]

    @app.get("/me")
    @jwt_required()  # type: ignore[untyped-decorator]  # the extension's types say less
    def me() -> dict[str, str]:
        return {name: get_jwt()[name] for name in ("sub", "sid")}

    @app.post("/logout")
    @jwt_required()  # type: ignore[untyped-decorator]  # the extension's types say less
    def logout() -> str:
        log_out(guard)
        return "out"

    client = app.test_client()
    ada = client.post("/login/ada").json
    assert ada is not None
    bob = client.post("/login/bob", headers=bearer(ada[0])).json
    again = client.post("/login/ada", headers=bearer(ada[0])).json
    assert bob is not None
    assert again is not None
    sids = [
        (client.get("/me", headers=bearer(token)).json or {})["sid"] for token in (ada[0], again[0], bob[0], bob[2])
    ]
    assert sids[0] == sids[1]
    assert len(set(sids)) == 3

    client.post("/logout", headers=bearer(ada[0]))
    assert [client.get("/me", headers=bearer(made[0])).status_code for made in (ada, again, bob)] == [401, 401, 200]
