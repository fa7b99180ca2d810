"""The report: whole or in part, it is one file that anybody can read."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser

from loadtest.report import html, write
from tests.loadtest.made_up import made_up
from tests.pages.browsers import chromium, visiting

SECTIONS = ("cost", "propagation", "scale", "revoking", "bad_day", "dial")


class Page(HTMLParser):
    """What the tests ask of a page: its elements with their attributes, and how they are nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.elements)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(html(made_up()))


def test_it_asks_the_network_for_nothing(page: Page) -> None:
    assert not {tag for tag, _ in page.elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    }
    for _, attributes in page.elements:
        assert not {"src", "srcset", "data", "poster", "onload"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import", html(made_up()))


def test_every_plot_says_in_a_sentence_what_to_see(page: Page) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html(made_up()), re.DOTALL)
    assert len(captions) == page.count("figure") > 15
    for caption in captions:
        assert re.fullmatch(r".{15,}[^.]\.", caption.strip(), re.DOTALL), caption


def test_every_plot_says_its_figures_to_those_who_do_not_see_it() -> None:
    text = html(made_up())
    plots = re.findall(r'<svg role="img".*?</svg>', text, re.DOTALL)
    assert len(plots) == text.count("<figure>")
    for plot in plots:
        [title] = re.findall(r"<title .*?>(.+?)</title>", plot)
        [figures] = re.findall(r"<desc .*?>(.+?)</desc>", plot)
        named = re.findall(r'class="name">(.+?)</text><text [^>]*>(.+?)</text>', plot)
        assert title
        assert named
        assert figures == "; ".join(f"{name}: {text}" for name, text in named)


def test_no_two_elements_have_the_same_id(page: Page) -> None:
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    references = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    references += [f"#{one}" for _, every in page.elements for one in (every.get("aria-labelledby") or "").split()]
    assert {reference[1:] for reference in references if reference} <= set(ids)


def test_it_says_where_and_of_what(page: Page) -> None:
    run = made_up()
    for said in (
        run.command,
        run.commit,
        run.started_at,
        run.machine.cpu,
        run.versions["redis_server"],
        run.generator.note,
    ):
        assert said in page.text


def test_what_it_is_given_is_text() -> None:
    run = made_up()
    hostile = replace(run, machine=replace(run.machine, cpu="<script>alert(1)</script>"), commit='"><img src=x>')
    found = Page(html(hostile))
    assert not found.count("script")
    assert not found.count("img")
    assert "<script>alert(1)</script>" in found.text


@pytest.mark.parametrize("section", SECTIONS)
def test_it_says_which_section_is_missing(section: str) -> None:
    empty: dict[str, Any] = {section: ()}
    assert "Not measured: " in Page(html(made_up(**empty))).text


def test_of_nothing_it_says_so() -> None:
    empty: dict[str, Any] = dict.fromkeys(SECTIONS, ())
    found = Page(html(made_up(interrupted=True, **empty)))
    assert "The run was interrupted" in found.text
    assert "Not measured: cost, speed of revocation, scale" in found.text
    assert not found.count("figure")


@settings(max_examples=25)
@given(data=st.data())
def test_any_part_of_a_run_makes_a_report(data: st.DataObject) -> None:
    whole = made_up()
    part: dict[str, Any] = {}
    for section in SECTIONS:
        rows = getattr(whole, section)
        first = data.draw(st.integers(0, len(rows)))
        part[section] = rows[first : data.draw(st.integers(first, len(rows)))]
    assert Page(html(replace(whole, **part))).count("figure") == html(replace(whole, **part)).count('role="img"')


def test_rounds_without_an_answer_make_a_report() -> None:
    rows = tuple(replace(row, requests=0, cpu_seconds=0.0) for row in made_up().cost)
    assert "No cost with ES256 under gthread" in Page(html(made_up(cost=rows))).text


def test_it_is_written_from_a_results_file(tmp_path: Path) -> None:
    made_up().write(tmp_path / "quick.json")
    command = [sys.executable, "-m", "loadtest.report", str(tmp_path / "quick.json")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "quick.html").read_text("utf-8") == html(made_up())


def test_results_that_are_none_are_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "quick.json").write_text('{"schema": 1}')
    command = [sys.executable, "-m", "loadtest.report", str(tmp_path / "quick.json")]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "No report of" in ended.stderr
    assert "started_at" in ended.stderr
    assert "Traceback" not in ended.stderr


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


#: Where two texts of one plot cover each other.
OVERLAPS = """() => [...document.querySelectorAll('svg')].flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  return texts.flatMap(([one, a], index) => texts.slice(index + 1).filter(([, b]) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3
  ).map(([other]) => one + ' | ' + other));
})"""


@pytest.mark.parametrize(("scheme", "width"), [("light", 360), ("dark", 1280)])
def test_anybody_can_read_it(browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"], width: int) -> None:
    write(made_up(), tmp_path / "report.html")
    with visiting(browser, f"file://{tmp_path}", scheme=scheme, width=width, touch=width < 500) as visitor:
        page = visitor.visit("/report.html")
        visitor.keep(f"report-{scheme}-{width}")
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert visitor.barriers() == []
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") == 0
        assert page.evaluate(OVERLAPS) == []
