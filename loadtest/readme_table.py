"""The README's tables, written between its markers from the committed results.

    python -m loadtest.readme_table [--check]

`--check` writes nothing, and fails where the README says something else than the results.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from loadtest import figures
from loadtest.figures import Setting
from loadtest.gaps import gaps
from loadtest.goals import goals
from loadtest.results import Contestant, Results
from loadtest.trade import COLUMNS, trade
from loadtest.words import ENTRANTS, number, size

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "loadtest" / "results" / "full.json"
README: Final = ROOT / "README.md"

BEGIN: Final = "<!-- bench:begin -->"
END: Final = "<!-- bench:end -->"


def tables(results: Results) -> str:
    """The text between the markers, without them: the trade, the costs, and what the run was."""
    return "\n".join((*_trade(results), "", *_costs(results), "", *_run(results)))


def between_markers(readme: str) -> str:
    """What stands there now. Raises ValueError that says which marker is missing or where it is wrong."""
    for marker in (BEGIN, END):
        if readme.count(marker) != 1:
            raise ValueError(f"{marker} has to stand in the README once, and it is there {readme.count(marker)} times")
    before, _, after = readme.partition(BEGIN)
    if END in before:
        raise ValueError(f"{END} stands before {BEGIN} in the README")
    return after.partition(END)[0]


def filled(readme: str, results: Results) -> str:
    """The README with the tables of these results. Raises ValueError as `between_markers` does."""
    written = between_markers(readme)
    return readme.replace(f"{BEGIN}{written}{END}", f"{BEGIN}\n\n{tables(results)}\n\n{END}")


def _row(cells: Iterator[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _trade(results: Results) -> Iterator[str]:
    aspects = trade(results)
    yield _row(("", *COLUMNS))
    yield "|---" * (1 + len(COLUMNS)) + "|"
    note, notes = 0, []
    for aspect in aspects:
        cells = [f"**{aspect.name}**"]
        for cell in aspect.cells:
            note += 1
            cells.append(f"{cell.words}<br>{cell.figure} <sup>{note}</sup>")
            notes.append(f"{note}. {', '.join(f'`{source}`' for source in cell.sources)}")
        yield _row(tuple(cells))
    yield ""
    yield "<details><summary>Where these figures stand in <code>loadtest/results/full.json</code></summary>"
    yield ""
    yield from notes
    yield ""
    yield "</details>"


def _costs(results: Results) -> Iterator[str]:
    main = figures.main_setting(results)
    if main is None:
        yield "The cost of a request was not measured."
        return
    # The other worker class tells the same story; the report has it.
    settings = [setting for setting in figures.settings(results) if setting.worker_class == main.worker_class]
    yield (
        f"CPU microseconds of the server per request under {main.worker_class}, median of the rounds (least to "
        f"most); the last three columns are of {main.algorithm}:"
    )
    yield ""
    yield _row(("", "what it does", *(setting.algorithm for setting in settings), "Redis commands", "p99", "memory"))
    yield "|---|---" + "|--:" * (len(settings) + 3) + "|"
    for name, entrant in ENTRANTS.items():
        cells = (_cpu(results, name, setting) for setting in settings)
        yield _row((entrant.title, entrant.does, *cells, *_aside(results, name, main)))


def _cpu(results: Results, name: Contestant, setting: Setting) -> str:
    found = figures.cost(results, name, setting, figures.cpu_us)
    if found is None:
        return "not measured"
    return f"{number(found.median)} ({number(found.least)} to {number(found.most)})"


def _aside(results: Results, name: Contestant, setting: Setting) -> tuple[str, str, str]:
    commands = figures.cost(results, name, setting, figures.redis_commands)
    latency = figures.cost(results, name, setting, lambda row: row.latencies_ms.p99)
    memory = figures.cost(results, name, setting, lambda row: row.memory_bytes)
    if commands is None or latency is None or memory is None:
        return ("", "", "")
    return f"{round(commands.median, 1):g}", f"{number(latency.median)} ms", size(memory.median)


def _run(results: Results) -> Iterator[str]:
    judged = goals(results)
    short = [goal for goal in judged if not goal.met]
    yield f"{len(judged) - len(short)} of {len(judged)} goals are met{'; these are not:' if short else '.'}"
    yield ""
    if short:
        yield from (f"- {goal.figure}: {goal.measured or 'not measured'}; the goal is {goal.target}" for goal in short)
        yield ""
    machine = results.machine
    yield (
        f"`{results.command}`, {results.started_at[:10]}, commit `{results.commit[:12]}`, on {machine.cpu}, "
        f"{machine.cores} cores, Python {results.versions.python}, {results.versions.redis_server}. Microseconds are "
        "of that machine, ratios travel better; what else these figures do not say is in "
        "[loadtest/CAVEATS.md](loadtest/CAVEATS.md)."
    )
    for gap in gaps(results):
        yield ""
        yield gap


def main() -> None:
    """Fill the README, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where the README is not of the results"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--readme", type=Path, default=README)
    chosen = parser.parse_args()
    try:
        readme = chosen.readme.read_text("utf-8")
        wanted = filled(readme, Results.from_json(chosen.results.read_text("utf-8")))
    except (OSError, ValueError) as error:
        sys.exit(f"The README's tables cannot be written: {error}")
    if chosen.check and readme != wanted:
        sys.exit(f"{chosen.readme} is not what {chosen.results} says: run `python -m loadtest.readme_table`.")
    if not chosen.check:
        chosen.readme.write_text(wanted, "utf-8")


if __name__ == "__main__":
    main()
