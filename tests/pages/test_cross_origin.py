"""An app of another origin in a real browser: it signs in, calls the API and logs out, and a stranger's page cannot."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.pages.browsers import visiting
from tests.support.service import ADMIN_PASSWORD, Service, serving

#: What such an app does, and what it is told; `blocked` where the browser shows it no answer.
_APP = """async ([service, password]) => {
    const told = {};
    const call = async (name, path, options) => {
        try {
            const answer = await fetch(service + path, options);
            told[name] = [answer.status, answer.headers.get("WWW-Authenticate")];
            return await answer.json().catch(() => ({}));
        } catch { told[name] = "blocked"; return {}; }
    };
    const json = {"Content-Type": "application/json"};
    const {access_token} = await call("sign in", "/auth/login", {
        method: "POST", headers: json, body: JSON.stringify({username: "admin", password})});
    const bearer = {Authorization: `Bearer ${access_token}`};
    await call("me", "/api/me", {headers: bearer});
    await call("log out", "/auth/logout", {method: "POST", headers: bearer});
    await call("me afterwards", "/api/me", {headers: bearer});
    await call("console", "/console/session", {headers: bearer});
    return told;
}"""


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>An app</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the app's page is served: at 127.0.0.1 it is of one origin, and at localhost of another."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(timeout=10)


@pytest.fixture(scope="module")
def service(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    environment = {"APP_CORS_ORIGINS": f"http://127.0.0.1:{port}", "APP_WORKERS": "1"}
    with serving(tmp_path_factory.mktemp("cors"), **environment) as service:
        yield service


def _what_it_is_told(page: Page, service: Service) -> dict[str, Any]:
    told: dict[str, Any] = page.evaluate(_APP, [service.url, ADMIN_PASSWORD])
    return told


def test_an_app_of_a_named_origin_signs_in_calls_and_logs_out(browser: Browser, service: Service, port: int) -> None:
    with visiting(browser, f"http://127.0.0.1:{port}") as visitor:
        told = _what_it_is_told(visitor.visit("/"), service)

        assert told.pop("console") == "blocked"
        status, challenge = told.pop("me afterwards")
        assert told == {"sign in": [200, None], "me": [200, None], "log out": [200, None]}
        assert status == 401
        assert 'error="invalid_token"' in challenge
        visitor.troubles[:] = [one for one in visitor.troubles if "/console/session" not in one and "net::" not in one]


def test_an_app_of_another_origin_is_shown_nothing(browser: Browser, service: Service, port: int) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://localhost:{port}/")
    told = _what_it_is_told(page, service)
    context.close()

    assert set(told.values()) == {"blocked"}
