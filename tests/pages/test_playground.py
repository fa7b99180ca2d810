"""The playground: its whole story, in a real browser, on the service as `make run` starts it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from app import demonstration
from app.routes.pages import CONTENT_SECURITY_POLICY
from tests.app.api import prepared, settings_for
from tests.pages.browsers import Visitor, visiting
from tests.support.servers import Server
from tests.support.service import Service

ENFORCED = re.compile(r"Enforced by (\d+) of \1 workers in [\d.]+ ms\.")


def verdicts(page: Page, *, laptop: dict[str, str], phone: dict[str, str]) -> None:
    """What each setting of the dial says to each device, on the board and in the table below it."""
    for device, expected in enumerate((laptop, phone)):
        for way, text in expected.items():
            expect(page.locator(f".way.{way} .row .chip").nth(device)).to_have_text(text)
        expect(page.locator("#verdicts tr").nth(device).locator(".chip")).to_have_text(list(expected.values()))


YES = {"stateless": "200", "bounded": "200", "strict": "200"}
TAKEN_BACK = {"stateless": "200", "bounded": "401 revoked", "strict": "401 revoked"}


def sign_in(visitor: Visitor) -> Page:
    page = visitor.visit("/")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Read the token")).to_be_focused()
    verdicts(page, laptop=YES, phone=YES)
    return page


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

    # Ask in three ways: all say yes, and only one of them asks Redis.
    verdicts(page, laptop=YES, phone=YES)
    expect(page.locator(".way.stateless .costs")).to_contain_text("nobody")
    expect(page.locator(".way.bounded .costs")).to_contain_text("memory")
    expect(page.locator(".way.stateless .costs")).to_contain_text(re.compile(r"commands0 in \d\d+ calls"))
    expect(page.locator(".way.strict .costs")).to_contain_text(re.compile(r"askedRedis.*commands(\d+) in \1 calls"))

    # Take back the token: two of three refuse it, and the refresh token opens the door again.
    page.get_by_role("button", name="Revoke the laptop").click()
    expect(page.locator("#receipt-figure")).to_have_text(ENFORCED)
    verdicts(page, laptop=TAKEN_BACK, phone=YES)
    expect(page.locator("#entries .refuses")).to_have_count(1)
    expect(page.locator("#entries .refuses")).to_contain_text("this token")
    expect(page.locator("#entries .refuses")).to_contain_text(re.compile(r"gone in 1[56]:\d\d"))
    expect(page.locator("#lives .life")).to_have_count(2)
    expect(page.locator("#announcement")).to_contain_text("Laptop: stateless 200, bounded 401 revoked")
    visitor.keep("playground-2-token-revoked")
    page.get_by_role("button", name="Use the laptop").click()
    verdicts(page, laptop=YES, phone=YES)

    # End the session: the refresh token is dead as well, the phone goes on.
    page.get_by_role("button", name="End the laptop").click()
    verdicts(page, laptop=TAKEN_BACK, phone=YES)
    expect(page.locator("#entries .refuses")).to_contain_text("its session")
    page.get_by_role("button", name="Use the laptop").click()
    expect(page.locator("#revoke-learnt")).to_contain_text("401: the refresh token gives nothing any more")

    # Everyone: one entry, both devices.
    page.get_by_role("button", name="Log out everywhere").click()
    expect(page.locator("#receipt-figure")).to_have_text(ENFORCED)
    verdicts(page, laptop=TAKEN_BACK, phone=TAKEN_BACK)
    expect(page.locator("#entries .refuses")).to_have_count(2)
    visitor.keep("playground-3-everyone")

    # And signing in again works at once.
    page.get_by_role("button", name="Sign in again on both").click()
    verdicts(page, laptop=YES, phone=YES)


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
    verdicts(page, laptop=TAKEN_BACK, phone=YES)
    press("Log out everywhere")
    verdicts(page, laptop=TAKEN_BACK, phone=TAKEN_BACK)
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
        verdicts(page, laptop=TAKEN_BACK, phone=YES)
        page.locator("#entries .refuses").wait_for()

        assert visitor.barriers() == []
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
        for path in ("stateless", "bounded", "strict", "denylist"):
            assert api.get(f"/demo/{path}", token=token).status_code == 404
        assert api.post("/demo/revoke", token=token).status_code == 404
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
