"""The README's tables are those of the committed results."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtest.comparison import NOT_MEASURED, trade
from loadtest.notation import ENTRANTS
from loadtest.readme import BEGIN, END, README, between_markers, filled, tables
from loadtest.results import COMMITTED, Results
from tests.loadtest.made_up import made_up
from tests.support.requirements import require

EMPTY = f"# Ours\n\nbefore\n\n{BEGIN}\n{END}\n\nafter\n"


def test_the_readme_says_what_the_committed_results_say() -> None:
    require(COMMITTED.exists(), f"{COMMITTED.name} is not there: `python -m loadtest --full` writes it")
    readme = README.read_text("utf-8")
    wanted = filled(readme, Results.read(COMMITTED))
    assert readme == wanted, "run `python -m loadtest.readme`"


def test_the_readme_has_the_markers() -> None:
    between_markers(README.read_text("utf-8"))


def test_what_is_outside_the_markers_is_left_alone() -> None:
    before, _, rest = filled(EMPTY, made_up()).partition(BEGIN)
    inside, _, after = rest.partition(END)
    assert before + BEGIN + "\n" + END + after == EMPTY
    assert inside.strip() == tables(made_up())


def test_filling_again_changes_nothing_and_other_results_replace_everything() -> None:
    once = filled(EMPTY, made_up())
    assert filled(once, made_up()) == once
    assert filled(once, made_up(seed=2)) == filled(EMPTY, made_up(seed=2)) != once


@pytest.mark.parametrize(
    ("readme", "said"),
    [
        ("nothing", f"{BEGIN} has to stand in the README once, and it is there 0 times"),
        (BEGIN, f"{END} has to stand in the README once, and it is there 0 times"),
        (EMPTY + BEGIN, f"{BEGIN} has to stand in the README once, and it is there 2 times"),
        (END + BEGIN, f"{END} stands before {BEGIN}"),
    ],
)
def test_a_missing_marker_is_named(readme: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        filled(readme, made_up())


def rows(text: str) -> list[list[list[str]]]:
    """The tables of a text: rows of cells, as Markdown has them."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()] for table in found]


def test_every_row_has_as_many_cells_as_its_table_has_columns() -> None:
    for table in rows(tables(made_up())):
        assert {len(row) for row in table} == {len(table[0])}


def test_the_trade_has_its_rows_and_columns_and_a_figure_in_every_cell() -> None:
    table, _ = rows(tables(made_up()))
    assert [cell.strip() for cell in table[0]] == ["", "sessions", "JWTs", "hybrid"]
    assert [row[0].strip("* ") for row in table[2:]] == ["state", "work per request", "revocation", "scaling"]
    for aspect in trade(made_up()):
        for cell in aspect.cells:
            assert cell.figure != NOT_MEASURED
            assert re.search(r"\d|still accepted", cell.figure)


def test_every_contestant_has_a_row_of_costs() -> None:
    _, table = rows(tables(made_up()))
    assert [row[0].strip() for row in table[2:]] == [entrant.title for entrant in ENTRANTS.values()]


def values(results: Results, source: str) -> list[Any]:
    """What a source such as `cost[contestant=bounded].requests, seconds` names in the JSON."""
    matched = re.fullmatch(r"(\w+)\[(.*?)\]\.([\w, ]+)", source)
    assert matched, source
    section, conditions, fields = matched.groups()
    found = json.loads(results.to_json())[section]
    for condition in filter(None, conditions.split(", ")):
        name, _, wanted = condition.partition("=")
        found = [row for row in found if str(row[name]) == wanted]
    return [row[field] for row in found for field in fields.split(", ")]


def test_the_source_of_every_cell_is_in_the_results() -> None:
    for aspect in trade(made_up()):
        for cell in aspect.cells:
            assert values(made_up(), cell.source), cell.source


def test_a_cell_that_was_not_measured_says_so() -> None:
    nothing = made_up(cost=(), propagation=(), scale=(), revoking=(), bad_day=(), dial=())
    assert {cell.figure for aspect in trade(nothing) for cell in aspect.cells} == {NOT_MEASURED}
    assert "The cost of a request was not measured." in tables(nothing)
    assert "Not measured: cost" in tables(nothing)


def test_a_goal_that_was_missed_is_not_kept_quiet() -> None:
    slow = made_up(revoking=tuple(row for row in made_up().revoking if row.way == "bulk"))
    assert "- revocations per second, in bulk: 38,500/s; the goal is ≥ 40,000/s" in tables(slow)
    assert "- revocations per second, one by one: not measured" in tables(slow)


def command(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    paths = ("--results", str(directory / "full.json"), "--readme", str(directory / "README.md"))
    line = [sys.executable, "-m", "loadtest.readme", *paths, *arguments]
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=60)


def test_the_command_writes_and_its_check_agrees(tmp_path: Path) -> None:
    made_up().write(tmp_path / "full.json")
    (tmp_path / "README.md").write_text(EMPTY)
    assert "run `python -m loadtest.readme`" in command(tmp_path, "--check").stderr
    assert (tmp_path / "README.md").read_text() == EMPTY
    assert command(tmp_path).returncode == 0
    assert command(tmp_path, "--check").returncode == 0


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(EMPTY)
    ended = command(tmp_path)
    assert ended.returncode == 1
    assert "full.json" in ended.stderr
    assert "Traceback" not in ended.stderr
