"""The pages of an issuer with a path, in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.pages.browsers import visiting
from tests.support.service import ADMIN_PASSWORD, Service, serving


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("mounted"), APP_ISSUER="http://127.0.0.1:1/login", APP_WORKERS="1") as service:
        yield service


def test_the_playground_and_the_console_work_under_the_path(browser: Browser, mounted: Service) -> None:
    with visiting(browser, f"{mounted.url}/login") as visitor:
        page = visitor.visit("/")
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("heading", name="Read the token")).to_be_focused()

        page.get_by_role("link", name="Console", exact=True).click()
        expect(page).to_have_url(f"{mounted.url}/login/console")
        page.get_by_label("User", exact=True).fill("admin")
        page.get_by_label("Password").fill(ADMIN_PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_label("Find a user")).to_be_visible()
        page.reload()
        expect(page.get_by_label("Find a user")).to_be_visible()
