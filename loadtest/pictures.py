"""Pictures: the dial, and the cost against requests per token, as SVG that is legible in light and in dark."""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from loadtest import figures
from loadtest.contestants import LIFETIME_SECONDS, POSITIONS, REVOCABLE, Name
from loadtest.figures import MAIN, TITLES, Point, number
from loadtest.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Each colour is one of the light scheme; the picture names it, and gives it another value in the dark.
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "ink": ("#1f2933", "#e6edf3"),
    "soft": ("#66727f", "#9aa7b4"),
    "line": ("#c9d1d9", "#3d4752"),
    "ours": ("#1f6feb", "#58a6ff"),
    "peer": ("#b7791f", "#dba44a"),
    "never": ("#c53030", "#f07178"),
}
_INK, _SOFT, _LINE, _OURS, _PEER, _NEVER = (light for light, _ in _COLOURS.values())

#: Where "at once" stands on an axis of milliseconds, which has no zero.
_AT_ONCE_MS: Final = 0.1


def dial(results: Results) -> str:
    """Requests per CPU second, and p99, against how long a revoked token is still accepted. An SVG."""
    figure, (left, right) = _panels(9.6, 3.9)
    shown: list[Name] = [name for name in TITLES if figures.accepted_ms(results, name) is not None]
    for axes, title, figure_of in (
        (left, "requests per CPU second of the server (more is better)", figures.per_cpu_second),
        (right, "p99 of response times, in ms (less is better)", figures.p99_ms),
    ):
        values = {name: value for name in shown if (value := figures.median(results, name, MAIN, figure_of))}
        for name, value in values.items():
            _point(axes, results, name, value)
        floor = figures.median(results, "none", MAIN, figure_of)
        if floor is not None:
            axes.axhline(floor, color=_SOFT, linewidth=1, linestyle=(0, (2, 3)))
            axes.annotate("no authentication", (3, floor), xytext=(0, 3), textcoords="offset points", color=_SOFT)
        _label(axes, results, values)
        axes.set_title(title, loc="left", color=_INK)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xlim(_AT_ONCE_MS / 2.5, 1e3 * LIFETIME_SECONDS * 2.5)
        axes.set_xticks([_AT_ONCE_MS, 1, 10, 100, 1e3, 1e4, 1e3 * LIFETIME_SECONDS])
        axes.set_xticklabels(["at once", "1 ms", "10", "100", "1 s", "10", f"{LIFETIME_SECONDS // 60} min"])
        axes.set_xlabel("how long a revoked token is still accepted", color=_SOFT)
        axes.set_ylim(0, 1.15 * max([1.0, *values.values(), floor or 0]))
    workers, mix = MAIN
    return _svg(
        figure,
        title="What it costs to be able to take a token back, and how soon it works",
        description=f"{workers} worker, {mix} requests per token. "
        + " ".join(
            f"{TITLES[name]}: {number(rate)} requests per CPU second, {number(p99)} ms p99, a revoked token is "
            f"accepted for {figures.accepted_for(results, name)}."
            for name in shown
            if (rate := figures.median(results, name, MAIN, figures.per_cpu_second))
            and (p99 := figures.median(results, name, MAIN, figures.p99_ms))
        ),
    )


def traffic(results: Results) -> str:
    """Requests per CPU second over the textbook's, against requests per token, for each number of workers. An SVG."""
    numbers = list(dict.fromkeys(workers for workers, _ in figures.points(results)))
    figure, panels = _panels(9.6, 3.9, count=max(1, len(numbers)))
    told = []
    for workers, axes in zip(numbers, panels, strict=False):
        chosen = [point for point in figures.points(results) if point[0] == workers]
        last: dict[Name, float] = {}
        for name in TITLES:
            found = [figures.ratio(results, name, "textbook", point) for point in chosen]
            if name not in ("textbook", "introspection") and all(found):
                ratios = [each.median for each in found if each]
                width = 2.2 if name == "bounded" else 1.2
                axes.plot(range(len(chosen)), ratios, marker="o", markersize=4, linewidth=width, color=_colour(name))
                last[name] = ratios[-1]
                told.append(f"{TITLES[name]}, {workers} workers: {', '.join(f'{each:.2f}' for each in ratios)}.")
        last["textbook"] = 1.0
        _beside(axes, len(chosen) - 1, {TITLES[name]: (value, _colour(name)) for name, value in last.items()})
        axes.plot([0, len(chosen) - 1], [1, 1], color=_colour("textbook"), linewidth=1, linestyle=(0, (2, 3)))
        axes.set_xlim(-0.3, len(chosen) - 1 + 1.9)
        axes.set_ylim(0, None)
        axes.set_xticks(range(len(chosen)))
        axes.set_xticklabels([_with_hits(results, point) for point in chosen])
        axes.set_xlabel("requests per token, and the hit rate of our token cache", color=_SOFT)
        axes.set_title(
            f"requests per CPU second, textbook = 1; {workers} worker{'s' * (workers > 1)}", loc="left", color=_INK
        )
    return _svg(figure, title="Cost against requests per token", description=" ".join(told))


def _panels(width: float, height: float, *, count: int = 2) -> tuple[Any, Sequence["Axes"]]:
    # What draws is imported where something is drawn: a run that is interrupted early has nothing to show.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 9, "font.family": "sans-serif", "axes.titlesize": 9.5}):
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(1, count, squeeze=False)[0]
    for axes in panels:
        axes.set_facecolor("none")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_LINE)
        axes.tick_params(colors=_SOFT)
        axes.grid(axis="y", color=_LINE, linewidth=0.5)
    return figure, panels


def _point(axes: "Axes", results: Results, name: Name, value: float) -> None:
    x = max(_AT_ONCE_MS, figures.accepted_ms(results, name) or 0)
    bound = next((row.bound_ms for row in results.accepted if row.contestant == name), None)
    if bound:
        axes.plot([x, bound], [value, value], color=_colour(name), linewidth=1.5, marker="|", markersize=8)
    axes.plot([x], [value], color=_colour(name), marker="o", markersize=7 if _colour(name) == _OURS else 5)


def _label(axes: "Axes", results: Results, values: Mapping[Name, float]) -> None:
    """Names beside the points: to the right, and to the left of those that accept until the token expires."""
    late = {name: value for name, value in values.items() if name not in REVOCABLE}
    soon = {name: value for name, value in values.items() if name in REVOCABLE}
    top = 1.15 * max(values.values(), default=1.0)
    for names, side in ((late, -1), (soon, 1)):
        # The name of the bounded check stands above its line.
        raised = {name: value + top * 0.055 * (name == "bounded") for name, value in names.items()}
        ordered = sorted(names, key=lambda name: raised[name])
        for name, y in zip(ordered, _apart(raised.values(), top * 0.055), strict=True):
            axes.annotate(
                TITLES[name] + " (at most 1 s)" * (name == "bounded"),
                (max(_AT_ONCE_MS, figures.accepted_ms(results, name) or 0), y),
                xytext=(8 * side, 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                color=_colour(name),
                fontweight="bold" if name == "bounded" else "normal",
            )


def _beside(axes: "Axes", x: float, lines: Mapping[str, tuple[float, str]]) -> None:
    top = max((value for value, _ in lines.values()), default=1.0)
    ordered = sorted(lines.items(), key=lambda item: item[1][0])
    for (words, (_, colour)), y in zip(
        ordered, _apart([value for value, _ in lines.values()], top * 0.062), strict=True
    ):
        axes.annotate(words, (x, y), xytext=(7, 0), textcoords="offset points", va="center", color=colour)


def _apart(values: Iterable[float], gap: float) -> list[float]:
    """The values in order, moved up where they would cover each other."""
    moved: list[float] = []
    for value in sorted(values):
        moved.append(max(value, moved[-1] + gap) if moved else value)
    return moved


def _with_hits(results: Results, point: Point) -> str:
    rate = figures.hit_rate(results, point)
    return point[1] + ("" if rate is None else f"\n{100 * rate:.0f} %")


def _colour(name: Name) -> str:
    if name in POSITIONS:
        return _OURS
    return _SOFT if name == "none" else _PEER if name in REVOCABLE else _NEVER


def _svg(figure: Any, *, title: str, description: str) -> str:
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "revocation", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    light = "".join(f"--{name}:{value};" for name, (value, _) in _COLOURS.items())
    dark = "".join(f"--{name}:{value};" for name, (_, value) in _COLOURS.items())
    style = f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}text{{font-family:system-ui}}"
    head = f"<title>{title}</title><desc>{description}</desc><style>{style}</style>"
    svg = re.sub(r"font-family: [^;]*;", "", svg)
    for name, (value, _) in _COLOURS.items():
        svg = svg.replace(value, f"var(--{name})")
    return re.sub(r"(<svg [^>]*)>", rf'\1 role="img">{head}', svg, count=1)
