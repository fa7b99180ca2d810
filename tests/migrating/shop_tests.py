"""The tests that the shop has had since before it could take anything back."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from shop import create_app  # type: ignore[import-not-found]  # it lies beside a copy of this file


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    app = create_app(TESTING=True)
    with app.test_client() as client:
        yield client


def login(client: FlaskClient, name: str = "ada") -> dict[str, str]:
    tokens: dict[str, str] = client.post("/login", json={"name": name, "password": "correct horse"}).get_json()
    return tokens


def csrf(client: FlaskClient, kind: str = "access") -> dict[str, str]:
    cookie = client.get_cookie(f"csrf_{kind}_token")
    assert cookie is not None
    return {"X-CSRF-TOKEN": cookie.value}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_wrong_password_is_no_login(client: FlaskClient) -> None:
    assert client.post("/login", json={"name": "ada", "password": "x"}).status_code == 401


def test_a_login_by_cookie(client: FlaskClient) -> None:
    login(client)
    assert client.get("/me").get_json() == {"name": "ada"}


def test_a_login_by_header(client: FlaskClient) -> None:
    token = login(client)["access_token"]
    other = client.application.test_client()
    assert other.get("/me").status_code == 401
    assert other.get("/me", headers=bearer(token)).get_json() == {"name": "ada"}


def test_a_refresh_by_cookie_needs_its_second_half(client: FlaskClient) -> None:
    login(client)
    assert client.post("/refresh").status_code == 401
    assert client.post("/refresh", headers=csrf(client, "refresh")).status_code == 200
    assert client.get("/me").status_code == 200


def test_a_refresh_token_is_no_access_token(client: FlaskClient) -> None:
    tokens = login(client)
    other = client.application.test_client()
    assert other.get("/me", headers=bearer(tokens["refresh_token"])).status_code == 422
    assert other.post("/refresh", headers=bearer(tokens["access_token"])).status_code == 422


def test_logging_out_takes_the_cookies(client: FlaskClient) -> None:
    login(client)
    assert client.post("/logout", headers=csrf(client)).status_code == 200
    assert client.get("/me").status_code == 401


def test_who_logs_in_again_is_in(client: FlaskClient) -> None:
    for _ in range(2):
        login(client)
        assert client.get("/me").status_code == 200
        client.post("/logout", headers=csrf(client))
