"""Tokens in cookies: read where they are asked for, and only with proof that the app's own page made the request."""

from http.cookies import SimpleCookie

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from revocation.flask import BearerAuth, TokenCookies
from revocation.testing import Sandbox


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
def cookies() -> TokenCookies:
    return TokenCookies()


@pytest.fixture
def client(sandbox: Sandbox, cookies: TokenCookies) -> FlaskClient:
    app = Flask("made")
    auth = BearerAuth(sandbox.guard, cookies=cookies)
    auth.init_app(app)

    @app.post("/login")
    def login() -> Response:
        response = Response()
        cookies.set(response, sandbox.mint(), max_age_seconds=900)
        return response

    @app.post("/logout")
    @auth.required()
    def logout() -> Response:
        auth.log_out()
        response = Response(status=204)
        cookies.unset(response)
        return response

    @app.route("/me", methods=["GET", "POST", "DELETE"])
    @auth.required()
    def me() -> str:
        return auth.claims.subject

    return app.test_client()


def word(client: FlaskClient) -> str:
    cookie = client.get_cookie("csrf_access_token")
    assert cookie is not None
    return cookie.value


def test_a_page_signs_in_reads_changes_and_signs_out(client: FlaskClient) -> None:
    for line in client.post("/login").headers.getlist("Set-Cookie"):
        [(name, morsel)] = SimpleCookie(line).items()
        assert (morsel["secure"], morsel["samesite"], morsel["max-age"]) == (True, "Lax", "900")
        assert bool(morsel["httponly"]) == (name == "access_token")
    client = as_https(client)
    assert client.get("/me").text == "ada"
    assert client.post("/me", headers={"X-CSRF-TOKEN": word(client)}).text == "ada"
    assert client.post("/logout", headers={"X-CSRF-TOKEN": word(client)}).status_code == 204
    assert client.get_cookie("access_token") is None
    assert client.get("/me").status_code == 401


def as_https(client: FlaskClient) -> FlaskClient:
    client.environ_base["wsgi.url_scheme"] = "https"
    return client


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("headers", [{}, {"X-CSRF-TOKEN": ""}, {"X-CSRF-TOKEN": "guessed"}, {"X-CSRF-TOKEN": "é"}])
def test_a_request_of_another_site_changes_nothing(client: FlaskClient, method: str, headers: dict[str, str]) -> None:
    client.post("/login")
    answer = as_https(client).open("/me", method=method, headers=headers)
    assert answer.status_code == 400
    assert answer.get_json(force=True)["reason"] == "invalid_request"


def test_the_word_of_one_token_is_no_word_for_another(
    client: FlaskClient, sandbox: Sandbox, cookies: TokenCookies
) -> None:
    client.post("/login")
    planted = cookies.word(sandbox.mint("eve"))
    client.set_cookie("csrf_access_token", planted)
    assert as_https(client).post("/me", headers={"X-CSRF-TOKEN": planted}).status_code == 400


def test_a_token_in_the_header_comes_first_and_needs_no_word(client: FlaskClient, sandbox: Sandbox) -> None:
    client.post("/login")
    headers = {"Authorization": f"Bearer {sandbox.mint('bob')}"}
    assert as_https(client).post("/me", headers=headers).text == "bob"
    assert as_https(client).get("/me", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_without_a_token_anywhere_it_is_missing(client: FlaskClient) -> None:
    answer = client.post("/me")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
