"""The console's cookie in the hands of other sites, and other things in the place of the cookie."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.app.api import ADMIN_PASSWORD, Api, Login, prepared, settings_for
from tests.support.servers import Server

SESSION = "/console/session"
OURS = {"Origin": "http://127.0.0.1:8000"}

#: The headers of requests that no page of the service sent: their cookie may be there, for ports share cookies.
FOREIGN: dict[str, dict[str, str]] = {
    "no origin": {},
    "an opaque origin": {"Origin": "null"},
    "another site": {"Origin": "https://evil.example"},
    "another port of the same host": {"Origin": "http://127.0.0.1:3000"},
    "the other scheme": {"Origin": "https://127.0.0.1:8000"},
    "a longer host": {"Origin": "http://127.0.0.1:8000.evil.example"},
    "ours as a user name": {"Origin": "http://127.0.0.1:8000@evil.example"},
    "several origins": {"Origin": "http://127.0.0.1:8000 https://evil.example"},
    "a path": {"Origin": "http://127.0.0.1:8000/"},
    "a referer instead": {"Referer": "http://127.0.0.1:8000/console"},
    "a page of the same site": {**OURS, "Sec-Fetch-Site": "same-site"},
    "a page of another site": {**OURS, "Sec-Fetch-Site": "cross-site"},
    "an address that was typed": {**OURS, "Sec-Fetch-Site": "none"},
}

ROUTES = [("POST", SESSION), ("POST", f"{SESSION}/refresh"), ("DELETE", SESSION)]


@pytest.fixture(scope="module")
def api(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with prepared(settings_for(valkey, tmp_path_factory.mktemp("service"))) as api:
        assert OURS["Origin"] == api.settings.issuer
        yield api


@pytest.fixture
def admin(api: Api) -> Login:
    return api.login("admin", ADMIN_PASSWORD)


def ask(api: Api, method: str, path: str, *, cookie: str, headers: dict[str, str], **kwargs: Any) -> TestResponse:
    # As behind a name that clients use: the host alone must not make an origin ours.
    headers = {"Host": "127.0.0.1:8000", "Cookie": f"console={cookie}", **headers}
    if path == SESSION and method == "POST" and not kwargs:
        kwargs["json"] = {"username": "admin", "password": ADMIN_PASSWORD}
    return api.ask(method, path, headers=headers, **kwargs)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("sender", FOREIGN)
def test_csrf(api: Api, admin: Login, method: str, path: str, sender: str) -> None:
    answer = ask(api, method, path, cookie=admin.refresh_token, headers=FOREIGN[sender])

    assert (answer.status_code, answer.get_json()["reason"]) == (403, "foreign_origin")
    assert "Set-Cookie" not in answer.headers
    # Nothing was ended, and nothing used up.
    assert api.me(admin.access_token) == 200
    used = ask(api, "POST", f"{SESSION}/refresh", cookie=admin.refresh_token, headers=OURS)
    assert used.status_code == 200


@pytest.mark.parametrize("host", ["evil.example:99999", "evil.example:x", "[::1", "a b", "", "evil.example", "\x7f"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_made_up_host_makes_no_origin_ours(api: Api, admin: Login, method: str, path: str, host: str) -> None:
    headers = {"Host": host, "Origin": "https://evil.example"}

    answer = ask(api, method, path, cookie=admin.refresh_token, headers=headers)

    assert answer.status_code in (400, 403)
    assert api.me(admin.access_token) == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_login_csrf_by_a_form(api: Api, media_type: str) -> None:
    body = f'{{"username": "admin", "password": "{ADMIN_PASSWORD}"}}'
    headers = {"Content-Type": media_type}

    assert ask(api, "POST", SESSION, cookie="", headers={**headers, **OURS}, data=body).status_code == 415
    foreign = {**headers, "Origin": "https://evil.example"}
    assert ask(api, "POST", SESSION, cookie="", headers=foreign, data=body).status_code == 403


def test_no_answer_of_the_console_may_be_read_by_another_origin(api: Api, admin: Login) -> None:
    for method, path in [*ROUTES, ("OPTIONS", SESSION), ("GET", "/console")]:
        answer = ask(api, method, path, cookie=admin.refresh_token, headers={"Origin": "https://evil.example"})
        assert not [name for name in answer.headers.keys() if name.startswith("Access-Control-")]  # noqa: SIM118


def test_the_cookie_opens_nothing_but_its_own_routes(api: Api, admin: Login) -> None:
    for path in ("/admin/audit", "/admin/revocations", "/admin/health", "/auth/sessions", "/api/me"):
        for cookie in (admin.refresh_token, admin.access_token):
            assert ask(api, "GET", path, cookie=cookie, headers=OURS).status_code == 401, path
    answer = ask(api, "POST", "/auth/refresh", cookie=admin.refresh_token, headers=OURS, json={})
    assert answer.status_code == 400


@pytest.mark.parametrize("cookie", ["", "x", "a" * 22 + ".1." + "A" * 43, "%00", '"quoted"'])
def test_a_made_up_cookie_signs_nobody_in(api: Api, cookie: str) -> None:
    answer = ask(api, "POST", f"{SESSION}/refresh", cookie=cookie, headers=OURS)

    assert answer.status_code in (204, 401)
    assert "access_token" not in answer.text


def test_an_access_token_in_the_place_of_the_cookie(api: Api, admin: Login) -> None:
    answer = ask(api, "POST", f"{SESSION}/refresh", cookie=admin.access_token, headers=OURS)

    assert (answer.status_code, answer.get_json()["reason"]) == (401, "invalid_refresh_token")


def test_the_refresh_token_of_somebody_who_may_not_administer_in_the_place_of_the_cookie(api: Api) -> None:
    user = api.login(api.add_user(scope="reports:read"))

    answer = ask(api, "POST", f"{SESSION}/refresh", cookie=user.refresh_token, headers=OURS)

    assert (answer.status_code, answer.get_json()["reason"]) == (403, "not_an_admin")
    assert "access_token" not in answer.text


def test_a_stolen_cookie_that_is_used_again_ends_the_session(valkey: Server, tmp_path: Path) -> None:
    with prepared(settings_for(valkey, tmp_path, APP_REFRESH_GRACE="0")) as api:
        admin = api.login("admin", ADMIN_PASSWORD)
        first = ask(api, "POST", f"{SESSION}/refresh", cookie=admin.refresh_token, headers=OURS)
        assert first.status_code == 200

        again = ask(api, "POST", f"{SESSION}/refresh", cookie=admin.refresh_token, headers=OURS)

        assert again.status_code == 401
        assert api.me(first.get_json()["access_token"]) == 401


def test_clickjacking(api: Api) -> None:
    page = api.get("/console")

    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Frame-Options"] == "DENY"
