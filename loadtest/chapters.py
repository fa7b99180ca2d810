"""Chapters of the report: each is a question, and plots that answer it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from loadtest import figures
from loadtest.figures import Distribution, Setting
from loadtest.notation import ENTRANTS, FAULTS, duration, listed, number, share, size
from loadtest.plots import Bar, Mark, Plot, Row, bars, dot, histogram, shares
from loadtest.results import BadDay, Contestant, Fault, Propagation, Results, Scale

#: The answers that a client can get: the style of its share, and what the legend calls it.
_ANSWERS: Final = {
    "200": ("let-in", "200: let in"),
    "503": ("refused", "503: try again"),
    "other": ("wrong", "another answer"),
    "none": ("unanswered", "no answer"),
}

#: The contestants that a bounded check is compared with.
_COMPARED: Final[dict[Contestant, str]] = {
    "none": "no authentication",
    "stateless": "stateless",
    "textbook": "textbook `jwt.decode`",
}

#: The figures of a deny-list with many entries.
_SCALED: Final[dict[str, tuple[Callable[[Scale], float], Callable[[float], str]]]] = {
    "One check in the follower": (lambda row: row.check_us / 1e6, duration),
    "Catch-up of a fresh follower": (lambda row: row.catch_up_seconds, duration),
    "Memory in Redis": (lambda row: row.redis_bytes, size),
    "Memory in one worker": (lambda row: row.worker_bytes, size),
    "p99 of requests before a follower catches up": (lambda row: row.p99_idle_ms / 1000, duration),
    "p99 of requests while one catches up": (lambda row: row.p99_meanwhile_ms / 1000, duration),
}

#: The faults after which Redis comes back.
_ENDING: Final[dict[Fault, str]] = {"hung": "hung", "dead": "was dead"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A chapter of the report."""

    #: The anchor of its place on the page.
    name: str
    title: str
    question: str
    plots: tuple[Plot, ...]
    #: Styles in its plots, and what they stand for.
    legend: tuple[tuple[str, str], ...] = ()


def chapters(results: Results) -> tuple[Chapter, ...]:
    """The chapters for which something was measured, in the order in which they are read."""
    every = (
        Chapter(
            name="cost",
            title="Cost",
            question="CPU time of the server per request: the median of the rounds, with whiskers from the least to "
            "the most.",
            plots=tuple(_cost(results, setting) for setting in figures.settings(results)),
        ),
        Chapter(
            name="speed",
            title="Speed of revocation",
            question="From the acknowledgement of a revocation to the last request that was accepted, in any worker, "
            "while load is on: p50 / p99 / most.",
            plots=tuple(_speed(results)),
            legend=(("bound", "what is promised"),),
        ),
        Chapter(
            name="scale",
            title="Scale",
            question="A deny-list with more and more live entries.",
            plots=(*_scale(results), *_revoking(results)),
        ),
        Chapter(
            name="bad-day",
            title="A bad day",
            question="What good tokens are answered while something is wrong with Redis.",
            plots=(*_answers(results), *_recovery(results)),
            legend=tuple(_ANSWERS.values()),
        ),
        Chapter(
            name="dial",
            title="The dial",
            question="What each position of `max_staleness` costs, and what it gives.",
            plots=tuple(_dial(results)),
        ),
    )
    return tuple(chapter for chapter in every if chapter.plots)


def _cost(results: Results, setting: Setting) -> Plot:
    every = {name: figures.cost(results, name, setting, figures.cpu_us) for name in ENTRANTS}
    spreads = {name: spread for name, spread in every.items() if spread}
    title = see = f"{setting.algorithm} under {setting.worker_class}"
    if bounded := spreads.pop("bounded", None):
        others = {words: spreads[name].median for name, words in _COMPARED.items() if name in spreads}
        differences = [
            f"{number(abs(bounded.median - other))} µs {'more' if bounded.median > other else 'less'} than {words}"
            for words, other in others.items()
        ]
        see += f": a bounded check costs {listed(differences)}" if differences else ""
    drawn = [
        Bar(entrant.title, f"{number(spread.median)} µs", entrant.family, spread.median, spread)
        for name, entrant in ENTRANTS.items()
        if (spread := every[name])
    ]
    return Plot(title=f"CPU time per request, {title}", see=f"{see}.", rows=bars(drawn))


def _speed(results: Results) -> Iterator[Plot]:
    measured = [row for row in results.propagation if figures.everywhere(row)]
    late = sum(row.wrong_accepts for row in measured)
    if measured:
        yield Plot(
            title="From acknowledgement to last accept",
            see=f"{f'{late:,} requests were' if late else 'No request was'} let in later than promised.",
            rows=[row for propagation in measured for row in _delays(propagation)],
            ticks=True,
        )


def _delays(row: Propagation) -> Iterator[Row]:
    entrant = ENTRANTS[row.contestant]
    for name, delays in ((entrant.title, figures.everywhere(row)), (f"{entrant.title}: receipt", row.receipt_ms)):
        if delay := Distribution.of(delays):
            text = f"{number(delay.p50)} / {number(delay.p99)} / {number(delay.most)} ms"
            bound = None if row.bound_ms is None else row.bound_ms / 1000
            yield Row(name, text, list(histogram(entrant.family, [ms / 1000 for ms in delays], bound=bound)))


def _scale(results: Results) -> Iterator[Plot]:
    rows = sorted(results.scale, key=lambda row: row.entries)
    for title, (figure, written) in _SCALED.items() if rows else ():
        drawn = [Bar(f"{row.entries:,}", written(figure(row)), "ours", figure(row)) for row in rows]
        few, many = drawn[0], drawn[-1]
        see = f"{title}: {few.text} with {few.name} entries, {many.text} with {many.name}."
        yield Plot(title=f"{title}, by entries", see=see, rows=bars(drawn))


def _revoking(results: Results) -> Iterator[Plot]:
    drawn = [
        Bar(words, f"{number(spread.median)}/s", "ours", spread.median, spread)
        for words, way in (("one by one", "one_by_one"), ("in bulk", "bulk"))
        if (spread := figures.revocations_per_second(results, way))
    ]
    if drawn:
        speeds = listed([f"{number(bar.value)} revocations per second {bar.name}" for bar in drawn])
        yield Plot(title="Revocations per second", see=f"Redis takes {speeds}.", rows=bars(drawn))


def _asked(results: Results, fault: Fault) -> dict[Contestant, BadDay]:
    """Those that were asked anything under this fault, in the order in which contestants are shown."""
    rows = {row.contestant: row for row in results.bad_day if row.fault == fault and any(row.answers.values())}
    return {name: rows[name] for name in ENTRANTS if name in rows}


def _answers(results: Results) -> Iterator[Plot]:
    for fault, words in FAULTS.items():
        asked = _asked(results, fault)
        unharmed = [ENTRANTS[name].title for name, row in asked.items() if _shares(row).get("200") == 1]
        through = "every contestant lets" if len(unharmed) == len(asked) else f"only {listed(unharmed)} let"
        if asked:
            yield Plot(
                title=f"Answers: {words}",
                see=f"{words}: {through if unharmed else 'nobody lets'} every good token in.",
                rows=[Row(ENTRANTS[name].title, _answered(row), _coloured(row)) for name, row in asked.items()],
            )


def _shares(row: BadDay) -> dict[str, float]:
    asked = sum(row.answers.values())
    return {answer: count / asked for answer, count in row.answers.items()}


def _coloured(row: BadDay) -> list[Mark]:
    parts = {style: 0.0 for style, _ in _ANSWERS.values()}
    for answer, part in _shares(row).items():
        parts[_ANSWERS.get(answer, _ANSWERS["other"])[0]] += part
    return list(shares(parts))


def _answered(row: BadDay) -> str:
    """The most frequent answers, few enough for a phone, and how long they took."""
    every = sorted(((part, answer) for answer, part in _shares(row).items() if part), reverse=True)
    texts = [f"{share(part, 1)} {'no answer' if answer == 'none' else answer}" for part, answer in every]
    if len(texts) > 1:
        return ", ".join(texts[:2]) + (", …" if texts[2:] else "")
    alone = texts[0].replace("100 %", "all")
    return alone if "none" in every[0] else f"{alone}, {number(row.p50_ms)} / {number(row.p99_ms)} ms"


def _recovery(results: Results) -> Iterator[Plot]:
    """After both faults that end; the longer recovery is drawn."""
    faults = {fault: asked for fault in _ENDING if (asked := _asked(results, fault))}
    drawn = []
    for name, entrant in ENTRANTS.items():
        waited = [asked[name].well_again_seconds for asked in faults.values() if name in asked]
        if waited:
            text = " / ".join("never" if seconds is None else duration(seconds) for seconds in waited)
            longest = max(seconds or 0.0 for seconds in waited)
            drawn.append(Bar(entrant.title, text, entrant.family, longest))
    lasting = [bar.name for bar in drawn if "never" in bar.text]
    recovers = f"{listed(lasting)} did not recover" if lasting else "every contestant recovers by itself"
    if drawn:
        yield Plot(
            title="Time until all is well after Redis is back",
            see=f"Redis is back after it {' / '.join(_ENDING[fault] for fault in faults)}: {recovers}. This is the "
            "time until ten good tokens in a row are let in.",
            rows=bars(drawn),
        )


def _dial(results: Results) -> Iterator[Plot]:
    rows = sorted(results.dial, key=lambda row: row.max_staleness)
    if not rows:
        return
    positions = ["inf" if math.isinf(row.max_staleness) else f"{row.max_staleness:g} s" for row in rows]
    costs = [f"{number(row.cpu_us)} µs, {row.redis_commands:.2f} Redis commands" for row in rows]
    refused = [math.inf if row.refused_after_ms is None else row.refused_after_ms / 1000 for row in rows]
    alone = [row.answers_without_redis_seconds for row in rows]

    def plot(title: str, see: str, every: list[float], never: str) -> Plot:
        texts = [never if math.isinf(seconds) else duration(seconds) for seconds in every]
        drawn = list(map(Row, positions, texts, [list(dot(seconds)) for seconds in every]))
        return Plot(title=f"{title}, by max_staleness", see=see, rows=drawn, ticks=True)

    yield Plot(
        title="CPU time per request, by max_staleness",
        see="What a request costs the server at each position of `max_staleness`.",
        rows=bars(
            [
                Bar(position, cost, "ours", row.cpu_us)
                for position, cost, row in zip(positions, costs, rows, strict=True)
            ]
        ),
    )
    yield plot(
        "From acknowledgement to refusal",
        "How soon a revoked token is refused while Redis is well.",
        refused,
        "when it expires",
    )
    yield plot("Without Redis", "How long good tokens are let in while Redis hangs.", alone, "for ever")
