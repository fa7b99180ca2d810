"""How soon a revoked token is refused everywhere."""

from collections.abc import Iterator

from loadtest import figures, plots
from loadtest.chapters.chapter import Chapter, Plot, Table
from loadtest.figures import Distribution
from loadtest.plots import MILLISECONDS, Dots
from loadtest.results import Propagation, Results
from loadtest.words import ENTRANTS, duration, number


def chapter(results: Results) -> Chapter:
    """Its plots; none where nothing was measured."""
    rows = [row for row in results.propagation if figures.everywhere(row)]
    drawn = [one for row in rows for one in _delays(row, among=rows)]
    picture = plots.dots(drawn, axis=MILLISECONDS, name="speed-any", title="From acknowledgement to last accept")
    return Chapter(
        name="speed",
        title="Speed of revocation",
        question="From the acknowledgement of a revocation to the last request that was accepted, in any worker, "
        "while load is on: p50 / p99 / most.",
        plots=(Plot(see=_see(rows), picture=picture),) if rows else (),
        tables=tuple(_per_worker(row) for row in rows),
        legend=(("bound", "what is promised"),) if any(row.bound_ms for row in rows) else (),
    )


def _see(rows: list[Propagation]) -> str:
    said = []
    for name in ("bounded", "strict"):
        found = Distribution.of([delay for row in rows if row.contestant == name for delay in figures.everywhere(row)])
        if found and found.most:
            said.append(
                f"{name} let revoked tokens in for {duration(found.p50 / 1000)} in the median, and for at most "
                f"{duration(found.p99 / 1000)} in 99 of 100 cases"
            )
        elif found:
            said.append(f"{name} never let one in after the acknowledgement")
    late = sum(row.wrong_accepts for row in rows)
    said.append(f"{late:,} requests were let in later than promised" if late else "none was let in later than promised")
    sentence = "; ".join(said)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _delays(row: Propagation, *, among: list[Propagation]) -> Iterator[Dots]:
    entrant = ENTRANTS[row.contestant]
    name = entrant.title
    if sum(other.contestant == row.contestant for other in among) > 1:
        name = f"{name}, {row.algorithm}, {row.worker_class}"
    for label, values in ((name, figures.everywhere(row)), (f"{name}: receipt", list(row.receipt_ms))):
        found = Distribution.of(values)
        if found:
            yield Dots(
                name=label,
                text=f"{number(found.p50)} / {number(found.p99)} / {number(found.most)} ms",
                style=entrant.family,
                values=tuple(values),
                marks=(found.p50, found.p99, found.most),
                bound=row.bound_ms or None,
            )


def _per_worker(row: Propagation) -> Table:
    workers = [Distribution.of(delays) for delays in figures.by_worker(row)]
    return Table(
        title=f"{ENTRANTS[row.contestant].title}, {row.algorithm} under {row.worker_class}, by worker "
        f"({number(row.load_rps)} requests/s meanwhile)",
        head=("worker", "revocations", "p50 ms", "p99 ms", "most ms"),
        rows=tuple(
            (str(index), f"{found.count:,}", number(found.p50), number(found.p99), number(found.most))
            for index, found in enumerate(workers, start=1)
            if found
        ),
    )
