"""The report: one page that says what was measured, how far it is from the goals, and what it does not say.

    python -m loadtest.report loadtest/results/full.json

writes it beside the results. The page is one file that asks the network for nothing.
"""

from pathlib import Path
from typing import Final

import click
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from loadtest.chapters import chapters
from loadtest.comparison import COLUMNS, costs, trade
from loadtest.goals import goals
from loadtest.notation import ENTRANTS, size
from loadtest.plots import TICKS
from loadtest.results import Results
from loadtest.shortcomings import missing, noise

_HERE: Final = Path(__file__).parent


def write(results: Results, path: Path) -> None:
    """Write the report of these results, whole or not, to a file; directories are made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html(results), "utf-8")


def html(results: Results) -> str:
    """The page as text."""
    templates = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters.update(code=_code, size=size)
    return templates.get_template("report.html").render(
        run=results,
        missing=missing(results),
        goals=goals(results),
        columns=tuple(COLUMNS),
        trade=trade(results),
        costs=costs(results),
        chapters=chapters(results),
        ticks=TICKS,
        entrants=ENTRANTS,
        noise=noise(results),
    )


def _code(text: str) -> Markup:
    """Text as HTML, with what is in backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
def main(results: Path) -> None:
    """Write the report of a file that `python -m loadtest` wrote, beside it, and print its path."""
    page = results.with_suffix(".html")
    try:
        write(Results.read(results), page)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"No report of {results}: {error}") from error
    click.echo(page)


if __name__ == "__main__":
    main()
