"""Shortcomings: what a run lacks and how noisy it was, in sentences, so that nobody reads a part as the whole."""

import statistics
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from loadtest import figures
from loadtest.notation import ENTRANTS, FAULTS, listed, number
from loadtest.results import Contestant, Results

#: Sections, as readers call them.
_SECTIONS: Final = {
    "cost": "cost",
    "propagation": "speed of revocation",
    "scale": "scale",
    "revoking": "revocations per second",
    "bad_day": "a bad day",
    "dial": "the dial",
}

#: Those whose revocations are timed: the textbook and its like have none, and introspection is our own service.
_TIMED: Final[tuple[Contestant, ...]] = ("bounded", "strict", "session", "jwt_extended")


def missing(results: Results) -> tuple[str, ...]:
    """Sentences about what was not measured, or not rightly; none for a whole run in which every answer was right."""
    return (*_sections(results), *_cost(results), *_propagation(results), *_bad_day(results))


def _sections(results: Results) -> Iterator[str]:
    empty = [words for name, words in _SECTIONS.items() if not getattr(results, name)]
    if results.interrupted:
        yield "The run was interrupted: these are the figures it had by then."
    if empty:
        yield f"Not measured: {listed(empty)}."


def _cost(results: Results) -> Iterator[str]:
    for setting in figures.settings(results):
        where = f"{setting.algorithm} under {setting.worker_class}"
        counts = {name: len(figures.rounds(results, name, setting)) for name in ENTRANTS}
        absent = [ENTRANTS[name].title for name, count in counts.items() if not count]
        if absent:
            yield f"No cost with {where}: {listed(absent)}."
        most = max(counts.values())
        fewer = [f"{ENTRANTS[name].title} ({count})" for name, count in counts.items() if 0 < count < most]
        if fewer:
            yield f"Fewer than {most} rounds with {where}: {listed(fewer)}."
    wrong = sorted((row for row in results.cost if row.failures), key=lambda row: row.contestant)
    for name, rows in groupby(wrong, key=lambda row: row.contestant):
        each = list(rows)
        failures, requests = sum(row.failures for row in each), sum(row.requests for row in each)
        yield (
            f"{ENTRANTS[name].title}: {failures:,} of {requests:,} answers were wrong in {len(each)} rounds; "
            "its cost there is not that of right answers."
        )


def _propagation(results: Results) -> Iterator[str]:
    timed = {row.contestant for row in results.propagation if figures.everywhere(row)}
    absent = [ENTRANTS[name].title for name in _TIMED if name not in timed]
    if results.propagation and absent:
        yield f"No speed of revocation: {listed(absent)}."


def _bad_day(results: Results) -> Iterator[str]:
    met = {(row.contestant, row.fault) for row in results.bad_day if sum(row.answers.values())}
    for contestant in dict.fromkeys(row.contestant for row in results.bad_day):
        absent = [words for fault, words in FAULTS.items() if (contestant, fault) not in met]
        if absent:
            yield f"A bad day of {ENTRANTS[contestant].title} lacks: {listed(absent)}."


def noise(results: Results) -> str | None:
    """How far apart the rounds of one contestant were, at most and typically; None where nothing was repeated."""
    spreads = [
        (spread.relative, name, setting)
        for setting in figures.settings(results)
        for name in ENTRANTS
        if len(figures.rounds(results, name, setting)) > 1
        and (spread := figures.cost(results, name, setting, figures.cpu_us))
    ]
    if not spreads:
        return None
    widest, name, setting = max(spreads)
    typical = statistics.median(relative for relative, _, _ in spreads)
    return (
        f"Between the rounds of one contestant, CPU per request differed by {number(100 * typical)} % in the median "
        f"and by {number(100 * widest)} % at most: {ENTRANTS[name].title}, {setting.algorithm} under "
        f"{setting.worker_class}."
    )
