"""The report: one page that says what was measured, how far it is from the goals, and what it does not say.

    python -m loadtest.report loadtest/results/full.json [--output report.html]

The page is one file that asks the network for nothing.
"""

import argparse
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from loadtest import figures
from loadtest.chapters import chapters
from loadtest.figures import Distribution
from loadtest.gaps import gaps, noise
from loadtest.goals import goals
from loadtest.results import Contestant, Results
from loadtest.trade import COLUMNS, trade
from loadtest.words import ENTRANTS, number, size

_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """A figure at the top of the page."""

    figure: str
    words: str


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
        highlights=_highlights(results),
        gaps=gaps(results),
        goals=goals(results),
        columns=tuple(COLUMNS),
        trade=trade(results),
        chapters=chapters(results),
        entrants=ENTRANTS,
        caveats=_caveats((_HERE / "CAVEATS.md").read_text("utf-8")),
        noise=noise(results),
        versions=tuple((name.replace("_", "-"), version) for name, version in asdict(results.versions).items()),
    )


def _highlights(results: Results) -> tuple[Highlight, ...]:
    """What a reader in a hurry takes along; what was not measured is left out."""
    found = []
    setting = figures.main_setting(results)
    if setting:
        opponents: tuple[tuple[Contestant, str], ...] = (
            ("textbook", "textbook `jwt.decode`"),
            ("none", "no authentication"),
        )
        for theirs, words in opponents:
            spread = figures.ratio(results, "bounded", theirs, setting)
            if spread:
                whose = f"as many requests per CPU second as {words}: bounded, {setting.algorithm}"
                found.append(Highlight(figure=f"{number(spread.median)}x", words=whose))
        commands = figures.cost(results, "bounded", setting, figures.redis_commands)
        if commands:
            found.append(
                Highlight(figure=f"{round(commands.median, 1):g}", words="Redis commands per request, bounded")
            )
    speed = next((row for row in results.propagation if row.contestant == "bounded"), None)
    delay = Distribution.of(figures.everywhere(speed)) if speed else None
    if speed and delay:
        words = f"from an acknowledged revocation to the last accept in any of {speed.workers} workers, bounded, p50"
        found.append(Highlight(figure=f"{number(delay.p50)} ms", words=words))
    return tuple(found)


def _code(text: str) -> Markup:
    """Text as HTML, with what is in backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def _caveats(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Headings of the second order, each with its paragraphs."""
    sections = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return tuple(
        (title, tuple(body.strip().split("\n\n"))) for title, body in zip(sections[::2], sections[1::2], strict=True)
    )


def main() -> None:
    """Write the report of a results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a file that `python -m loadtest` wrote")
    parser.add_argument("--output", type=Path, help="default: beside the results, as .html")
    chosen = parser.parse_args()
    output = chosen.output or chosen.results.with_suffix(".html")
    try:
        write(Results.from_json(chosen.results.read_text("utf-8")), output)
    except (OSError, ValueError) as error:
        sys.exit(f"No report of {chosen.results}: {error}")
    print(output)


if __name__ == "__main__":
    main()
