"""What a request costs, contestant by contestant."""

from collections.abc import Iterator

from loadtest import figures, plots
from loadtest.chapters.chapter import Chapter, Plot, Table
from loadtest.figures import Setting, Spread
from loadtest.plots import Bar
from loadtest.results import Contestant, Results
from loadtest.words import ENTRANTS, listed, number, size


def chapter(results: Results) -> Chapter:
    """Its plots; none where nothing was measured."""
    measured = figures.settings(results)
    return Chapter(
        name="cost",
        title="Cost",
        question="CPU time of the server per request: the median of the rounds, whiskers from the least to the most.",
        plots=tuple(_cpu(results, setting) for setting in measured),
        tables=tuple(_costs(results, setting) for setting in measured),
    )


def _cpu(results: Results, setting: Setting) -> Plot:
    spreads = {name: figures.cost(results, name, setting, figures.cpu_us) for name in ENTRANTS}
    rows = [
        Bar(
            name=ENTRANTS[name].title,
            text=f"{number(spread.median)} µs",
            style=ENTRANTS[name].family,
            value=spread.median,
            least=spread.least,
            most=spread.most,
        )
        for name, spread in spreads.items()
        if spread
    ]
    title = f"{setting.algorithm} under {setting.worker_class}"
    compared = [
        f"{_difference(bounded.median - other.median)} than {words}"
        for words, other in (
            ("no authentication", spreads["none"]),
            ("stateless", spreads["stateless"]),
            ("textbook `jwt.decode`", spreads["textbook"]),
        )
        if other and (bounded := spreads["bounded"])
    ]
    see = f"{title}: a bounded check costs {listed(compared)}." if compared else f"{title}."
    slug = f"cost-{setting.algorithm}-{setting.worker_class}"
    return Plot(see=see, picture=plots.bars(rows, name=slug, title=f"CPU time per request, {title}"))


def _difference(us: float) -> str:
    return f"{number(abs(us))} µs {'more' if us > 0 else 'less'}"


def _costs(results: Results, setting: Setting) -> Table:
    def row(name: Contestant) -> Iterator[str]:
        rounds = figures.rounds(results, name, setting).values()
        yield ENTRANTS[name].title
        cpu = Spread.of(map(figures.cpu_us, rounds))
        yield f"{number(cpu.median)} ({number(cpu.least)} to {number(cpu.most)})" if cpu else "not measured"
        for figure, write in (
            (figures.requests_per_second, number),
            (lambda one: one.latencies_ms.p50, number),
            (lambda one: one.latencies_ms.p95, number),
            (lambda one: one.latencies_ms.p99, number),
            (figures.redis_commands, lambda value: f"{value:.2f}"),
            (figures.redis_bytes, size),
            (lambda one: one.memory_bytes, size),
        ):
            spread = Spread.of(map(figure, rounds))
            yield write(spread.median) if spread else ""

    return Table(
        title=f"{setting.algorithm} under {setting.worker_class}, per contestant",
        head=(
            "",
            "CPU µs/request",
            "requests/s",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "Redis commands",
            "Redis bytes",
            "memory",
        ),
        rows=tuple(tuple(row(name)) for name in ENTRANTS),
    )
