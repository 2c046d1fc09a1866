"""What the pictures show, free of any drawing library; `static` and `interactive` draw it.

Axes: E epochs, K classes, R bins of probability, S seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.errors import ConfigError
from sweeps.records import SeedRun
from sweeps.reporting.importance import shares, slices_of
from sweeps.reporting.results import Results, Trial, comparable, sign
from sweeps.reporting.tables.cells import label, name_of, show, show_range
from sweeps.statistics.stats import summarise

MOST_CURVES = 3
MOST_TRIALS = 16
MOST_NAMED = 3
"""Parameters that the name of a trial holds."""
MOST_CLASSES_WITH_TEXT = 20

Details = Mapping[int, Sequence[SeedRun]]
"""By trial number its seed runs with learning curves and confusion matrices."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together, perhaps joined by a line."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    edges: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Lower and upper edges of a band or of error bars; along x where y holds categories, else along y."""
    hover: tuple[str, ...] | None = None
    line: bool = False
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Lines or points over two axes."""

    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    whole_x: bool = False
    """Whether x counts something."""
    categories: tuple[str, ...] | None = None
    """Names along y, from the top; y of the points are their numbers."""
    square: bool = False


@dataclass(frozen=True, kw_only=True)
class Bars:
    """One horizontal bar for each name, from the top."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    x_label: str


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A matrix of colours with numbers in it; None where there is nothing."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    x_label: str
    y_label: str
    scale: str
    """What the colours mean, with its unit."""


Chart = Plot | Bars | Grid


def chart(kind: str, results: Results, details: Details) -> Chart:
    """Builds one kind of picture.

    Raises:
        ConfigError: the results lack what it shows.
    """
    if kind == "curves":
        return _curves(results, details)
    if kind == "confusion":
        return _confusion(results, details)
    if kind == "reliability":
        return _reliability(results, details)
    build: dict[str, Callable[[Results], Chart]]
    build = {"seeds": _seeds, "heatmap": _heatmap, "importances": _importances, "cost": _cost}
    return build[kind](results)


def needed(kinds: Sequence[str], results: Results) -> list[Trial]:
    """Trials whose details the pictures want."""
    ranked = ranking(results)
    if "curves" in kinds:
        return ranked[:MOST_CURVES]
    return ranked[:1] if {"confusion", "reliability"} & set(kinds) else []


def ranking(results: Results) -> list[Trial]:
    """Complete trials, the best mean of the study's metric first."""
    return sorted(comparable(results.trials, results.metric), key=results.sort_key)


def title_of(results: Results, trial: Trial) -> str:
    """A trial by what sets it apart; of many parameters those that the study's first trial has otherwise."""
    names = results.varying()
    if len(names) > MOST_NAMED:
        first = results.trials[0].values
        names = [name for name in names if repr(first.get(name)) != repr(trial.values.get(name))]
        if not names:
            return "base"
    parts = []
    for name in names:
        value = show(name, trial.values.get(name))
        plain = isinstance(trial.values.get(name), int | float | bool) or value in ("none", "off", "all", "/")
        parts.append(f"{'lr' if name == 'lr' else name_of(name).lower()} {value}" if plain else value)
    return ", ".join(parts) or f"trial {trial.number}"


def scale_of(metric: str) -> tuple[float, str]:
    """Factor and axis label of a score."""
    return (1.0, label(metric)) if metric.endswith("loss") else (100.0, f"{label(metric)} (%)")


def _require(trials: Sequence[Any], what: str) -> None:
    if not trials:
        raise ConfigError(f"The picture {what} needs complete trials.")


def _curves(results: Results, details: Details) -> Plot:
    factor, y_label = scale_of(results.metric)
    series = []
    for trial in ranking(results)[:MOST_CURVES]:
        planned = set(trial.seeds)
        histories = [run.history for run in details.get(trial.number, ()) if run.history and run.seed in planned]
        if not histories:
            continue
        shared = min(len(history) for history in histories)  # patience may have ended some earlier
        scores_SE = factor * np.array(
            [[epoch.metrics[results.metric] for epoch in history[:shared]] for history in histories]
        )
        series.append(
            Series(
                name=title_of(results, trial),
                x=tuple(float(epoch.epoch) for epoch in histories[0][:shared]),
                y=_floats(scores_SE.mean(0)),
                edges=(_floats(scores_SE.min(0)), _floats(scores_SE.max(0))),
                line=True,
            )
        )
    _require(series, "curves")
    return Plot(x_label="Epoch", y_label=y_label, whole_x=True, series=tuple(series))


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _seeds(results: Results) -> Plot:
    metric = results.headline
    factor, x_label = scale_of(metric)
    trials = [trial for trial in ranking(results) if trial.mean(metric) is not None][:MOST_TRIALS]
    _require(trials, "seeds")
    points: list[tuple[float, float, str]] = []
    means: list[tuple[float, float, float, float]] = []
    for row, trial in enumerate(trials):
        scores = trial.scores(metric)
        points += [
            (factor * value, float(row), f"seed {seed}") for seed, value in zip(trial.seeds, scores, strict=True)
        ]
        told = summarise(scores)
        low, high = (told.mean if bound is None else bound for bound in (told.low, told.high))
        means.append((factor * told.mean, float(row), factor * low, factor * high))
    return Plot(
        x_label=x_label,
        y_label="",
        series=(
            Series(
                name="seed runs",
                x=tuple(x for x, _, _ in points),
                y=tuple(y for _, y, _ in points),
                hover=tuple(text for _, _, text in points),
            ),
            Series(
                name="mean, 95% t interval",
                x=tuple(x for x, *_ in means),
                y=tuple(y for _, y, _, _ in means),
                edges=(tuple(low for _, _, low, _ in means), tuple(high for *_, high in means)),
            ),
        ),
        categories=tuple(title_of(results, trial) for trial in trials),
    )


def _heatmap(results: Results) -> Grid:
    metric = results.headline
    factor, scale = scale_of(metric)
    trials = [trial for trial in comparable(results.trials, results.metric) if trial.mean(metric) is not None]
    names = [name for name in results.varying() if name != "epochs"]
    if len(names) > 2 and len(trials) >= 4:
        names = [name for name in shares(results).of_parameter if name in names]
    _require(trials, "heatmap")
    if len(names) < 2:
        raise ConfigError("The picture heatmap needs two parameters with several values.")
    down, across = sorted(names[:2], key=results.varying().index)
    rows, columns = (slices_of(results, name) for name in (down, across))
    means = {trial.number: trial.mean(metric) for trial in trials}
    values: list[tuple[float | None, ...]] = []
    for _, in_row in rows:
        numbers = {trial.number for trial in in_row}
        cells: list[float | None] = []
        for _, in_column in columns:
            own = [means.get(trial.number) for trial in in_column if trial.number in numbers]
            known = [value for value in own if value is not None]
            cells.append(factor * sum(known) / len(known) if known else None)
        values.append(tuple(cells))
    digits = 3 if metric.endswith("loss") else 1
    return Grid(
        rows=tuple(show_range(down, value) for value, _ in rows),
        columns=tuple(show_range(across, value) for value, _ in columns),
        values=tuple(values),
        texts=tuple(tuple("" if v is None else f"{v:.{digits}f}" for v in line) for line in values),
        x_label=name_of(across),
        y_label=name_of(down),
        scale=scale if len(rows) * len(columns) >= len(trials) else f"{scale}, means over several trials",
    )


def _importances(results: Results) -> Bars:
    found = shares(results)
    parts = {name_of(name): share for name, share in found.of_parameter.items()} | {"together only": found.interactions}
    return Bars(
        names=tuple(parts),
        values=tuple(100 * value for value in parts.values()),
        x_label=f"Variance between trial means explained (%), {results.metric}",
    )


def _cost(results: Results) -> Plot:
    metric = results.headline
    factor, y_label = scale_of(metric)
    trials = [t for t in ranking(results) if t.mean(metric) is not None and t.mean("wall_s") is not None]
    _require(trials, "cost")
    better = sign(metric)
    points = []
    for trial in trials:
        told = summarise(trial.scores(metric))
        low, high = (told.mean if bound is None else bound for bound in (told.low, told.high))
        seconds = trial.mean("wall_s")
        assert seconds is not None
        points.append((seconds, factor * told.mean, factor * low, factor * high, title_of(results, trial)))
    points.sort(key=lambda point: (point[0], -better * point[1]))
    front: list[tuple[float, float, float, float, str]] = []
    for point in points:
        if not front or better * point[1] > better * front[-1][1]:
            front.append(point)
    several = [("all trials", points, False), ("front: none is both quicker and better", front, True)]
    return Plot(
        x_label="Seconds for one seed run",
        y_label=y_label,
        log_x=points[-1][0] > 10 * max(points[0][0], 1e-9),
        series=tuple(
            Series(
                name=name,
                x=tuple(p[0] for p in own),
                y=tuple(p[1] for p in own),
                edges=None if line else (tuple(p[2] for p in own), tuple(p[3] for p in own)),
                hover=tuple(p[4] for p in own),
                line=line,
            )
            for name, own, line in several
        ),
    )


def _best_runs(results: Results, details: Details, what: str) -> list[SeedRun]:
    ranked = ranking(results)
    _require(ranked, what)
    return [run for run in details.get(ranked[0].number, ()) if run.seed in ranked[0].seeds]


def _confusion(results: Results, details: Details) -> Grid:
    runs = [run for run in _best_runs(results, details, "confusion") if run.confusion]
    if not runs or results.about is None:
        raise ConfigError("The picture confusion needs a study of the ledger.")
    counts_KK = np.sum([run.confusion["test"] for run in runs if run.confusion], axis=0)
    share_KK = 100 * counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    classes = tuple(str(name) for name in results.about.data.classes)
    text = len(classes) <= MOST_CLASSES_WITH_TEXT
    return Grid(
        rows=classes,
        columns=classes,
        values=tuple(_floats(line) for line in share_KK),
        texts=tuple(tuple(f"{value:.0f}" if text else "" for value in line) for line in share_KK),
        x_label="Predicted class",
        y_label="True class",
        scale="Share of the true class (%)",
    )


def _reliability(results: Results, details: Details) -> Plot:
    found = [run.reliability for run in _best_runs(results, details, "reliability") if run.reliability]
    if not found:
        raise ConfigError("The picture reliability needs seed runs that noted how sure the network was.")
    bins_SR3 = np.array(found)
    filled_R = bins_SR3[..., 0].sum(0) > 0
    count_SR, sure_SR, right_SR = np.moveaxis(bins_SR3[:, filled_R], -1, 0)
    # seeds are scored on the same images, so they are not pooled as if those were many: their range is shown
    accuracy_SR = np.where(count_SR > 0, right_SR / np.maximum(count_SR, 1), np.nan)
    gap_S = np.abs(right_SR - sure_SR).sum(1) / count_SR.sum(1)
    return Plot(
        x_label="Predicted probability of the chosen class (%)",
        y_label="Test images it is right about (%)",
        series=(
            Series(name="as sure as right", x=(0.0, 100.0), y=(0.0, 100.0), line=True, dashed=True),
            Series(
                name=f"{title_of(results, ranking(results)[0])}; mean gap {100 * gap_S.mean():.1f} points",
                x=_floats(100 * sure_SR.sum(0) / count_SR.sum(0)),
                y=_floats(100 * right_SR.sum(0) / count_SR.sum(0)),
                edges=(_floats(100 * np.nanmin(accuracy_SR, 0)), _floats(100 * np.nanmax(accuracy_SR, 0))),
                hover=tuple(f"{n:.0f} predictions" for n in count_SR.sum(0)),
                line=True,
            ),
        ),
        square=True,
    )
