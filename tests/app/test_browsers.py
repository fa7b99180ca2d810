"""What every answer tells a browser."""

from collections.abc import Iterator

import pytest

from app.settings import Settings
from revocation import ConfigurationError
from tests.app.api import Api, prepared, settings_for
from tests.support.servers import Server

OURS, OTHER = "https://app.example", "https://app.example.evil"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/me", 401),
        ("GET", "/.well-known/jwks.json", 200),
        ("GET", "/healthz", 200),
        ("POST", "/oauth/token", 400),
        ("GET", "/oauth/nowhere", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/console", 200),
        ("GET", "/static/theme.css", 200),
        ("OPTIONS", "/auth/login", 200),
    ],
)
def test_no_answer_is_taken_for_another_type(api: Api, method: str, path: str, status: int) -> None:
    answer = api.ask(method, path)
    assert (answer.status_code, answer.headers.getlist("X-Content-Type-Options")) == (status, ["nosniff"])


@pytest.fixture(scope="module")
def open_api(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service that pages of two origins may call."""
    origins = f"{OURS},http://localhost:3000"
    with prepared(settings_for(valkey, tmp_path_factory.mktemp("cors"), APP_CORS_ORIGINS=origins)) as api:
        yield api


def preflight(api: Api, path: str, origin: str, *, method: str = "POST") -> dict[str, str]:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    answer = api.ask("OPTIONS", path, headers=headers)
    assert answer.status_code == 200
    return {name: value for name, value in answer.headers.items() if name.startswith("Access-Control-")}


@pytest.mark.parametrize("path", ["/auth/login", "/auth/logout", "/oauth/token", "/api/me"])
def test_a_preflight_of_an_allowed_origin_is_answered_without_a_token(open_api: Api, path: str) -> None:
    told = preflight(open_api, path, OURS)
    assert told["Access-Control-Allow-Origin"] == OURS
    assert set(told["Access-Control-Allow-Headers"].lower().split(", ")) == {"authorization", "content-type"}
    assert "DELETE" in told["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Credentials" not in told


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("/api/me", OTHER),
        ("/api/me", "https://APP.example.evil"),
        ("/api/me", "http://app.example"),
        ("/api/me", "null"),
        ("/admin/users", OURS),
        ("/console/session", OURS),
        ("/apiary", OURS),
    ],
)
def test_nobody_else_and_nothing_else_is_allowed(open_api: Api, path: str, origin: str) -> None:
    answer = open_api.ask("OPTIONS", path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(("token", "status"), [(True, 200), (False, 401)])
def test_an_allowed_origin_reads_answers_and_refusals(open_api: Api, token: bool, status: int) -> None:
    login = open_api.login()
    answer = open_api.get("/api/me", token=login.access_token if token else None, headers={"Origin": OURS})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, OURS)
    assert "Origin" in answer.headers["Vary"]
    assert "WWW-Authenticate" in answer.headers["Access-Control-Expose-Headers"]
    assert open_api.get("/oauth/nowhere", headers={"Origin": OURS}).headers["Access-Control-Allow-Origin"] == OURS


def test_by_default_no_other_origin_reads_anything(api: Api) -> None:
    assert "Access-Control-Allow-Origin" not in preflight(api, "/api/me", OURS)
    assert "Access-Control-Allow-Origin" not in api.get("/api/me", headers={"Origin": OURS}).headers


@pytest.mark.parametrize(
    "value",
    ["*", "null", "app.example", "https://app.example/", "https://*.example", "https://[::1]:3000", "https://a b"],
)
def test_what_is_no_origin_stops_the_start(value: str) -> None:
    with pytest.raises(ConfigurationError, match="APP_CORS_ORIGINS"):
        Settings.from_mapping({"APP_CORS_ORIGINS": value})
