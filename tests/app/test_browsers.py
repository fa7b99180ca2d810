"""What every answer tells a browser."""

import pytest

from tests.app.api import Api


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
