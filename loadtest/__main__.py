"""`python -m loadtest`: what it costs to be able to take a token back, measured here."""

import contextlib
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import redis
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from loadtest import asking, event_loop, importing, in_process, machine, outages, propagation, report, sizes, traffic
from loadtest.profile import FULL, QUICK, Profile, Tell
from loadtest.results import Results
from loadtest.server import ROOT, WrongAnswerError
from revocation import RevocationError

_QUICK: Final = ROOT / ".data" / "bench" / "quick.json"

#: What measures each part of the results, in the order in which they are measured.
PARTS: Final[Mapping[str, Callable[[Profile, Path, Tell], Iterator[Any]]]] = {
    "turns": traffic.measure,
    "in_process": in_process.added,
    "verified": in_process.verified,
    "accepted": propagation.measure,
    "outages": outages.measure,
    "held": event_loop.measure,
    "sizes": sizes.measure,
    "imported": importing.measure,
    "asked": asking.measure,
}

#: How many comparisons of `Profile.seconds` each of these has at the most: whole servers, by workers; one for each
#: algorithm and contestant, of a quarter; the bounded check, and the faults.
_COMPARISONS: Final[Mapping[str, float]] = {"turns": 2.0, "in_process": 1.0, "verified": 1.0, "accepted": 3.0}


def measure(profile: Profile, tell: Tell, *, parts: Mapping[str, Any] = PARTS) -> tuple[Results, Exception | None]:
    """One run, and what ended it early if that was an error. Ctrl-C and errors leave what there was by then."""
    began = time.monotonic()
    results = Results(
        profile=profile.name,
        started_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        elapsed_seconds=0.0,
        interrupted=False,
        commit=machine.commit(),
        machine=machine.machine(),
        versions=machine.versions(),
    )
    failure: Exception | None = None
    rows: dict[str, list[Any]] = {part: [] for part in parts}
    try:
        with tempfile.TemporaryDirectory(prefix="rv-bench-") as directory:
            for number, (part, measured) in enumerate(parts.items()):
                comparisons = sum(_COMPARISONS.get(later, 0.0) for later in [*parts][number:])
                chosen = profile.in_time(elapsed_seconds=time.monotonic() - began, comparisons=comparisons)
                with contextlib.closing(measured(chosen, Path(directory) / part, tell)) as found:
                    rows[part].extend(found)
    except KeyboardInterrupt:
        results = replace(results, interrupted=True)
    except (WrongAnswerError, RevocationError, redis.RedisError, RuntimeError, OSError) as error:
        results, failure = replace(results, interrupted=True), error
    measured_rows: dict[str, Any] = {part: tuple(found) for part, found in rows.items()}
    return replace(results, elapsed_seconds=time.monotonic() - began, **measured_rows), failure


@click.command()
@click.option("--quick/--full", default=True, help="Two minutes, or about a quarter of an hour. Default: quick.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the figures go, as JSON.")
def main(*, quick: bool, output: Path | None) -> None:
    """Measure what it costs to be able to take a token back, beside the alternatives, and write a report.

    Everything stays on this machine. Ctrl-C ends it, and keeps what there is.
    """
    output = output or (_QUICK if quick else report.COMMITTED)
    # SIGTERM ends the run as Ctrl-C does, so that every server it has started ends, too.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    console = Console()
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("starting", total=None)
        results, failure = measure(QUICK if quick else FULL, lambda what: progress.update(task, description=what))
    page, picture = report.write(results, output)
    beginning, *_ = page.read_text("utf-8").partition("## How soon")
    console.print(Markdown(beginning))
    console.print(f"Report:  {page}\nPicture: {picture}\nFigures: {output}", soft_wrap=True)
    if failure is not None:
        raise click.ClickException(f"the run ended early: {failure}")


if __name__ == "__main__":
    main()
