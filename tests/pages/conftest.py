"""What the tests of the pages share: a browser, the service on its embedded store, and a visitor.

A browser lives as long as one module: while Playwright runs, its event loop counts as running in this process, and
tests that bring a loop of their own could not.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.pages.browsers import Visitor, chromium, visiting
from tests.support.service import Service, serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service as `make run` starts it; the tests of a module share it."""
    with serving(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def visitor(browser: Browser, service: Service) -> Iterator[Visitor]:
    """Somebody at a desk, by daylight."""
    with visiting(browser, service.url) as visitor:
        yield visitor
