"""What a long deny-list costs."""

from collections.abc import Callable, Iterator

from loadtest import figures, plots
from loadtest.chapters.chapter import Chapter, Plot
from loadtest.plots import Bar
from loadtest.results import Results, Scale
from loadtest.words import duration, listed, number, size


def chapter(results: Results) -> Chapter:
    """Its plots; none where nothing was measured."""
    rows = sorted(results.scale, key=lambda row: row.entries)
    return Chapter(
        name="scale",
        title="Scale",
        question="A deny-list with more and more live entries.",
        plots=(*(_scaled(rows) if rows else ()), *(_revoked(results) if results.revoking else ())),
    )


def _scaled(rows: list[Scale]) -> Iterator[Plot]:
    few, many = rows[0], rows[-1]
    most = f"{many.entries:,} entries"

    def plot(slug: str, title: str, see: str, figure: Callable[[Scale], float], text: Callable[[float], str]) -> Plot:
        drawn = [Bar(name=f"{r.entries:,}", text=text(figure(r)), style="ours", value=figure(r)) for r in rows]
        return Plot(see=see, picture=plots.bars(drawn, name=f"scale-{slug}", title=title))

    yield plot(
        "check",
        "One check in the follower, by entries",
        f"One check takes {number(few.check_us)} µs with {few.entries:,} entries and {number(many.check_us)} µs with "
        f"{many.entries:,}.",
        lambda row: row.check_us,
        lambda us: f"{number(us)} µs",
    )
    yield plot(
        "catch-up",
        "Catch-up of a fresh follower, by entries",
        f"A fresh process has read {most} after {duration(many.catch_up_seconds)}.",
        lambda row: row.catch_up_seconds,
        duration,
    )
    yield plot(
        "redis",
        "Memory in Redis, by entries",
        f"{most} take {size(many.redis_bytes)} of memory in Redis.",
        lambda row: row.redis_bytes,
        size,
    )
    yield plot(
        "worker",
        "Memory in one worker, by entries",
        f"{most} take {size(many.worker_bytes)} of memory in each worker.",
        lambda row: row.worker_bytes,
        size,
    )
    meanwhile = [
        Bar(name=f"{row.entries:,}, {when}", text=f"{number(ms)} ms", style=style, value=ms)
        for row in rows
        for when, style, ms in (("before", "peer", row.p99_idle_ms), ("meanwhile", "ours", row.p99_meanwhile_ms))
    ]
    yield Plot(
        see=f"While a follower catches up with {most}, the p99 of requests to the same process is "
        f"{number(many.p99_meanwhile_ms)} ms; it is {number(many.p99_idle_ms)} ms before.",
        picture=plots.bars(meanwhile, name="scale-meanwhile", title="p99 of requests before and during catch-up"),
    )


def _revoked(results: Results) -> Iterator[Plot]:
    speeds = {
        words: spread
        for way, words in (("one_by_one", "one by one"), ("bulk", "in bulk"))
        if (spread := figures.revocations_per_second(results, way))
    }
    drawn = [
        Bar(name=words, text=f"{number(one.median)}/s", style="ours", value=one.median, least=one.least, most=one.most)
        for words, one in speeds.items()
    ]
    if drawn:
        said = listed([f"{number(spread.median)} revocations per second {words}" for words, spread in speeds.items()])
        yield Plot(
            see=f"Redis takes {said}.", picture=plots.bars(drawn, name="scale-revoking", title="Revocations per second")
        )
