"""Report: results as a page of Markdown with two pictures; `python -m loadtest.report loadtest/results/full.json`."""

import os
import re
import sys
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from loadtest import figures, pictures
from loadtest.figures import MAIN, TITLES, number, spelled
from loadtest.goals import goals
from loadtest.results import Results

_HERE: Final = Path(__file__).parent

#: The committed results, and the README whose summary is theirs.
COMMITTED: Final = _HERE / "results" / "full.json"
README: Final = _HERE.parent / "README.md"
_MARKED: Final = re.compile(r"(?<=<!-- bench:begin -->\n).*?(?=<!-- bench:end -->)", re.DOTALL)


def page(results: Results, *, stem: str, caveats: str) -> str:
    """The page; the pictures stand beside it, with names that begin with the stem."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    environment.filters |= {
        "number": number,
        "percent": lambda share: "" if share is None else f"{100 * share:.0f} %",
        "spread": lambda spread: f"{spread.median:.1f} µs ({spread.lower:.1f} to {spread.upper:.1f})",
        "answers": _answers,
    }
    environment.globals |= vars(figures) | {"goals": goals}
    return environment.get_template("report.md.jinja").render(
        results=results, stem=stem, caveats=caveats, summary=summary(results), main=MAIN, titles=TITLES
    )


def summary(results: Results) -> str:
    """What the run says, in a few sentences: the cost with and without the check, and where it is most."""
    added = {name: figures.added(results, name) for name in ("bounded", "stateless", "textbook")}
    bounded, stateless, textbook = added["bounded"], added["stateless"], added["textbook"]
    sentences = []
    if bounded and stateless and textbook:
        sentences.append(
            f"A token that was seen before adds {bounded.again.median:.1f} µs of CPU to a route with the check of the "
            f"deny-list, {stateless.again.median:.1f} µs without it, and {textbook.again.median:.1f} µs with "
            f"`jwt.decode` in a decorator; a new token {bounded.first.median:.1f}, {stateless.first.median:.1f} and "
            f"{textbook.first.median:.1f} µs."
        )
    every = [
        (found.median, point)
        for point in figures.points(results)
        if (found := figures.ratio(results, "bounded", "textbook", point))
    ]
    if every:
        least, most = (f"{value:.2f} times ({spelled(point)})" for value, point in (min(every), max(every)))
        sentences.append(
            f"Over HTTP a server with the check answers {least} to {most} the requests per CPU second of one with "
            "`jwt.decode`."
        )
    well = next((row for row in results.accepted if (row.contestant, row.fault) == ("bounded", "none")), None)
    if well:
        sentences.append(
            f"After {well.revocations:,} revocations, {well.workers} workers accepted the token for "
            f"{number(well.p50_ms)} ms (p50) and {number(well.p99_ms)} ms (p99) more, where a second is promised."
        )
    if sentences and results.machine.load_average > figures.QUIET_LOAD:
        sentences.append("Others were at work on the machine of this run, so its figures vary more than they should.")
    return "\n".join(sentences) or "Nothing was measured."


def write(results: Results, path: Path) -> tuple[Path, Path]:
    """Write figures, page and pictures beside each other, and the README's summary where the results are the committed.

    Gives the page and the picture of the dial.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(results.to_json(), "utf-8")
    # The file has fewer digits than the run. The page must be the one that the file gives to whoever reads it later.
    results = Results.from_json(results.to_json())
    caveats = os.path.relpath(_HERE / "CAVEATS.md", path.parent)
    written, dial = path.with_suffix(".md"), path.with_name(f"{path.stem}-dial.svg")
    written.write_text(page(results, stem=path.stem, caveats=caveats), "utf-8")
    dial.write_text(pictures.dial(results), "utf-8")
    path.with_name(f"{path.stem}-traffic.svg").write_text(pictures.traffic(results), "utf-8")
    if path.resolve() == COMMITTED:
        README.write_text(_MARKED.sub(lambda _: f"\n{summary(results)}\n\n", README.read_text("utf-8")), "utf-8")
    return written, dial


def _answers(answers: dict[str, int]) -> str:
    asked = sum(answers.values())
    ordered = sorted(answers.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{100 * count / asked:.0f} % {'no answer' if each == 'none' else each}" for each, count in ordered
    )


def main() -> None:
    """Write the page and the pictures of a results file again; of the committed one where none is named."""
    path = Path(sys.argv[1]) if sys.argv[1:] else COMMITTED
    try:
        results = Results.from_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"No report of {path}: {error}")
    print(*write(results, path), sep="\n")


if __name__ == "__main__":
    main()
