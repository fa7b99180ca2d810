"""The README's tables, written between its markers from the committed results.

    python -m loadtest.readme [--check]

`--check` writes nothing, and fails where the README says something else than the results.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click

from loadtest.comparison import COLUMNS, costs, trade
from loadtest.goals import goals
from loadtest.results import COMMITTED, ROOT, Results
from loadtest.shortcomings import missing

README: Final = ROOT / "README.md"

BEGIN: Final = "<!-- bench:begin -->"
END: Final = "<!-- bench:end -->"


def tables(results: Results) -> str:
    """The text between the markers, without them: the trade, the costs, and what the run was."""
    return "\n".join((*_trade(results), "", *_costs(results), "", *_run(results)))


def between_markers(readme: str) -> str:
    """The text that stands there now. Raises ValueError that says which marker is missing or where it is wrong."""
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


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _trade(results: Results) -> Iterator[str]:
    yield _row(("", *COLUMNS))
    yield "|---" * (1 + len(COLUMNS)) + "|"
    sources: list[str] = []
    for aspect in trade(results):
        first = len(sources) + 1
        cells = [f"{cell.words}<br>{cell.figure} <sup>{note}</sup>" for note, cell in enumerate(aspect.cells, first)]
        sources += [cell.source for cell in aspect.cells]
        yield _row((f"**{aspect.name}**", *cells))
    yield ""
    yield "<details><summary>Where these figures stand in <code>loadtest/results/full.json</code></summary>"
    yield ""
    yield from (f"{note}. `{source}`" for note, source in enumerate(sources, 1))
    yield ""
    yield "</details>"


def _costs(results: Results) -> Iterator[str]:
    table = costs(results)
    if table is None:
        yield "The cost of a request was not measured."
        return
    yield table.caption
    yield ""
    yield _row(table.head)
    yield "|---|---" + "|--:" * (len(table.head) - 2) + "|"
    yield from map(_row, table.rows)


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
        f"{machine.cores} cores, Python {results.versions['python']}, {results.versions['redis_server']}. Microseconds "
        "are of that machine, ratios travel better; what else these figures do not say is in "
        "[loadtest/CAVEATS.md](loadtest/CAVEATS.md)."
    )
    for sentence in missing(results):
        yield ""
        yield sentence


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where the README is not of the results.")
@click.option("--results", type=click.Path(path_type=Path), default=COMMITTED, help="A file of `python -m loadtest`.")
@click.option("--readme", type=click.Path(path_type=Path), default=README)
def main(*, check: bool, results: Path, readme: Path) -> None:
    """Write the README's tables, or check them."""
    try:
        text = readme.read_text("utf-8")
        wanted = filled(text, Results.read(results))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"The README's tables cannot be written: {error}") from error
    if not check:
        readme.write_text(wanted, "utf-8")
    elif text != wanted:
        raise click.ClickException(f"{readme} is not what {results} says: run `python -m loadtest.readme`.")


if __name__ == "__main__":
    main()
