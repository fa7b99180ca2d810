"""What contestants answer while Redis is slow, hangs or is gone."""

from typing import Final

from loadtest import plots
from loadtest.chapters.chapter import Chapter, Plot, Table
from loadtest.plots import Bar, Parts
from loadtest.results import BadDay, Fault, Results
from loadtest.words import ENTRANTS, FAULTS, duration, listed, number, share

#: What a client is answered, the style of its share, and what that is.
_ANSWERS: Final = {
    "200": ("let-in", "200: let in"),
    "503": ("refused", "503: try again"),
    "other": ("wrong", "another answer"),
    "none": ("unanswered", "no answer"),
}

#: Faults after which Redis comes back.
_ENDING: Final[dict[Fault, str]] = {"hung": "hung", "dead": "was dead"}
_NEVER: Final = "never"


def chapter(results: Results) -> Chapter:
    """Its plots; none where nothing was measured."""
    order = list(ENTRANTS)
    rows = sorted((row for row in results.bad_day if _total(row)), key=lambda row: order.index(row.contestant))
    by_fault = {fault: [row for row in rows if row.fault == fault] for fault in FAULTS}
    return Chapter(
        name="bad-day",
        title="A bad day",
        question="What good tokens are answered while something is wrong with Redis, and how long they wait for it.",
        plots=(
            *(_faced(fault, those) for fault, those in by_fault.items() if those),
            *((_recovery(rows),) if any(row.fault in _ENDING for row in rows) else ()),
        ),
        tables=(_figures(rows),),
        legend=tuple(_ANSWERS.values()),
    )


def _faced(fault: Fault, rows: list[BadDay]) -> Plot:
    right = all(_count(row, "200") == _total(row) for row in rows)
    return _times(fault, rows) if right else _answers(fault, rows)


def _times(fault: Fault, rows: list[BadDay]) -> Plot:
    """Where every answer is the right one, what is left to see is how long it takes."""
    bars = [
        Bar(
            name=ENTRANTS[row.contestant].title,
            text=f"{number(row.p50_ms)} / {number(row.p99_ms)} ms",
            style=ENTRANTS[row.contestant].family,
            value=row.p50_ms,
        )
        for row in rows
    ]
    medians = [row.p50_ms for row in rows]
    return Plot(
        see=f"{FAULTS[fault]}: every good token is let in, after {number(min(medians))} to {number(max(medians))} ms "
        "in the median (p50 / p99).",
        picture=plots.bars(bars, name=f"bad-day-{fault}", title=f"Time to answer: {FAULTS[fault]}"),
    )


def _answers(fault: Fault, rows: list[BadDay]) -> Plot:
    drawn = [
        Parts(
            name=ENTRANTS[row.contestant].title,
            text=_text(row),
            parts=tuple((style, _count(row, answer)) for answer, (style, _) in _ANSWERS.items()),
        )
        for row in rows
    ]
    through = [ENTRANTS[row.contestant].title for row in rows if _count(row, "200") == _total(row)]
    said = f"only {listed(through)} let every good token in" if through else "nobody lets every good token in"
    return Plot(
        see=f"{FAULTS[fault]}: {said}.",
        picture=plots.parts(drawn, name=f"bad-day-{fault}", title=f"Answers: {FAULTS[fault]}"),
    )


def _total(row: BadDay) -> int:
    return sum(row.answers.values())


def _count(row: BadDay, answer: str) -> int:
    if answer == "other":
        return sum(count for said, count in row.answers.items() if said not in _ANSWERS)
    return row.answers.get(answer, 0)


def _text(row: BadDay) -> str:
    """Short enough for a phone; the table has the rest."""
    said = _said(row)
    if _count(row, "none") == _total(row):
        return "no answer"
    if len(said) == 1:
        return f"{said[0].replace('100 %', 'all')}, p99 {number(row.p99_ms)} ms"
    return ", ".join(said[:2]) + (", …" if said[2:] else "")


def _said(row: BadDay) -> list[str]:
    """The most frequent answer first."""
    return [
        f"{share(count, _total(row))} {'no answer' if answer == 'none' else answer}"
        for answer, count in sorted(row.answers.items(), key=lambda one: -one[1])
        if count
    ]


def _figures(rows: list[BadDay]) -> Table:
    return Table(
        title="Every answer",
        head=("", "fault", "answers", "p50 ms", "p99 ms", "well again after"),
        rows=tuple(
            (
                ENTRANTS[row.contestant].title,
                FAULTS[row.fault],
                ", ".join(_said(row)),
                number(row.p50_ms),
                number(row.p99_ms),
                "" if row.fault not in _ENDING else _well_again(row),
            )
            for row in rows
        ),
    )


def _well_again(row: BadDay) -> str:
    return _NEVER if row.well_again_seconds is None else duration(row.well_again_seconds)


def _recovery(rows: list[BadDay]) -> Plot:
    """After both faults that end; the longer one is drawn."""
    bars = []
    for contestant, entrant in ENTRANTS.items():
        ended = [row for fault in _ENDING for row in rows if (row.contestant, row.fault) == (contestant, fault)]
        if ended:
            said = [_well_again(row) for row in ended]
            longest = max(row.well_again_seconds or 0.0 for row in ended)
            bars.append(Bar(name=entrant.title, text=" / ".join(said), style=entrant.family, value=longest))
    faults = [words for fault, words in _ENDING.items() if any(row.fault == fault for row in rows)]
    never = [bar.name for bar in bars if _NEVER in bar.text]
    see = f"{listed(never)} did not recover" if never else "every contestant recovers by itself"
    return Plot(
        see=f"Redis is back after it {' / '.join(faults)}: {see}. This is the time until ten good tokens in a row are "
        "let in.",
        picture=plots.bars(bars, name="bad-day-recovery", title="Time until all is well after Redis is back"),
    )
