"""Debian's Chromium, and pages that notice what a visitor never should have to: errors, blocked scripts, barriers."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Response, sync_playwright

from tests.support.requirements import require

ARTIFACTS = Path(__file__).parents[2] / ".artifacts"

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Chromium reports every answer above 399 that a script asked for. Refusals are what these pages are about.
_REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (400|401|403|404|409|429) ")

#: axe-core takes two milliseconds for the contrast of one element, and the reference has five thousand. One element
#: stands for all that have its look: the same names, classes and states, up to the root of the page.
_BARRIERS = """async () => {
  const shows = /^(class|style|type|role|aria-(?!label|desc|contr))/;
  const looks = new Map();
  for (const element of document.querySelectorAll("body *")) {
    const speaks = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!speaks || !element.checkVisibility()) continue;
    const look = [];
    for (let at = element; at; at = at.parentElement) {
      const shown = [...at.attributes].filter(({name}) => shows.test(name));
      look.push(at.tagName, ...at.getAttributeNames(), ...shown.map(({value}) => value));
    }
    looks.set(look.join(" "), element);
  }
  const all = {resultTypes: ["violations"]};
  const rest = await axe.run({...all, rules: {"color-contrast": {enabled: false}}});
  const contrast = await axe.run([...looks.values()], {...all, runOnly: ["color-contrast"]});
  return [...rest.violations, ...contrast.violations];
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the tests of a laptop without one are skipped.

    The shell is Chromium without windows: a context of it takes a third of the computing.
    """
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    require(path, "chromium is not installed (Debian: apt-get install chromium-headless-shell)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """Somebody with a page open. `page` is Playwright's."""

    page: Page
    address: str
    #: What went wrong meanwhile: console errors (blocked by the policy among them), exceptions, files not found.
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_error)
        self.page.on("response", self._on_response)

    def visit(self, path: str) -> Page:
        """Open a page of the service."""
        self.page.goto(self.address + path)
        return self.page

    def keep(self, name: str, *, full_page: bool = True) -> None:
        """A screenshot under .artifacts/, to be looked at."""
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=full_page)

    def barriers(self) -> list[str]:
        """What axe-core finds, however small, that stands in the way of people who use the page in another way."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(Axe().axe_script)
        found: list[dict[str, Any]] = self.page.evaluate(_BARRIERS)
        return [
            f"{one['id']}: {one['help']}: {', '.join(str(node['target']) for node in one['nodes'])}" for one in found
        ]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _REFUSED.match(message.text):
            self.troubles.append(f"console: {message.text}")

    def _on_error(self, error: Error) -> None:
        self.troubles.append(f"exception: {error}")

    def _on_response(self, response: Response) -> None:
        if response.request.resource_type not in ("fetch", "xhr") and response.status >= 400:
            self.troubles.append(f"{response.status}: {response.url}")


@contextmanager
def visiting(
    browser: Browser,
    address: str,
    *,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1280,
    height: int = 900,
    touch: bool = False,
) -> Iterator[Visitor]:
    """A visitor with cookies and settings of their own; whatever went wrong on their page fails the test."""
    context = browser.new_context(
        color_scheme=scheme,
        reduced_motion="reduce",  # what is looked at has come to rest
        viewport={"width": width, "height": height},
        has_touch=touch,
        is_mobile=touch,
        device_scale_factor=2 if touch else 1,
    )
    context.set_default_timeout(15_000)
    try:
        visitor = Visitor(context.new_page(), address)
        yield visitor
        assert visitor.troubles == []
    finally:
        context.close()
