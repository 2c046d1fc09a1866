"""`cost`: score against seconds."""

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.figures.cost import Options
from sweeps.reporting.chart import Plot, Series, require, scale_of, title_of
from sweeps.reporting.results import Results, ranking, sign
from sweeps.reporting.samples import summary


def draw(results: Results, options: Options) -> Plot:
    """All trials, and those that none beats in both."""
    metric = results.headline
    factor, y_label = scale_of(metric)
    ranked = [trial for trial in ranking(results) if trial.mean(metric) is not None]
    require(ranked, "cost")
    trials = [trial for trial in ranked if trial.mean("wall_s") is not None]
    if not trials:
        raise ConfigError("The picture cost needs `wall_s`, the seconds of each seed run, but no trial has them.")
    better = sign(metric)
    points = []
    for trial in trials:
        told = summary(results, trial, metric)
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


def caption(results: Results, options: Options) -> str:
    """What stands under the picture."""
    return "Score against seconds of training"
