"""Charts as plotly figures, for pages that are read in a browser."""

from collections.abc import Iterable
from html import escape
from typing import Any

from sweeps.reporting.chart import Bars, Chart, Grid, Plot, Series, Stack
from sweeps.reporting.svg import COLOURS

HEIGHT_PX = 440


def figure(chart: Chart) -> Any:
    """One plotly figure."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    parts = chart.parts if isinstance(chart, Stack) else (chart,)
    made = make_subplots(rows=len(parts)) if len(parts) > 1 else go.Figure()
    if isinstance(chart, Plot):
        for number, series in enumerate(chart.series):
            _series(made, chart, series, "#777777" if series.dashed else COLOURS[number % len(COLOURS)])
        made.update_xaxes(title=_word(chart.x_label), type="log" if chart.log_x else "linear")
        made.update_yaxes(title=_word(chart.y_label))
        if chart.categories:
            made.update_yaxes(
                tickvals=list(range(len(chart.categories))),
                ticktext=_words(chart.categories),
                range=[len(chart.categories) - 0.5, -0.5],
            )
    elif isinstance(chart, Grid):
        _grid(made, chart)
    else:
        for number, part in enumerate(parts, start=1):
            assert isinstance(part, Bars)
            place = {"row": number, "col": 1} if len(parts) > 1 else {}
            bars = go.Bar(x=list(part.values), y=_words(part.names), orientation="h", marker_color=COLOURS[0])
            made.add_trace(bars, **place)
            made.update_xaxes(title=_word(part.x_label), **place)
            made.update_yaxes(autorange="reversed", type="category", **place)
        made.update_layout(showlegend=False)
    rows = len(chart.categories or ()) if isinstance(chart, Plot) else 0
    if isinstance(chart, Stack):
        rows = sum(len(part.names) + 5 for part in chart.parts)
    made.update_layout(
        template=go.layout.Template(),  # the page has its own colours, and any named one takes 7 kB of each picture
        height=max(HEIGHT_PX, 140 + 26 * rows),
        margin={"t": 24, "r": 16},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02},
    )
    return made


def _words(texts: Iterable[str]) -> list[str]:
    """Texts as plotly takes them: it reads tags and entities in whatever it draws."""
    return [_word(text) for text in texts]


def _word(text: str) -> str:
    return escape(text, quote=False)


def _series(made: Any, chart: Plot, series: Series, colour: str) -> None:
    edges, name = series.edges, _word(series.name)
    if edges and series.line and not chart.square:
        made.add_scatter(
            x=[*series.x, *reversed(series.x)],
            y=[*edges[1], *reversed(edges[0])],
            mode="none",
            fill="toself",
            fillcolor=_pale(colour),
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
        )
    error: dict[str, Any] = {}
    if edges and (not series.line or chart.square):
        centre = series.x if chart.categories else series.y
        error = {"error_x" if chart.categories else "error_y": _sides(edges, centre)}
    if series.edges_x:
        error["error_x"] = _sides(series.edges_x, series.x)
    beside = any(not other.edges and not other.line for other in chart.series)  # points, which bars stand beside
    shift = 0.0 if not (chart.categories and beside) else (0.18 if edges else -0.1)
    made.add_scatter(
        x=list(series.x),
        y=[y + shift for y in series.y],
        name=name,
        legendgroup=name,
        mode=("lines" if series.dashed else ("lines+markers" if series.line else "markers"))
        + "+text" * bool(series.labels),
        line={
            "color": colour,
            "dash": "dash" if series.dashed else "solid",
            "shape": {"after": "hv", "before": "vh", None: "linear"}[series.step],
        },
        marker={"color": colour, "symbol": "line-ns-open" if chart.categories and edges else "circle"},
        text=_words(series.labels or series.hover or ()) or None,
        textposition="top right" if series.labels else None,
        hovertext=_words(series.hover) if series.hover and series.labels else None,
        **error,
    )


def _sides(edges: tuple[tuple[float, ...], tuple[float, ...]], centre: tuple[float, ...]) -> dict[str, Any]:
    """Error bars, as plotly takes them."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - c for high, c in zip(edges[1], centre, strict=True)],
        "arrayminus": [c - low for low, c in zip(edges[0], centre, strict=True)],
    }


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _grid(made: Any, chart: Grid) -> None:
    made.add_heatmap(
        z=[list(line) for line in chart.values],
        x=_words(chart.columns),
        y=_words(chart.rows),
        text=[_words(line) for line in chart.texts],
        texttemplate="%{text}",
        colorscale="Cividis",
        colorbar={"title": {"text": _word(chart.scale), "side": "right"}},
    )
    # names that look like numbers are names still
    made.update_xaxes(title=_word(chart.x_label), type="category")
    made.update_yaxes(title=_word(chart.y_label), type="category", autorange="reversed")
