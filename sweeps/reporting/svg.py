"""Charts as SVG, drawn by matplotlib, which needs no browser.

Colours are those of Okabe and Ito, which people with any colour vision tell apart, and of cividis.
"""

import io
from functools import lru_cache
from typing import Any

import numpy as np

from sweeps.definition.outputs.registry import FIGURES
from sweeps.reporting.chart import Bars, Chart, Grid, Plot, Series, Stack

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH_IN, HEIGHT_IN = 6.6, 3.8
CELL = "cell"
"""Begins the names of elements that hold a number on a coloured cell."""
LONG_NAME = 42
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "svg.hashsalt": "sweeps",  # the same picture is the same file
    "svg.fonttype": "none",
    "text.parse_math": False,  # $ in somebody's name is a dollar
}


def points_id(number: int) -> str:
    """The name of the element that holds the points of a series."""
    return f"points-{number}"


@lru_cache(maxsize=len(FIGURES.kinds))  # a page holds the very pictures that are written beside it
def svg(chart: Chart) -> str:
    """One picture."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        parts = chart.parts if isinstance(chart, Stack) else (chart,)
        heights = [_height(part) for part in parts]
        figure = Figure(figsize=(WIDTH_IN, sum(heights)), layout="constrained")
        places = figure.subplots(len(parts), height_ratios=heights, squeeze=False)[:, 0]
        for axes, part in zip(places, parts, strict=True):
            if isinstance(part, Plot):
                _plot(figure, axes, part)
            elif isinstance(part, Bars):
                _bars(axes, part)
            else:
                _grid(figure, axes, part)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _height(chart: Plot | Bars | Grid) -> float:
    if isinstance(chart, Plot):
        if chart.categories:
            return 1.3 + 0.28 * len(chart.categories)
        return 4.6 if chart.square else HEIGHT_IN
    rows = len(chart.names) if isinstance(chart, Bars) else len(chart.rows)
    return max(2.2, 1.2 + (0.32 if isinstance(chart, Bars) else 0.42) * rows)


def _short(text: str) -> str:
    # matplotlib leaves out of its legends what begins with an underscore
    text = "\u200b" + text if text.startswith("_") else text
    return text if len(text) <= LONG_NAME else text[: LONG_NAME - 1] + "…"


def _plot(figure: Any, axes: Any, chart: Plot) -> None:
    for number, series in enumerate(chart.series):
        colour = "#777777" if series.dashed else COLOURS[number % len(COLOURS)]
        _series(axes, chart, series, colour, MARKERS[number % len(MARKERS)], gid=points_id(number))
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    if chart.log_x:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    if chart.whole_x:
        axes.xaxis.get_major_locator().set_params(integer=True)
    if chart.categories:
        axes.set_yticks(range(len(chart.categories)), [_short(name) for name in chart.categories])
        axes.set_ylim(len(chart.categories) - 0.5, -0.5)
        axes.grid(False, axis="y")
    if chart.square:
        axes.set_box_aspect(1)
        axes.set(xlim=(0, 100), ylim=(0, 100))
    if len(chart.series) > 1 or not chart.categories:
        figure.legend(loc="outside lower center", ncols=1 if len(chart.series) > 2 else 2, frameon=False, fontsize=9)


def _series(axes: Any, chart: Plot, series: Series, colour: str, marker: str, *, gid: str) -> None:
    edges = series.edges
    if chart.categories and not series.line:
        if edges:
            errors = [np.subtract(series.x, edges[0]), np.subtract(edges[1], series.x)]
            axes.errorbar(
                series.x,
                np.add(series.y, 0.18 if any(not s.edges and not s.line for s in chart.series) else 0.0),
                xerr=errors,
                fmt="|",
                markersize=9,
                color=colour,
                label=_short(series.name),
            )
        else:
            above = np.subtract(series.y, 0.1)
            axes.plot(series.x, above, ".", color=colour, alpha=0.7, label=_short(series.name), gid=gid)
    elif series.line and series.dashed:
        axes.plot(series.x, series.y, "--", color=colour, label=_short(series.name))
    elif series.line:
        few = marker if len(series.x) <= 30 else ""
        style = {"after": "steps-post", "before": "steps-pre", None: "default"}[series.step]
        axes.plot(
            series.x, series.y, marker=few, markersize=4, color=colour, label=_short(series.name), drawstyle=style
        )
        if edges:
            axes.fill_between(series.x, *edges, color=colour, alpha=0.14, linewidth=0)
    else:
        if edges:
            errors = [np.subtract(series.y, edges[0]), np.subtract(edges[1], series.y)]
            ends = series.edges_x
            across = None if ends is None else [np.subtract(series.x, ends[0]), np.subtract(ends[1], series.x)]
            axes.errorbar(series.x, series.y, yerr=errors, xerr=across, fmt="none", color="#bbbbbb", zorder=1)
        axes.plot(series.x, series.y, marker, markersize=5, color=colour, label=_short(series.name), gid=gid)
    for x, y, text in zip(series.x, series.y, series.labels or (), strict=bool(series.labels)):
        axes.annotate(text, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=9, color=colour)


def _bars(axes: Any, chart: Bars) -> None:
    places = range(len(chart.names))
    drawn = axes.barh(places, chart.values, color=COLOURS[0], height=0.6)
    axes.bar_label(drawn, [f"{value:.0f}" for value in chart.values], padding=3)
    axes.set_yticks(places, [_short(name) for name in chart.names])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set(xlabel=chart.x_label, xlim=(0, max([chart.reach, *chart.values])))
    axes.xaxis.get_major_locator().set_params(integer=True)


def _grid(figure: Any, axes: Any, chart: Grid) -> None:
    values = np.array([[np.nan if v is None else v for v in line] for line in chart.values])
    image = axes.imshow(values, cmap="cividis", aspect="auto")
    axes.set_xticks(range(len(chart.columns)), [_short(name) for name in chart.columns], rotation=_turned(chart))
    axes.set_yticks(range(len(chart.rows)), [_short(name) for name in chart.rows])
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    axes.grid(False)
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for row, line in enumerate(chart.texts):
        for column, text in enumerate(line):
            colour = "black" if values[row, column] > middle else "white"
            axes.text(
                column, row, text, ha="center", va="center", color=colour, fontsize=9, gid=f"{CELL}-{row}-{column}"
            )
    figure.colorbar(image, ax=axes, label=chart.scale)


def _turned(chart: Grid) -> int:
    return 45 if sum(len(name) for name in chart.columns) > 50 else 0
