"""Bad days, acted out in the console: each is over within ten clicks, and stands in the audit log.

What comes before the console is opened is the bad day, and is not counted.
"""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.pages.browsers import Visitor
from tests.pages.test_console import PASSWORD, add_user, find, sign_in
from tests.support.denylists import until
from tests.support.service import Service

#: So much is asked of somebody in a hurry: everything that a mouse or a finger does, signing in included.
MOST_CLICKS = 10

_COUNT = """for (const kind of ["click", "change"]) addEventListener(kind, (event) => {
  if (event.isTrusted && (kind === "click" || event.target.tagName === "SELECT")) window.clicked(kind);
}, true);"""

Clicks = Callable[[], int]


@pytest.fixture
def clicks(visitor: Visitor) -> Clicks:
    """How often somebody has clicked, or chosen from a list, on whatever page was open."""
    counted: list[str] = []

    def clicked(kind: str) -> None:
        counted.append(kind)

    visitor.page.expose_function("clicked", clicked)
    visitor.page.add_init_script(_COUNT)
    return lambda: len(counted)


def revoked(page: Page, *, reason: str) -> None:
    """Say why in the dialog that is open, and revoke."""
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name="Revoke", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("Enforced by 2 of 2 processes")
    dialog.get_by_role("button", name="Close").click()


def found_in_the_audit(page: Page, text: str, *, did: str) -> None:
    page.get_by_role("link", name="Audit").click()
    page.get_by_role("searchbox", name="With").fill(text.upper())
    page.get_by_role("button", name="Search").click()
    rows = page.get_by_role("region", name="Records").get_by_role("row")
    # One is the row of headings.
    expect(rows).to_have_count(2)
    expect(rows.last).to_contain_text(text)
    expect(rows.last).to_contain_text(did)


def test_a_leaked_token(visitor: Visitor, service: Service, clicks: Clicks) -> None:
    add_user(service, "ada")
    leaked, other = service.login("ada", PASSWORD), service.login("ada", PASSWORD)

    page = visitor.visit("/console")
    sign_in(page)
    find(page, f"Authorization: Bearer {leaked['access_token']}")
    card = page.get_by_role("article", name=f"session {leaked['session_id']}")
    card.get_by_role("button", name="Revoke…").click()
    revoked(page, reason="token found in a public log")

    assert clicks() <= MOST_CLICKS
    assert service.get("/api/me", token=leaked["access_token"]).status_code == 401
    assert service.post("/auth/refresh", json={"refresh_token": leaked["refresh_token"]}).status_code == 401
    assert service.get("/api/me", token=other["access_token"]).status_code == 200
    found_in_the_audit(page, "token found in a public log", did="revocation.create")


def test_a_stolen_laptop(visitor: Visitor, service: Service, clicks: Clicks) -> None:
    add_user(service, "grace")
    credentials = {"username": "grace", "password": PASSWORD}
    laptop, phone = (
        service.post("/auth/login", json=credentials, headers={"User-Agent": device}).json()
        for device in ("The laptop", "The phone")
    )

    page = visitor.visit("/console")
    sign_in(page)
    find(page, "grace")
    page.get_by_role("row").filter(has_text="The laptop").get_by_role("button", name="Revoke session").click()
    revoked(page, reason="laptop stolen on the train")

    assert clicks() <= MOST_CLICKS
    assert service.get("/api/me", token=laptop["access_token"]).status_code == 401
    assert service.post("/auth/refresh", json={"refresh_token": laptop["refresh_token"]}).status_code == 401
    assert service.get("/api/me", token=phone["access_token"]).status_code == 200
    found_in_the_audit(page, "laptop stolen on the train", did="revocation.create")


def test_everyone_revoked_by_mistake(visitor: Visitor, service: Service, clicks: Clicks) -> None:
    other = service.login()
    page = visitor.visit("/console")
    sign_in(page)
    page.get_by_text("Revoke what cannot be found here").click()
    page.get_by_label("Kind").first.select_option("issuer")
    page.locator("#any-handle").get_by_role("button", name="Revoke…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("the wrong window")
    dialog.get_by_label("To confirm").fill(service.url.removeprefix("http://"))
    dialog.get_by_role("button", name="Revoke", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("You revoked everyone")
    assert service.get("/api/me", token=other["access_token"]).status_code == 401
    before = clicks()

    # Not even a reload in front of the door forgets what was done.
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("the way back, is shown then")
    visitor.keep("console-door-again")
    sign_in(page)
    dialog = page.get_by_role("dialog", name="You revoked everyone")
    expect(dialog.get_by_role("status")).to_contain_text("Enforced by 2 of 2 processes")
    dialog.get_by_role("button", name="Undo…").click()
    dialog = page.get_by_role("dialog", name="Undo the revocation of everyone")
    dialog.get_by_label("Reason").fill("it was a mistake")
    dialog.get_by_role("button", name="Undo", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("Undone.")
    dialog.get_by_role("button", name="Close").click()

    assert clicks() - before <= MOST_CLICKS
    assert service.get("/api/me", token=other["access_token"]).status_code == 200
    found_in_the_audit(page, "it was a mistake", did="revocation.undo")
    assert page.evaluate("({...sessionStorage})") == {}


def test_a_locked_out_administrator(visitor: Visitor, service: Service, clicks: Clicks) -> None:
    add_user(service, "mary", scope="revocation:admin")
    for number in range(11):
        service.post("/auth/login", json={"username": "mary", "password": f"guess {number}"})
    page = visitor.visit("/console")
    sign_in(page, "mary", PASSWORD)
    expect(page.get_by_role("alert")).to_contain_text("Too many failed attempts")
    before = clicks()

    # Another administrator helps, and as she has forgotten her password as well, sets a new one.
    sign_in(page)
    page.get_by_role("link", name="Locked").click()
    line = page.get_by_role("row").filter(has_text="mary")
    expect(line).to_contain_text("10 of 10")
    expect(line).to_contain_text("whoever is at 127.0.0.1")
    assert visitor.barriers() == []
    visitor.keep("console-locked-out")
    line.get_by_role("button", name="Unlock mary").click()
    expect(page.get_by_text("Nobody has to wait.")).to_be_visible()
    page.get_by_role("link", name="Find").click()
    find(page, "mary")
    card = page.get_by_role("article", name="user mary")
    expect(card).to_contain_text("administrator")
    card.get_by_role("button", name="Set a password…").click()
    dialog = page.get_by_role("dialog", name="Set a password for mary")
    dialog.get_by_label("New password").fill("password1")
    dialog.get_by_role("button", name="Set it").click()
    expect(dialog.get_by_role("alert")).to_contain_text("guess")
    dialog.get_by_label("New password").fill("wind on the moor at dusk")
    visitor.keep("console-password", full_page=False)
    dialog.get_by_role("button", name="Set it").click()
    expect(dialog.get_by_role("status")).to_contain_text("Done. Enforced by 2 of 2 processes")
    dialog.get_by_role("button", name="Close").click()

    assert clicks() - before <= MOST_CLICKS
    service.login("mary", "wind on the moor at dusk")
    found_in_the_audit(page, "user.unlock", did="mary")


def test_a_compromised_key(visitor: Visitor, service: Service, clicks: Clicks) -> None:
    """The last of the module: for some seconds after it a new token may be one of the key that was withdrawn."""
    login = service.login()

    page = visitor.visit("/console")
    sign_in(page)
    page.get_by_role("link", name="Keys").click()
    line = page.get_by_role("row").filter(has_text="signs now")
    key = line.get_by_role("cell").first.inner_text()
    line.get_by_role("button", name="Withdraw").click()
    dialog = page.get_by_role("dialog", name=f"Withdraw key {key}")
    expect(dialog).to_contain_text("It signs now, so a new key takes its place at once.")
    dialog.get_by_label("Reason").fill("the backup was public")
    button = dialog.get_by_role("button", name="Withdraw", exact=True)
    expect(button).to_be_disabled()
    dialog.get_by_label("To confirm").fill(key[:8])
    visitor.keep("console-withdraw", full_page=False)
    button.click()
    expect(dialog.get_by_role("status")).to_contain_text("Withdrawn.")
    dialog.get_by_role("button", name="Close").click()

    assert clicks() <= MOST_CLICKS
    assert service.get("/api/me", token=login["access_token"]).status_code == 401
    # The console stays open, though for some seconds a process may sign with the key that was withdrawn.
    expect(page.get_by_role("row").filter(has_text="signs now")).not_to_contain_text(key)
    found_in_the_audit(page, "the backup was public", did="key.revoke")

    def refreshed() -> int:
        tokens = service.post("/auth/refresh", json={"refresh_token": login["refresh_token"]}).json()
        login["refresh_token"] = tokens["refresh_token"]
        return service.get("/api/me", token=tokens["access_token"]).status_code

    until(lambda: refreshed() == 200)
