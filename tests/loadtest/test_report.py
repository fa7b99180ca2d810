"""The report: from a whole run or a part of one, what was measured comes first and what was missed comes last."""

import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from loadtest import figures, pictures, report
from loadtest.contestants import NAMES
from loadtest.figures import TITLES, number
from loadtest.goals import Goal, goals
from loadtest.results import Results
from tests.loadtest.made_up import COST, accepted, made_up, turn

PARTS = [field.name for field in fields(Results) if field.default == ()]


def page(results: Results) -> str:
    return report.page(results, stem="full", caveats="../CAVEATS.md")


# The committed run


def test_the_committed_page_and_the_readme_say_what_the_committed_results_say() -> None:
    results = Results.from_json(report.COMMITTED.read_text("utf-8"))
    assert report.COMMITTED.with_suffix(".md").read_text("utf-8") == page(results), (
        "python -m loadtest.report writes it"
    )
    assert f"<!-- bench:begin -->\n\n{report.summary(results)}\n\n<!-- bench:end -->" in report.README.read_text(
        "utf-8"
    )


def test_a_page_says_what_its_file_says_though_the_file_has_fewer_digits(tmp_path: Path) -> None:
    [row] = made_up().imported
    written, _ = report.write(made_up(imported=(replace(row, cpu_seconds=0.10250004),)), tmp_path / "full.json")

    kept = Results.from_json((tmp_path / "full.json").read_text("utf-8"))
    assert kept.imported[0].cpu_seconds == 0.1025
    assert goal_line(written.read_text("utf-8")) == goal_line(page(kept))


def goal_line(text: str) -> str:
    [line] = [line for line in text.splitlines() if line.startswith("| `import revocation`, CPU")]
    return line


def test_the_committed_run_is_a_whole_one() -> None:
    results = Results.from_json(report.COMMITTED.read_text("utf-8"))
    assert results.profile == "full"
    assert not results.interrupted
    assert all(getattr(results, part) for part in PARTS)
    assert {row.contestant for row in results.turns} == set(NAMES)


# The page


def test_the_picture_comes_first_and_goals_come_last() -> None:
    text = page(made_up())
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert text.index("full-dial.svg") < text.index("|") < text.index("## ")
    assert headings[-2:] == ["Against the goals", "How it was measured"]


def test_every_row_has_as_many_cells_as_its_table_has_columns() -> None:
    tables = re.findall(r"(?:^\|.*\|$\n?)+", page(made_up()), re.MULTILINE)
    assert len(tables) == 8
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_every_contestant_has_a_row() -> None:
    text = page(made_up())
    assert all(f"| {title} |" in text for title in TITLES.values())


@pytest.mark.parametrize("part", PARTS)
def test_a_run_that_lacks_a_part_makes_a_page(part: str) -> None:
    changes: dict[str, Any] = {part: ()}
    assert ", interrupted" in page(made_up(interrupted=True, **changes))


@pytest.mark.parametrize("part", ["turns", "accepted"])
def test_a_run_that_lacks_what_a_picture_shows_makes_a_picture(part: str) -> None:
    changes: dict[str, Any] = {part: ()}
    for draw in (pictures.dial, pictures.traffic):
        ET.fromstring(draw(made_up(**changes)))


def test_a_run_of_nothing_says_so() -> None:
    nothing: dict[str, Any] = dict.fromkeys(PARTS, ())
    assert "Nothing was measured." in page(made_up(**nothing))
    assert {(goal.measured, goal.met) for goal in goals(made_up(**nothing))} == {(None, None)}


def test_the_summary_names_where_the_check_costs_most_and_where_least() -> None:
    turns = (turn("textbook"), turn("textbook", mix="5"), turn("bounded", cpu_seconds=0.4), turn("bounded", mix="5"))
    said = report.summary(made_up(turns=turns))
    assert "0.80 times (1 per token, 1 worker) to 1.01 times (5 per token, 1 worker) the requests" in said


def test_a_busy_machine_is_not_kept_quiet() -> None:
    results = made_up()
    assert "others were at work" not in page(results)
    assert "others were at work" in page(replace(results, machine=replace(results.machine, load_average=3.0)))


@pytest.mark.parametrize("draw", [pictures.dial, pictures.traffic])
def test_a_picture_is_legible_in_the_dark_and_says_what_it_shows(draw: Any) -> None:
    text = draw(made_up())
    root = ET.fromstring(text)
    assert {"title", "desc"} <= {element.tag.rpartition("}")[2] for element in root}
    assert "prefers-color-scheme: dark" in text
    assert "ours, 1.0" in "".join(root.itertext())
    # Every colour is one that the dark scheme replaces.
    assert not re.search(r"(fill|stroke): #", text)


def test_it_is_written_from_a_results_file(tmp_path: Path) -> None:
    path = tmp_path / "quick.json"
    path.write_text(made_up().to_json())
    subprocess.run([sys.executable, "-m", "loadtest.report", str(path)], check=True, timeout=60)
    names = {"quick.json", "quick.md", "quick-dial.svg", "quick-traffic.svg"}
    assert {each.name for each in tmp_path.iterdir()} == names
    assert Results.from_json(path.read_text()) == Results.from_json(made_up().to_json())


def test_results_that_are_none_are_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "quick.json"
    monkeypatch.setattr(sys, "argv", ["report", str(path)])
    for text, said in (('{"schema": 1}', "measure again"), ('{"schema": 2}', "started_at")):
        path.write_text(text)
        with pytest.raises(SystemExit, match=said):
            report.main()


# Figures


def test_a_ratio_is_taken_within_a_round() -> None:
    """A round in which the machine was slow for both says what every round says."""
    turns = [
        turn(name, round=number, cpu_seconds=COST[name] * slow)
        for number, slow in enumerate((1.0, 3.0, 2.0))
        for name in ("textbook", "bounded")
    ]
    found = figures.ratio(made_up(turns=tuple(turns)), "bounded", "textbook", (1, "1"))
    assert found is not None
    assert (found.median, found.least, found.most) == pytest.approx((320 / 318,) * 3)
    assert str(found) == "1.01 (1.01 to 1.01)"


def test_one_round_has_no_interval() -> None:
    turns = tuple(turn(name) for name in ("textbook", "bounded"))

    assert str(figures.ratio(made_up(turns=turns), "bounded", "textbook", (1, "1"))) == "1.01 (one round)"
    assert "1.01 (one round)" in page(made_up(turns=turns))


def test_the_hit_rate_is_that_of_the_bounded_check() -> None:
    turns = (turn("bounded", hits=950, misses=50), turn("strict", hits=0, misses=1000))
    assert figures.hit_rate(made_up(turns=turns), (1, "1")) == 0.95


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.01234, "0.0123"), (1.2, "1.20"), (9.999, "10.0"), (252, "252"), (12_345, "12,300")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


# Goals


def goal(results: Results, words: str) -> Goal:
    [found] = [each for each in goals(results) if words in each.figure]
    return found


def test_every_goal_that_a_run_measures_is_judged_and_a_miss_says_why() -> None:
    judged = list(goals(made_up()))
    assert all(each.measured for each in judged)
    assert all(each.why for each in judged if each.met is False)


def test_the_worst_point_is_what_a_ratio_is_judged_by() -> None:
    good, bad = turn("bounded", cpu_seconds=0.2), turn("bounded", mix="5", cpu_seconds=0.4)
    results = made_up(turns=(turn("textbook"), turn("textbook", mix="5"), good, bad))
    found = goal(results, "any mix of tokens")
    assert found.met is False
    assert found.measured == "0.80 (one round): 5 per token, 1 worker"


def test_one_accept_too_late_is_a_miss() -> None:
    late = (accepted("bounded"), accepted("strict", fault="hung", late=1))
    assert goal(made_up(accepted=late), "later than promised").met is False
    assert goal(made_up(), "later than promised").met is True
    assert goal(made_up(accepted=(accepted("bounded", own_ms=2.0),)), "process that revoked").met is False
