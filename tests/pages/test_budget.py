"""What opening a page may cost. Counted, not timed: the figures are the same on every machine."""

import pytest
from playwright.sync_api import Browser

from tests.pages.browsers import visiting
from tests.support.service import Service

#: A slow phone: a round trip, and bytes in a second (Lighthouse's slow 4G).
ROUND_TRIP_SECONDS, BYTES_PER_SECOND = 0.15, 1_600_000 / 8


@pytest.mark.parametrize(
    ("path", "style", "most"),
    [("/", "playground.css", (80_000, 15)), ("/console", "console.css", (85_000, 19))],
    ids=["playground", "console"],
)
def test_a_page_is_small_and_painted_within_a_second_on_a_slow_phone(
    browser: Browser, service: Service, path: str, style: str, most: tuple[int, int]
) -> None:
    """`most` are bytes and requests.

    The first paint waits for connecting, the page, and then the styles, which come together; for no script.
    """
    with visiting(browser, service.url) as visitor:
        bodies: dict[str, int] = {}
        visitor.page.on("response", lambda response: bodies.update({response.url: len(response.body())}))
        page = visitor.visit(path)
        page.wait_for_load_state("networkidle")
        blocking = page.evaluate("""() => performance.getEntriesByType("resource")
            .filter((one) => one.renderBlockingStatus === "blocking").map((one) => one.name)""")
        painted = page.evaluate("""() => performance.getEntriesByName("first-contentful-paint").length""")

    assert painted == 1
    assert {url.rpartition("/")[2] for url in blocking} == {"theme.css", style}
    held_up = bodies[f"{service.url}{path}"] + sum(bodies[url] for url in blocking)
    assert 4 * ROUND_TRIP_SECONDS + held_up / BYTES_PER_SECOND < 1.0
    most_bytes, most_requests = most
    assert sum(bodies.values()) < most_bytes
    assert len(bodies) <= most_requests
