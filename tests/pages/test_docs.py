"""The reference at `/docs`, as people with different eyes and screens see it."""

import pytest
from playwright.sync_api import Browser, expect

from tests.pages.browsers import Visitor, visiting
from tests.support.service import Service


@pytest.mark.parametrize(
    ("name", "scheme", "width"), [("light", "light", 1280), ("dark", "dark", 1280), ("phone", "light", 390)]
)
def test_everyone_can_read_the_reference(
    browser: Browser, service: Service, name: str, scheme: str, width: int
) -> None:
    with visiting(browser, service.url, scheme="dark" if scheme == "dark" else "light", width=width) as visitor:
        page = visitor.visit("/docs")
        expect(page.get_by_role("heading", level=1)).to_have_text("API reference")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert visitor.barriers() == []
        visitor.keep(f"docs-{name}", full_page=False)


def test_one_text_that_is_hard_to_read_is_found(visitor: Visitor) -> None:
    page = visitor.visit("/docs")
    page.locator("#post-admin-revocations h3").first.evaluate("heading => heading.style.color = '#eee'")

    assert [barrier.partition(":")[0] for barrier in visitor.barriers()] == ["color-contrast"]


def test_every_operation_of_the_description_can_be_reached_from_the_contents(
    visitor: Visitor, service: Service
) -> None:
    described = service.get("/openapi.json").json()
    page = visitor.visit("/docs")
    contents = page.get_by_role("navigation", name="Endpoints")
    for path in described["paths"]:
        link = contents.get_by_role("link").filter(has_text=path).first
        anchor = link.get_attribute("href")
        assert anchor is not None
        assert page.locator(anchor).count() == 1


def test_a_link_leads_to_its_endpoint(visitor: Visitor) -> None:
    page = visitor.visit("/docs")
    page.get_by_role("navigation", name="Endpoints").get_by_role("link", name="POST /admin/revocations").click()
    expect(page.locator("#post-admin-revocations")).to_be_in_viewport()
    visitor.keep("docs-endpoint", full_page=False)
