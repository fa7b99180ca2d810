"""The console, by clicking: the whole story, who gets in, and what a visitor's browser makes of it."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from revocation import Guard, RedisDenylist, RevokedTokenError, connect
from revocation.redis.embedded import socket_path
from tests.pages.browsers import Visitor, visiting
from tests.support.servers import StartServer
from tests.support.service import ADMIN_PASSWORD, Service, serving
from tests.support.tokens import claims_of

PASSWORD = "a password of somebody"

# A busy machine is slow.
expect.set_options(timeout=15_000)


def sign_in(page: Page, username: str = "admin", password: str = ADMIN_PASSWORD) -> None:
    page.get_by_label("User", exact=True).fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def find(page: Page, text: str) -> None:
    page.get_by_label("Find a user").fill(text)
    page.get_by_role("button", name="Find", exact=True).click()


def add_user(service: Service, username: str, *, scope: str = "reports:read") -> None:
    token = service.login()["access_token"]
    body = {"username": username, "password": PASSWORD, "scope": scope}
    answer = service.post("/admin/users", token=token, json=body)
    assert answer.status_code in (201, 409), answer.text


@pytest.fixture
def desk(visitor: Visitor) -> Visitor:
    """An admin who has signed in."""
    sign_in(visitor.visit("/console"))
    expect(visitor.page.get_by_label("Find a user")).to_be_focused()
    return visitor


def test_the_whole_story_by_clicking(desk: Visitor, service: Service) -> None:
    page = desk.page
    add_user(service, "ada")
    kept, taken = service.login("ada", PASSWORD), service.login("ada", PASSWORD)
    agent = taken["session_id"]

    find(page, "ada")
    card = page.get_by_role("article", name="user ada")
    expect(card).to_contain_text("2 living sessions")
    desk.keep("console-find")

    card.get_by_role("button", name=f"Revoke session {agent}").click()
    dialog = page.get_by_role("dialog", name=f"Revoke session {agent}")
    expect(dialog).to_contain_text("It ends 1 session of 1 user.")
    dialog.get_by_label("Reason").fill("laptop stolen ☂")
    desk.keep("console-revoke", full_page=False)
    dialog.get_by_role("button", name="Revoke", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("Enforced by 2 of 2 processes")
    desk.keep("console-receipt", full_page=False)
    assert service.get("/api/me", token=taken["access_token"]).status_code == 401
    assert service.get("/api/me", token=kept["access_token"]).status_code == 200
    dialog.get_by_role("button", name="Close").click()
    expect(card).to_contain_text("1 living session")

    page.get_by_role("link", name="Revocations").click()
    line = page.get_by_role("row").filter(has_text=agent)
    expect(line).to_contain_text("laptop stolen ☂")
    desk.keep("console-revocations")
    line.get_by_role("button", name="Undo").click()
    dialog = page.get_by_role("dialog", name=f"Undo the revocation of session {agent}")
    dialog.get_by_label("Reason").fill("it was under the desk")
    dialog.get_by_role("button", name="Undo").click()
    expect(dialog.get_by_role("status")).to_contain_text("Undone.")
    dialog.get_by_role("button", name="Close").click()
    expect(line).to_contain_text("undone")
    body = {"refresh_token": taken["refresh_token"]}
    assert service.post("/auth/refresh", json=body).status_code == 200

    page.get_by_role("link", name="Audit").click()
    rows = page.get_by_role("region", name="Records").get_by_role("row")
    expect(rows.filter(has_text="revocation.create").filter(has_text="laptop stolen ☂")).to_have_count(1)
    expect(rows.filter(has_text="revocation.undo").filter(has_text="it was under the desk")).to_have_count(1)
    desk.keep("console-audit")


def test_a_new_revocation_arrives_without_asking(desk: Visitor, service: Service) -> None:
    page = desk.page
    with page.expect_response("**/admin/changes?cursor=*"):
        page.get_by_role("link", name="Revocations").click()
    ended = service.login()

    service.post("/auth/logout", token=ended["access_token"])

    expect(page.get_by_role("row").filter(has_text=ended["session_id"])).to_contain_text("logged out")


def test_what_arrives_meanwhile_is_counted_on_the_other_views(desk: Visitor, service: Service) -> None:
    page = desk.page
    # The first question only learns where to go on from.
    with page.expect_response("**/admin/changes?cursor=*"):
        pass

    service.post("/auth/logout", token=service.login()["access_token"])

    expect(page.get_by_role("link", name=re.compile(r"Revocations\s+1"))).to_be_visible()


def test_a_user_takes_a_second_click_and_everyone_takes_typing(desk: Visitor, service: Service) -> None:
    page = desk.page
    add_user(service, "grace")
    login = service.login("grace", PASSWORD)
    find(page, "grace")
    page.get_by_role("article", name="user grace").get_by_role("button", name="Revoke…", exact=True).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("left")
    dialog.get_by_role("button", name="Revoke", exact=True).click()
    assert service.get("/api/me", token=login["access_token"]).status_code == 200
    dialog.get_by_role("button", name="Yes, revoke user grace").click()
    expect(dialog.get_by_role("status")).to_contain_text("Revoked.")
    assert service.get("/api/me", token=login["access_token"]).status_code == 401
    dialog.get_by_role("button", name="Close").click()

    page.get_by_text("Revoke what cannot be found here").click()
    page.get_by_label("Kind").first.select_option("issuer")
    page.locator("#any-handle").get_by_role("button", name="Revoke…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This includes your own session")
    dialog.get_by_label("Reason").fill("only looking")
    button = dialog.get_by_role("button", name="Revoke", exact=True)
    expect(button).to_be_disabled()
    dialog.get_by_label("To confirm").fill(service.url.removeprefix("http://") + "x")
    expect(button).to_be_disabled()
    dialog.get_by_label("To confirm").fill(service.url.removeprefix("http://"))
    expect(button).to_be_enabled()
    desk.keep("console-everyone", full_page=False)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_name_that_nobody_has_is_told_and_can_be_revoked_all_the_same(desk: Visitor, service: Service) -> None:
    page = desk.page
    add_user(service, "r11")
    page.get_by_text("Revoke what cannot be found here").click()
    page.get_by_label("Kind").first.select_option("subject")
    page.get_by_label("Value").fill("R11")
    page.locator("#any-handle").get_by_role("button", name="Revoke…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("There is no user R11. Did you mean r11?")
    button = dialog.get_by_role("button", name="Revoke", exact=True)
    expect(button).to_be_disabled()
    dialog.get_by_label("Reason").fill("a backup knew them")
    dialog.get_by_label("To confirm").fill("R11")
    button.click()
    expect(dialog.get_by_role("status")).to_contain_text("Revoked.")


def test_matches_beyond_the_first_page_are_counted_and_shown(desk: Visitor, service: Service) -> None:
    page, token = desk.page, service.login()["access_token"]
    for number in range(25):
        service.post("/admin/clients", token=token, json={"name": f"nightly {number:02}"})

    find(page, "nightly")

    expect(page.get_by_text("25 found.")).to_be_visible()
    cards = page.get_by_role("article", name="client ")
    expect(cards).to_have_count(20)
    page.get_by_role("button", name="More").click()
    expect(cards).to_have_count(25)
    expect(page.get_by_role("button", name="More")).to_have_count(0)
    find(page, "admin")
    expect(page.get_by_role("article", name="user admin")).to_contain_text("administrator")


def test_health_says_what_is_wrong_since_when_and_what_to_do(
    browser: Browser, start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server("valkey")
    env = {"REVOCATION_REDIS_URL": server.url, "APP_WORKERS": "1"}
    with serving(tmp_path, **env) as service, visiting(browser, service.url) as visitor:
        page = visitor.visit("/console#health")
        sign_in(page)

        told = page.locator("#health-report .message").filter(has_text="appendonly is no")

        expect(told).to_contain_text("Since ")
        expect(told).to_contain_text("What to do:")
        expect(told.locator("code")).to_contain_text("CONFIG SET appendonly yes")
        assert visitor.barriers() == []
        visitor.keep("console-health-warning")


def test_an_account_is_unlocked_disabled_and_enabled_by_clicking(desk: Visitor, service: Service) -> None:
    page = desk.page
    add_user(service, "bob")
    for number in range(11):
        service.post("/auth/login", json={"username": "bob", "password": f"guess {number}"})
    find(page, "bob")
    card = page.get_by_role("article", name="user bob")
    expect(card).to_contain_text("failures to sign in, and somebody has to wait.")
    card.get_by_role("button", name="Unlock").click()
    expect(card.get_by_role("button", name="Unlock")).to_have_count(0)
    login = service.login("bob", PASSWORD)

    card.get_by_role("button", name="Disable…").click()
    dialog = page.get_by_role("dialog", name="Disable bob")
    dialog.get_by_role("button", name="Disable", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("Enforced by 2 of 2 processes")
    dialog.get_by_role("button", name="Close").click()
    expect(card).to_contain_text("disabled")
    assert service.get("/api/me", token=login["access_token"]).status_code == 401
    page.get_by_role("link", name="Locked").click()
    page.get_by_role("button", name="Enable bob").click()
    expect(page.get_by_role("button", name="Enable bob")).to_have_count(0)
    service.login("bob", PASSWORD)


def test_what_was_revoked_together_is_one_row_that_unfolds_and_is_undone_together(
    desk: Visitor, service: Service
) -> None:
    page, admin = desk.page, service.login()["access_token"]
    add_user(service, "ida")
    sessions = [service.login("ida", PASSWORD)["session_id"] for _ in range(3)]
    page.get_by_role("link", name="Revocations").click()
    page.get_by_role("searchbox", name="With").fill("ACCOUNT CHANGED")
    with page.expect_response("**/admin/changes*"):
        page.get_by_role("button", name="Search").click()

    # It arrives while somebody looks.
    service.request("PATCH", "/admin/users/ida", token=admin, json={"disabled": True})

    line = page.get_by_role("row").filter(has_text="3 sessions together")
    expect(line).to_contain_text("account changed: disabled")
    page.get_by_role("button", name="Search").click()
    expect(line).to_have_count(1)
    line.get_by_role("button", name="Show them").click()
    for session in sessions:
        expect(page.get_by_role("row").filter(has_text=session)).to_be_visible()
    assert desk.barriers() == []
    desk.keep("console-batch")
    line.get_by_role("button", name="Hide them").click()
    expect(page.get_by_role("row").filter(has_text=sessions[0])).to_have_count(0)

    line.get_by_role("button", name="Undo all…").click()
    dialog = page.get_by_role("dialog", name="Undo what was revoked together")
    expect(dialog).to_contain_text("It undoes 3 revocations of kind session.")
    dialog.get_by_label("Reason").fill("the wrong ida")
    dialog.get_by_role("button", name="Undo all").click()
    dialog.get_by_role("button", name="Yes, undo all of them").click()
    expect(dialog.get_by_role("status")).to_contain_text("3 revocations undone.")
    dialog.get_by_role("button", name="Close").click()
    expect(line).to_have_count(0)
    page.get_by_role("searchbox", name="With").fill("said by nobody")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Nothing in force has this")).to_be_visible()


def test_the_next_key_is_published_once(desk: Visitor) -> None:
    page = desk.page
    page.get_by_role("link", name="Keys").click()
    page.get_by_role("button", name="Rotate…").click()
    dialog = page.get_by_role("dialog", name="Rotate the key")
    desk.keep("console-rotate", full_page=False)
    dialog.get_by_role("button", name="Publish the next key").click()
    expect(dialog.get_by_role("status")).to_contain_text("is published, and signs from")
    dialog.get_by_role("button", name="Close").click()

    expect(page.get_by_role("row").filter(has_text="is next")).to_have_count(1)
    page.get_by_role("button", name="Rotate…").click()
    expect(dialog).to_contain_text("It is published already")
    expect(dialog.get_by_role("button", name="Publish the next key")).to_be_disabled()


def test_a_pasted_token_is_found_with_all_it_can_be_revoked_by_and_not_kept_on_the_screen(
    desk: Visitor, service: Service
) -> None:
    page = desk.page
    add_user(service, "hedy")
    login = service.login("hedy", PASSWORD)

    find(page, f"Bearer {login['access_token']}")

    for name in ("token ", f"session {login['session_id']}", "user hedy", "client first-party", "key "):
        expect(page.get_by_role("article", name=name)).to_be_visible()
    assert login["access_token"] not in page.content()
    assert login["access_token"] not in page.get_by_label("Find a user").input_value()
    desk.keep("console-token")


def test_a_reload_keeps_an_admin_signed_in_and_signing_out_does_not(desk: Visitor) -> None:
    page = desk.page

    page.reload()
    expect(page.get_by_label("Find a user")).to_be_visible()
    assert page.evaluate("[document.cookie, {...localStorage}, {...sessionStorage}]") == ["", {}, {}]

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to the console")).to_be_visible()
    # What stays says that this browser signed in before, and opens nothing.
    assert [cookie.get("name") for cookie in page.context.cookies()] == ["console-device"]
    page.reload()
    expect(page.get_by_role("heading", name="Sign in to the console")).to_be_visible()


def test_who_may_not_administer_is_told_so_and_holds_nothing(visitor: Visitor, service: Service) -> None:
    add_user(service, "eve")

    sign_in(visitor.visit("/console"), "eve", PASSWORD)

    expect(visitor.page.get_by_role("alert")).to_contain_text("lacks the scope revocation:admin")
    assert visitor.page.context.cookies() == []
    token = service.login()["access_token"]
    assert service.get("/admin/sessions?subject=eve", token=token).json()["sessions"] == []
    visitor.keep("console-door")


def test_an_admin_whose_session_is_ended_is_out_at_the_next_look(desk: Visitor, service: Service) -> None:
    page = desk.page
    other = service.login()
    sessions = service.get("/admin/sessions?subject=admin", token=other["access_token"]).json()["sessions"]
    mine = [one["session_id"] for one in sessions if "Chrome" in one["user_agent"]]

    for session_id in mine:
        body = {"kind": "session", "value": session_id, "reason": "test"}
        service.post("/admin/revocations", token=other["access_token"], json=body)

    expect(page.get_by_role("alert")).to_contain_text("Your session has ended")


def test_health_names_every_follower(desk: Visitor) -> None:
    page = desk.page

    page.get_by_role("link", name="Health").click()

    expect(page.get_by_role("heading", name="2 followers")).to_be_visible()
    expect(page.get_by_text("All well: every follower")).to_be_visible()
    desk.keep("console-health")


def test_names_and_reasons_are_text_whatever_they_look_like(desk: Visitor, service: Service) -> None:
    page = desk.page
    evil = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
    token = service.login()["access_token"]
    body = {"kind": "session", "value": '"><svg onload=alert(1)>', "reason": evil, "even_if_unknown": True}
    assert service.post("/admin/revocations", token=token, json=body).status_code == 201
    headers = {"User-Agent": evil}
    service.post("/auth/login", json={"username": "admin", "password": ADMIN_PASSWORD}, headers=headers)

    page.get_by_role("link", name="Revocations").click()
    expect(page.get_by_role("row").filter(has_text=evil)).to_be_visible()
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("row").filter(has_text=evil).first).to_be_visible()
    page.get_by_role("link", name="Find").click()
    find(page, "admin")
    expect(page.get_by_role("row").filter(has_text=evil)).to_be_visible()

    assert page.locator("main img, main svg, main script").count() == 0
    assert page.title() == "Console · revocation"


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Somebody else's server on another port of this host; it answers with the cookies that it gets."""

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(self.headers.get("Cookie", "").encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join(60)


def test_a_page_on_another_port_is_the_same_site_and_still_gets_nothing(
    desk: Visitor, service: Service, elsewhere: str
) -> None:
    """Ports share cookies, and SameSite counts them as one: only the origin tells them apart."""
    other = desk.page.context.new_page()
    other.goto(elsewhere)

    for path in ("/console/session/refresh", "/console/session"):
        with other.expect_response(f"{service.url}{path}") as waiting:
            other.evaluate(
                "url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}'})",
                f"{service.url}{path}",
            )
        assert waiting.value.status == 403
    # The cookie is no secret from this host's other ports, so it alone must not be enough.
    assert "console=" in other.evaluate("fetch('/console/session').then((answer) => answer.text())")

    desk.page.reload()
    expect(desk.page.get_by_label("Find a user")).to_be_visible()


def test_it_can_be_used_by_keyboard_alone(visitor: Visitor, service: Service) -> None:
    page = visitor.visit("/console")
    add_user(service, "joan")
    service.login("joan", PASSWORD)
    expect(page.get_by_label("User", exact=True)).to_be_focused()
    keyboard = page.keyboard
    keyboard.type("admin")
    keyboard.press("Tab")
    keyboard.type(ADMIN_PASSWORD)
    keyboard.press("Enter")
    expect(page.get_by_label("Find a user")).to_be_focused()
    keyboard.type("joan")
    keyboard.press("Enter")
    revoke = page.get_by_role("article", name="user joan").get_by_role("button", name="Revoke…", exact=True).first
    expect(revoke).to_be_visible()
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(revoke).to_be_focused()
    keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
    expect(page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True)).to_be_enabled()
    keyboard.type("by keyboard")
    keyboard.press("Enter")
    expect(page.get_by_role("button", name="Yes, revoke user joan")).to_be_visible()
    keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Close")).to_be_focused()
    keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)


#: Each view, and a heading in it.
_VIEWS = (
    ("Revocations", "In force"),
    ("Locked", "Kept out"),
    ("Keys", "Signing keys"),
    ("Audit", "Audit log"),
    ("Health", "Redis"),
)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_nothing_stands_in_anybodys_way(
    browser: Browser, service: Service, scheme: Literal["light", "dark"], width: int
) -> None:
    name = f"console-{scheme}-{width}"
    with visiting(browser, service.url, scheme=scheme, width=width, touch=width < 500) as visitor:
        page = visitor.visit("/console")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert visitor.barriers() == []
        sign_in(page)
        find(page, "admin")
        expect(page.get_by_role("article", name="user admin")).to_contain_text("living session")
        assert visitor.barriers() == []
        visitor.keep(f"{name}-find")
        for view, there in _VIEWS:
            page.get_by_role("link", name=view).click()
            expect(page.get_by_role("heading", name=there)).to_be_visible()
            assert visitor.barriers() == []
            visitor.keep(f"{name}-{view.lower()}")
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (
                "it can be scrolled sideways"
            )
        page.get_by_role("link", name="Find").click()
        page.get_by_role("article", name="user admin").get_by_role("button", name="Revoke…", exact=True).first.click()
        expect(page.get_by_role("dialog")).to_contain_text("It ends")
        assert visitor.barriers() == []
        visitor.keep(f"{name}-revoke", full_page=False)


def test_an_outage_of_redis_is_said_and_ends_by_itself(
    browser: Browser, start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server("valkey")
    env = {"REVOCATION_REDIS_URL": server.url, "APP_WORKERS": "1", "REVOCATION_TIMEOUT": "0.3"}
    with serving(tmp_path, **env) as service, visiting(browser, service.url) as visitor:
        page = visitor.visit("/console")
        sign_in(page)
        expect(page.get_by_label("Find a user")).to_be_visible()

        with server.paused():
            alarm = page.get_by_role("alert")
            expect(alarm).to_contain_text("Redis does not answer")
            expect(alarm).to_contain_text(re.compile(r"Since \d+ \w+, [\d:]+\."))
            expect(alarm).to_contain_text("What to do: see that Redis runs, that REVOCATION_REDIS_URL names it")
            expect(page.get_by_role("link", name="not well")).to_be_visible()
            visitor.keep("console-outage")
            with visiting(browser, service.url) as late:
                sign_in(late.visit("/console"))
                expect(late.page.get_by_role("alert")).to_contain_text("What to do: see that Redis runs")
                late.troubles[:] = [one for one in late.troubles if "status of 503" not in one]

        expect(page.get_by_role("alert")).to_have_count(0)
        page.reload()
        expect(page.get_by_label("Find a user")).to_be_visible()
        visitor.troubles[:] = [one for one in visitor.troubles if "status of 503" not in one]


def test_an_organisation_of_a_thousand_is_revoked_with_one_entry_seen_and_let_in_again(
    browser: Browser, tmp_path: Path
) -> None:
    issuer = "https://other.example"
    with serving(tmp_path, REVOCATION_HANDLES="org=org_id") as service, visiting(browser, service.url) as desk:
        page = desk.page
        sign_in(desk.visit("/console"))
        # A web API that takes tokens of another issuer, and was told which claim names an organisation.
        denylist = RedisDenylist(
            connect(f"unix://{socket_path(service.directory / 'data')}"), handles={"org": "org_id"}
        )
        guard = Guard(None, denylist, max_staleness=0.0)
        people = [
            claims_of(issued_at_ms=denylist.now_ms(), iss=issuer, sub=f"u{n}", sid=f"s{n}", org_id="acme")
            for n in range(1000)
        ]
        for claims in people[:3]:
            guard.check(claims)

        page.get_by_text("Revoke what cannot be found here").click()
        page.get_by_label("Kind").first.select_option("org")
        page.get_by_label("Value").fill("acme")
        page.get_by_label("Issuer").fill(issuer)
        page.locator("#any-handle").get_by_role("button", name="Revoke…").click()
        dialog = page.get_by_role("dialog", name="Revoke org acme")
        expect(dialog).to_contain_text("Every token issued before now that names this org is refused.")
        expect(dialog).to_contain_text("How many tokens name it is not known here.")
        dialog.get_by_label("Reason").fill("contract ended")
        dialog.get_by_label("To confirm").fill("acme")
        desk.keep("console-organisation", full_page=False)
        dialog.get_by_role("button", name="Revoke", exact=True).click()
        expect(dialog.get_by_role("status")).to_contain_text("Enforced by 2 of 2 processes")
        dialog.get_by_role("button", name="Close").click()

        for claims in people:
            with pytest.raises(RevokedTokenError):
                guard.check(claims)
        page.get_by_role("link", name="Revocations").click()
        page.locator("#kind").select_option("org")
        line = page.get_by_role("row").filter(has_text="acme")
        expect(line).to_contain_text("contract ended")
        desk.keep("console-organisations")
        line.get_by_role("button", name="Undo").click()
        dialog = page.get_by_role("dialog", name="Undo the revocation of org acme")
        dialog.get_by_label("Reason").fill("they paid")
        dialog.get_by_role("button", name="Undo").click()
        expect(dialog.get_by_role("status")).to_contain_text("Undone.")
        for claims in people:
            guard.check(claims)
