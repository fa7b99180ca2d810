"""An issuer with a path: what is asked for under it is answered, and what is served stays under it."""

import re
from collections.abc import Iterator

import pytest

from tests.app.api import ADMIN_PASSWORD, Api, prepared, settings_for
from tests.support.servers import Server

ORIGIN = "https://auth.example"


@pytest.fixture(scope="module", params=["/login", "/a/b", "/auth", "/admin"])
def path(request: pytest.FixtureRequest) -> str:
    """The path of the issuer; the last two begin as routes of the service do."""
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def api(path: str, valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with prepared(settings_for(valkey, tmp_path_factory.mktemp("service"), APP_ISSUER=f"{ORIGIN}{path}")) as api:
        yield api


@pytest.fixture(params=["passed on", "taken off"])
def asked(request: pytest.FixtureRequest, path: str) -> str:
    """What the proxy in front puts before a route."""
    return path if request.param == "passed on" else ""


def test_pages_and_their_files_and_links_are_under_the_path(api: Api, path: str, asked: str) -> None:
    for name in ("/console", "/docs"):
        page = api.get(f"{asked}{name}")
        assert page.status_code == 200
        links = [link for link in re.findall(r'(?:href|src)="(/[^"]*)"', page.text) if not link.startswith("//")]
        assert len(links) > 3
        for link in links:
            assert link.startswith(f"{path}/")
            assert api.get(asked + link.removeprefix(path)).status_code == 200, link


def test_the_root_leads_to_a_page_under_the_path(api: Api, path: str, asked: str) -> None:
    answer = api.get(f"{asked}/")
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"{path}/docs"
    if asked:
        assert api.get(asked).status_code == 302


def test_the_console_stays_signed_in_by_a_cookie_of_the_path(api: Api, path: str, asked: str) -> None:
    own = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
    admin = {"username": "admin", "password": ADMIN_PASSWORD}
    signed_in = api.post(f"{asked}/console/session", json=admin, headers=own)
    assert signed_in.status_code == 200
    cookies = signed_in.headers.getlist("Set-Cookie")
    assert cookies
    assert all(f"Path={path}/console/session;" in cookie for cookie in cookies)
    cookie = next(cookie.partition(";")[0] for cookie in cookies if "console=" in cookie)
    renewed = api.post(f"{asked}/console/session/refresh", headers={**own, "Cookie": cookie})
    assert renewed.status_code == 200


def test_clients_find_and_use_the_endpoints(api: Api, path: str, asked: str) -> None:
    metadata = api.get(f"/.well-known/oauth-authorization-server{path}").get_json()
    for name in ("jwks_uri", "token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        assert metadata[name].startswith(f"{ORIGIN}{path}/")
        under = metadata[name].removeprefix(f"{ORIGIN}{path}")
        assert api.get(f"{asked}{under}").status_code in (200, 405)
    login = api.post(f"{asked}/auth/login", json={"username": "admin", "password": ADMIN_PASSWORD})
    token = login.get_json()["access_token"]
    assert api.get(f"{asked}/api/me", token=token).status_code == 200
    assert api.get(f"{asked}/verify", token=token).status_code == 200
    assert api.post(f"{asked}/auth/logout", token=token).status_code == 200
    assert api.get(f"{asked}/verify", token=token).status_code == 401


def test_what_is_under_no_route_is_not_found(api: Api, path: str) -> None:
    for unknown in (f"{path}{path}{path}/console", f"{path}x/console", f"{path}/nothing"):
        assert api.get(unknown).status_code == 404, unknown
