"""The playground: its whole story, in a real browser, on the service as `make run` starts it."""

import re
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from app import demonstration
from app.routes.pages import CONTENT_SECURITY_POLICY
from tests.app.api import prepared, settings_for
from tests.pages.browsers import Visitor, visiting
from tests.support.servers import Server
from tests.support.service import Service

ENFORCED = re.compile(r"Enforced by (\d+) of \1 workers in [\d.]+ ms\.")


def verdicts(page: Page, *, laptop: dict[str, str], phone: dict[str, str]) -> None:
    """What each way of knowing a caller says to each device."""
    for device, expected in enumerate((laptop, phone)):
        for way, text in expected.items():
            expect(page.locator(f"#board .calls.{way} .chip").nth(device)).to_have_text(text)


def fact(page: Page, number: int, way: str) -> Locator:
    """Kept in Redis (0), each request (1), works after it was taken back (2), while Redis is away (3)."""
    return page.locator(f"#board .fact.{way}").nth(number)


YES = {"session": "200", "stateless": "200", "hybrid": "200"}
TOKEN_REVOKED = {"session": "200", "stateless": "200", "hybrid": "401 revoked"}
LOGGED_OUT = {"session": "401 session ended", "stateless": "200", "hybrid": "401 revoked"}


def sign_in(visitor: Visitor) -> Page:
    page = visitor.visit("/")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Read the token")).to_be_focused()
    verdicts(page, laptop=YES, phone=YES)
    return page


def test_a_call_from_before_the_dial_was_turned_does_not_count_after_it(visitor: Visitor) -> None:
    page = visitor.visit("/")
    page.get_by_role("button", name="Sign in", exact=True).click()
    verdicts(page, laptop=YES, phone=YES)
    under_way: list[Route] = []

    def hold(call: Route) -> None:
        under_way.append(call)

    with page.expect_request("**/demo/bounded"):
        page.route("**/demo/bounded", hold)

    page.get_by_label("asks Redis").check()
    assert under_way
    for call in under_way:
        call.continue_()

    expect(fact(page, 1, "hybrid")).to_have_text(re.compile(r"^[\d.]+ ms, 1 Redis command$"))


def test_the_whole_story(visitor: Visitor) -> None:
    page = visitor.visit("/")
    visitor.keep("playground-1-opening", full_page=False)
    page.get_by_role("button", name="Sign in", exact=True).click()

    # Read: three parts, and what they say.
    parts = page.locator("#the-token > span")
    expect(parts).to_have_count(3)
    expect(page.locator("#token-claims")).to_contain_text("demo")
    expect(page.locator("#token-header")).to_contain_text("at+jwt")

    # Forge: another name in the claims, another signature, another header.
    for number, says in enumerate(("it speaks for", "of the signature", "of the header")):
        page.locator("#forge-button").click()
        expect(page.locator("#forged-claim")).to_contain_text(says)
        expect(page.locator("#forged-exchange")).to_contain_text("401 UNAUTHORIZED")
        expect(page.locator("#forged-exchange")).to_contain_text('error="invalid_token"')
        expect(page.locator("#forged-token > span").nth((1, 2, 0)[number]).locator("mark")).to_have_count(1)
    expect(page.locator("#forged-claim")).not_to_contain_text("demo")

    # Three ways: all say yes, and only the session asks Redis each time, or the deny-list where the dial says so.
    verdicts(page, laptop=YES, phone=YES)
    expect(fact(page, 1, "session")).to_have_text(re.compile(r"^[\d.]+ ms, 1 Redis command$"))
    for way in ("stateless", "hybrid"):
        expect(fact(page, 1, way)).to_have_text(re.compile(r"^[\d.]+ ms, no Redis command$"))
    page.get_by_label("asks Redis").check()
    expect(fact(page, 1, "hybrid")).to_have_text(re.compile(r"^[\d.]+ ms, 1 Redis command$"))
    page.get_by_label("at most 1 s old").check()
    expect(fact(page, 0, "hybrid")).to_have_text("no entries")

    # Take back the token: the deny-list refuses it, and the refresh token opens the door again.
    page.get_by_role("button", name="Revoke the laptop").click()
    expect(page.locator("#receipt-figure")).to_have_text(ENFORCED)
    verdicts(page, laptop=TOKEN_REVOKED, phone=YES)
    expect(fact(page, 0, "hybrid")).to_have_text("1 entry, while it is needed")
    expect(fact(page, 2, "hybrid")).to_have_text(re.compile(r"^for \d+\.\d\d s$"))
    expect(fact(page, 2, "stateless")).to_have_text(re.compile(r"^until it expires, in 1[45]:\d\d$"))
    expect(page.locator("#entries .refuses")).to_have_count(1)
    expect(page.locator("#entries .refuses")).to_contain_text("this token")
    expect(page.locator("#entries .refuses")).to_contain_text(re.compile(r"gone in 1[56]:\d\d"))
    expect(page.locator("#announcement")).to_contain_text("Laptop: Session 200, JWT 200, JWT + deny-list 401 revoked")
    visitor.keep("playground-2-token-revoked")
    before = page.locator("#the-token").inner_text()
    page.get_by_role("button", name="Use the laptop").click()
    verdicts(page, laptop=YES, phone=YES)
    expect(page.locator("#the-token")).not_to_have_text(before)

    # End the session: the refresh token is dead as well, the phone goes on.
    page.get_by_role("button", name="End the laptop").click()
    verdicts(page, laptop=LOGGED_OUT, phone=YES)
    expect(fact(page, 2, "session")).to_have_text(re.compile(r"^for \d+\.\d\d s$"))
    expect(page.locator("#entries .refuses")).to_contain_text("its session")
    page.get_by_role("button", name="Use the laptop").click()
    expect(page.locator("#revoke-learnt")).to_contain_text("401: the refresh token gives nothing any more")

    # Everyone: one entry, both devices.
    page.get_by_role("button", name="Log out everywhere").click()
    expect(page.locator("#receipt-figure")).to_have_text(ENFORCED)
    verdicts(page, laptop=LOGGED_OUT, phone=LOGGED_OUT)
    expect(page.locator("#entries .refuses")).to_have_count(2)
    visitor.keep("playground-3-everyone")

    # And signing in again works at once.
    page.get_by_role("button", name="Sign in again on both").click()
    verdicts(page, laptop=YES, phone=YES)


def test_an_outage_shows_what_each_way_answers_and_disturbs_nobody(visitor: Visitor) -> None:
    page = sign_in(visitor)

    page.get_by_role("button", name="Stop Redis").click()

    expect(page.locator("#revoke-learnt")).to_contain_text("While Redis was away", timeout=30_000)
    expect(fact(page, 3, "session")).to_have_text("503 at once")
    expect(fact(page, 3, "stateless")).to_have_text("goes on: 200")
    expect(fact(page, 3, "hybrid")).to_have_text(re.compile(r"^200 for \d\.\d s, then 503$"))
    page.get_by_label("asks Redis").check()
    expect(fact(page, 3, "hybrid")).to_have_text("503 at once")
    verdicts(page, laptop=YES, phone=YES)


def test_a_brief_token_dies_and_its_entry_with_it(visitor: Visitor) -> None:
    page = sign_in(visitor)
    page.get_by_role("button", name="Fetch one").click()
    expect(page.locator("#brief-verdict")).to_have_text("200")

    page.get_by_role("button", name="Revoke it").click()

    expect(page.locator("#brief-verdict")).to_have_text("401 revoked")
    expect(page.locator("#lives .life")).to_have_count(2)
    token, entry = (page.locator("#lives .clock").nth(row).inner_text() for row in (0, 1))
    assert abs(int(token.removeprefix("0:")) - int(entry.removeprefix("0:"))) <= 1
    expect(page.locator("#brief-verdict")).to_have_text("401 expired", timeout=30_000)
    expect(page.locator("#lives .clock")).to_have_text(["0:00", "not there"])
    expect(page.locator("#brief-learnt")).to_contain_text("its entry is gone")

    before = page.locator("#the-token").inner_text()
    page.get_by_role("button", name="Refresh, as an app does").click()
    expect(page.locator("#brief-verdict")).to_have_text("200")
    expect(page.locator("#the-token")).not_to_have_text(before)


def test_a_link_to_a_step_leads_there(browser: Browser, service: Service) -> None:
    with visiting(browser, service.url) as visitor:
        page = visitor.visit("/#ask")
        expect(page.get_by_role("heading", name="Three ways, side by side")).to_be_focused()
        verdicts(page, laptop=YES, phone=YES)
        page.get_by_role("link", name="Link to this step").nth(4).click()
        assert page.url.endswith("/#entry")


def test_a_token_of_ones_own_is_read_here_and_sent_nowhere(visitor: Visitor) -> None:
    page = sign_in(visitor)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.headers} {request.post_data}"))
    page.get_by_text("Read a token of your own").click()
    claims = urlsafe_b64encode(b'{"sub": "grace", "act": {"sub": "an agent"}}').decode().rstrip("=")
    own = f"eyJhbGciOiJub25lIn0.{claims}.c2lnbmF0dXJl"

    page.locator("#own-token").fill(f"Authorization: Bearer {own}")

    expect(page.locator("#token-claims")).to_contain_text("grace")
    expect(page.locator("#token-claims")).to_contain_text('{"sub":"an agent"}')
    page.locator("#own-token").fill("not.a")
    expect(page.locator("#own-trouble")).to_contain_text("three parts")
    page.locator("#own-token").fill("a.b.c")
    expect(page.locator("#own-trouble")).to_contain_text("cannot be read")
    page.locator("#own-token").fill("")
    expect(page.locator("#token-claims")).to_contain_text("demo")
    assert not [one for one in sent if claims in one]


def test_the_story_can_be_told_by_keyboard_alone(visitor: Visitor) -> None:
    page = visitor.visit("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")

    def press(name: str) -> None:
        """Tab until the button has the focus, and press it."""
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.evaluate("document.activeElement.textContent.trim()")
            if focused.startswith(name):
                page.keyboard.press("Enter")
                return
        pytest.fail(f"the Tab key does not lead to {name}")

    press("Sign in")
    expect(page.get_by_role("heading", name="Read the token")).to_be_focused()
    press("Change one character and send it")
    expect(page.locator("#forged-exchange")).to_contain_text("401")
    verdicts(page, laptop=YES, phone=YES)
    press("End the laptop")
    verdicts(page, laptop=LOGGED_OUT, phone=YES)
    press("Log out everywhere")
    verdicts(page, laptop=LOGGED_OUT, phone=LOGGED_OUT)
    press("Sign in again on both")
    verdicts(page, laptop=YES, phone=YES)


@pytest.mark.parametrize("look", ["light", "dark", "phone", "phone-dark"])
def test_nobody_is_kept_out(browser: Browser, service: Service, look: str) -> None:
    with visiting(
        browser,
        service.url,
        scheme="dark" if look.endswith("dark") else "light",
        width=390 if look.startswith("phone") else 1280,
        height=844 if look.startswith("phone") else 900,
        touch=look.startswith("phone"),
    ) as visitor:
        page = visitor.visit("/")
        assert visitor.barriers() == []

        page = sign_in(visitor)
        page.locator("#forge-button").click()
        page.get_by_role("button", name="Revoke the laptop").click()
        verdicts(page, laptop=TOKEN_REVOKED, phone=YES)
        page.locator("#entries .refuses").wait_for()

        assert visitor.barriers() == []
        # The board and its buttons are in one view.
        top, bottom = (page.locator(place).bounding_box() for place in ("#board", "#log-out-everywhere"))
        assert top is not None
        assert bottom is not None
        assert bottom["y"] + bottom["height"] - top["y"] <= (844 if look.startswith("phone") else 900)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing scrolls sideways"
        visitor.keep(f"playground-{look}")


def test_what_goes_wrong_is_said_beside_the_button(visitor: Visitor) -> None:
    page = visitor.visit("/")
    page.get_by_label("Password").fill("a wrong guess")
    page.get_by_role("button", name="Sign in", exact=True).click()

    expect(page.get_by_role("alert")).to_have_text("401: Unknown user or wrong password.")

    page.get_by_label("Password").fill(demonstration.PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Read the token")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_script_that_gets_into_the_page_anyway_does_not_run(browser: Browser, service: Service) -> None:
    with visiting(browser, service.url) as visitor:
        page = visitor.visit("/")
        blocked = page.evaluate("""() => {
            const caught = [];
            try { document.body.innerHTML = "<b>"; } catch { caught.push("innerHTML"); }
            const script = document.createElement("script");
            try { script.textContent = "window.ran = true"; } catch { caught.push("script"); }
            document.body.append(script);
            return [...caught, window.ran ?? "nothing ran"];
        }""")
        assert blocked == ["innerHTML", "script", "nothing ran"]
        visitor.troubles.clear()


def test_every_page_and_its_files_carry_the_policy(service: Service) -> None:
    for path in ("/", "/static/theme.css", "/static/playground/story.js"):
        answer = service.get(path)
        assert answer.status_code == 200
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        again = service.get(path, headers={"If-None-Match": answer.headers.get("ETag", "")})
        assert again.status_code == (200 if path == "/" else 304)
    assert "unsafe" not in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize(
    "path", ["/static/../app.sqlite3", "/static/..%2f__init__.py", "/static//etc/passwd", "/static/"]
)
def test_no_other_file_is_served(service: Service, path: str) -> None:
    assert service.get(path).status_code == 404


def test_the_playground_and_its_account_exist_on_the_embedded_store_only(valkey: Server, tmp_path: Path) -> None:
    with prepared(settings_for(valkey, tmp_path)) as api:
        token = api.login().access_token
        for path in ("stateless", "bounded", "strict", "denylist", "session", "brief"):
            assert api.get(f"/demo/{path}", token=token).status_code == 404
        for path in ("revoke", "outage"):
            assert api.post(f"/demo/{path}", token=token).status_code == 404
        assert api.get("/").headers["Location"] == "/docs"
        assert api.service.stores.users.get(demonstration.USERNAME) is None


def test_a_demonstration_account_that_is_left_over_is_closed(valkey: Server, tmp_path: Path) -> None:
    settings = settings_for(valkey, tmp_path)
    with prepared(settings) as api:
        users = api.service.stores.users
        demonstration.open_account(users)
        assert users.authenticate(demonstration.USERNAME, demonstration.PASSWORD) is not None

        demonstration.close_account(users)

        assert users.authenticate(demonstration.USERNAME, demonstration.PASSWORD) is None


def test_somebody_elses_account_of_that_name_is_left_alone(valkey: Server, tmp_path: Path) -> None:
    with prepared(settings_for(valkey, tmp_path)) as api:
        users = api.service.stores.users
        users.create(demonstration.USERNAME, password="a password of somebody", scope="")

        demonstration.close_account(users)
        demonstration.open_account(users)

        assert users.authenticate(demonstration.USERNAME, "a password of somebody") is not None


def test_the_demonstration_account_may_do_nothing_else(service: Service) -> None:
    token = service.login(demonstration.USERNAME, demonstration.PASSWORD)["access_token"]
    assert service.get("/demo/strict", token=token).json()["hello"] == demonstration.USERNAME
    assert service.get("/api/reports", token=token).status_code == 403
    assert service.get("/admin/audit", token=token).status_code == 403
