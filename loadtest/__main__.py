"""`python -m loadtest`: what it costs to be able to take a token back, measured here."""

import contextlib
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import redis
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from loadtest import denylist_size, machine, max_staleness, propagation, redis_faults, report, request_cost
from loadtest.comparison import Costs, costs
from loadtest.deployment import WrongAnswerError
from loadtest.profiles import FULL, QUICK, SECTIONS, Profile, Section, Tell
from loadtest.results import COMMITTED, ROOT, Results
from revocation import RevocationError

_QUICK: Final = ROOT / ".data" / "bench" / "quick.json"

#: The parts of the results that each section fills, and what measures them.
_PARTS: Final[dict[Section, dict[str, Callable[[Profile, Path, Tell], Iterator[Any]]]]] = {
    "cost": {"cost": request_cost.measure},
    "propagation": {"propagation": propagation.measure},
    "scale": {"scale": denylist_size.measure, "revoking": denylist_size.revoking},
    "bad-day": {"bad_day": redis_faults.measure},
    "dial": {"dial": max_staleness.measure},
}


def measure(profile: Profile, tell: Tell, *, command: str) -> tuple[Results, Exception | None]:
    """One run, and what ended it early if that was an error. Ctrl-C and errors leave what there was by then."""
    began = time.monotonic()
    results = Results(
        profile=profile.name,
        started_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        elapsed_seconds=0.0,
        interrupted=False,
        command=command,
        commit=machine.commit(),
        machine=machine.machine(),
        versions=machine.versions(),
        generator=machine.load_generator(),
    )
    failure: Exception | None = None
    measured_rows: dict[str, list[Any]] = {part: [] for section in profile.sections for part in _PARTS[section]}
    try:
        with tempfile.TemporaryDirectory(prefix="rv-bench-") as directory:
            for section in profile.sections:
                for part, rows in _PARTS[section].items():
                    with contextlib.closing(rows(profile, Path(directory) / part, tell)) as measured:  # type: ignore[type-var]  # each is a generator
                        for row in measured:
                            measured_rows[part].append(row)
    except KeyboardInterrupt:
        results = replace(results, interrupted=True)
    except (WrongAnswerError, RevocationError, redis.RedisError, RuntimeError, OSError) as error:
        results, failure = replace(results, interrupted=True), error
    sections: dict[str, Any] = {part: tuple(rows) for part, rows in measured_rows.items()}
    return replace(results, elapsed_seconds=time.monotonic() - began, **sections), failure


def _words(allowed: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str | None], tuple[str, ...] | None]:
    def read(_context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
        words = tuple(value.split(",")) if value is not None else None
        if words is not None and (unknown := [word for word in words if word not in allowed]):
            raise click.BadParameter(f"{', '.join(unknown)}; choose from {', '.join(allowed)}", param=parameter)
        return words

    return read


@click.command()
@click.option("--quick/--full", default=True, help="A run of one or two minutes, or of half an hour. Default: quick.")
@click.option(
    "--algorithms",
    callback=_words(("ES256", "HS256", "RS256", "EdDSA")),
    help="Such as ES256,HS256; the first serves all sections.",
)
@click.option("--worker-classes", callback=_words(("gthread", "gevent", "sync")), help="Such as gthread,gevent.")
@click.option("--only", "sections", callback=_words(SECTIONS), help=f"Some of {','.join(SECTIONS)}.")
@click.option("--rounds", type=click.IntRange(1), help="Turns of each contestant.")
@click.option("--seconds", type=click.FloatRange(0.1), help="The duration of load in each turn.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the figures go, as JSON.")
def main(*, quick: bool, output: Path | None, **chosen: Any) -> None:
    """Measure what it costs to be able to take a token back, next to the peers, and write a report.

    Everything stays on this machine. Ctrl-C ends it, and keeps what there is.
    """
    profile = replace(QUICK if quick else FULL, **{name: value for name, value in chosen.items() if value is not None})
    output = output or (_QUICK if quick else COMMITTED)
    # SIGTERM ends the run as Ctrl-C does, so that every server it has started ends, too.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    console = Console()
    command = shlex.join(["python", "-m", "loadtest", *sys.argv[1:]])
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("starting", total=None)
        results, failure = measure(profile, lambda what: progress.update(task, description=what), command=command)
    results.write(output)
    page = output.with_suffix(".html")
    report.write(results, page)
    if table := costs(results):
        console.print(_printed(table))
    if results.interrupted:
        console.print("Interrupted: these are the figures there were by then.")
    console.print(f"Figures: {output}\nReport:  {page}", soft_wrap=True)
    if failure is not None:
        raise click.ClickException(f"the run ended early: {failure}")


def _printed(costs: Costs) -> Table:
    """The table of costs, without what the contestants do: that is for readers with more room."""
    table = Table(title=costs.caption)
    for column in (costs.head[0], *costs.head[2:]):
        table.add_column(column, justify="right" if column else "left")
    for name, _, *figures in costs.rows:
        table.add_row(name, *figures)
    return table


if __name__ == "__main__":
    main()
