"""`heatmap`: mean scores by two parameters."""

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.figures.heatmap import Options
from sweeps.reporting.cells import name_of, show_range, unit_of
from sweeps.reporting.chart import Grid, require, scale_of
from sweeps.reporting.importance import attribution, slices_of
from sweeps.reporting.results import Results, comparable


def draw(results: Results, options: Options) -> Grid:
    """Means over the trials that have both values."""
    metric = results.headline
    factor, scale = scale_of(metric)
    trials = [trial for trial in comparable(results.trials, results.metric) if trial.mean(metric) is not None]
    require(trials, "heatmap")
    down, across = _axes(results, options, len(trials))
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
    digits = unit_of(metric).digits_in_pictures
    return Grid(
        rows=tuple(show_range(down, value) for value, _ in rows),
        columns=tuple(show_range(across, value) for value, _ in columns),
        values=tuple(values),
        texts=tuple(tuple("" if v is None else f"{v:.{digits}f}" for v in line) for line in values),
        x_label=name_of(across),
        y_label=name_of(down),
        scale=scale if len(rows) * len(columns) >= len(trials) else f"{scale}, means over several trials",
    )


def _axes(results: Results, options: Options, num_trials: int) -> tuple[str, str]:
    """The parameters down and across; where they are not given the two that explain most, in the order of the space."""
    given = (options.rows, options.columns)
    names = [name for name in results.varying() if name not in ("epochs", *given)]
    if len(names) > 2 and num_trials >= 4:
        names = [name for name in attribution(results).shares.of_parameter if name in names]
    free = sorted(names[: given.count(None)], key=results.varying().index)
    if len(free) < given.count(None) or options.rows == options.columns is not None:
        raise ConfigError("The picture heatmap needs two parameters with several values.")
    down, across = (name or free.pop(0) for name in given)
    return down, across


def caption(results: Results, options: Options) -> str:
    """What stands under the picture."""
    return "Mean scores by two parameters"
