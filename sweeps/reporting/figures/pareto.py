"""`pareto`: trials over two aims, with the front as steps."""

from sweeps.definition.aims import OTHERS, SECONDS, SIZES, better_of
from sweeps.definition.outputs.figures.pareto import Options
from sweeps.reporting.chart import Plot, Series, scale_of, title_of
from sweeps.reporting.fronts import aims_of, front_of, mean_of, name_of_aim, values
from sweeps.reporting.results import Results, Trial
from sweeps.statistics.stats import summarise

WIDE = 10
"""From such a ratio of the largest value to the least on, an axis of seconds or sizes is logarithmic."""

Interval = tuple[float, float, float]
"""Mean, and mean less and more the standard deviation."""


def draw(results: Results, options: Options) -> Plot:
    """The first aim up, the second along; with error bars of one standard deviation over seeds."""
    up, along = _two(results, options)
    found = front_of(results, results.trials, (up, along), "picture pareto")
    (y_factor, y_label), (x_factor, x_label) = (_scale(aim, found.trials) for aim in (up, along))
    front = sorted(found.on_front, key=lambda trial: (mean_of(trial, along), mean_of(trial, up)))

    def points(name: str, trials: tuple[Trial, ...] | list[Trial], *, is_front: bool) -> Series:
        xs = [_spread(trial, along, x_factor) for trial in trials]
        ys = [_spread(trial, up, y_factor) for trial in trials]
        return Series(
            name=name,
            x=tuple(mean for mean, _, _ in xs),
            y=tuple(mean for mean, _, _ in ys),
            edges=None if is_front else (tuple(low for _, low, _ in ys), tuple(high for _, _, high in ys)),
            edges_x=None if is_front else (tuple(low for _, low, _ in xs), tuple(high for _, _, high in xs)),
            hover=tuple(f"trial {trial.number}: {title_of(results, trial)}" for trial in trials),
            labels=tuple(str(trial.number) for trial in trials) if is_front else None,
            line=is_front,
            # between two trials of the front the better value of the first aim needs the worse one of the second
            step=("after" if better_of(along) == "min" else "before") if is_front else None,
        )

    means = [mean_of(trial, along) for trial in found.trials]
    return Plot(
        x_label=x_label,
        y_label=y_label,
        log_x=along in OTHERS and min(means) > 0 and max(means) > WIDE * min(means),
        series=(
            points("all trials, ± standard deviation", found.trials, is_front=False),
            points("Pareto front", front, is_front=True),
        ),
    )


def caption(results: Results, options: Options) -> str:
    """What stands under the picture."""
    up, along = _two(results, options)
    num_aims = len(options.aims or (results.metric, *results.aims))
    several = f", the first two of {num_aims} aims" if num_aims > 2 else ""
    names = f"{name_of_aim(up).lower()} and {name_of_aim(along).lower()}"
    return f"Pareto front of {names}{several}: trials that no other dominates, by their numbers"


def _two(results: Results, options: Options) -> tuple[str, str]:
    up, along, *_ = aims_of(results, options.aims, "picture pareto")
    return up, along


def _scale(aim: str, trials: tuple[Trial, ...]) -> tuple[float, str]:
    """Factor and axis label."""
    if aim == SECONDS:
        return 1.0, "Seconds for one seed run"
    if aim not in SIZES:
        return scale_of(aim)
    most = max(mean_of(trial, aim) for trial in trials)
    factor, unit = (1e-6, "millions") if most >= 1e6 else (1e-3, "thousands")
    return factor, f"{name_of_aim(aim)} ({unit})"


def _spread(trial: Trial, aim: str, factor: float) -> Interval:
    told = summarise(values(trial, aim))
    mean, sd = factor * told.mean, factor * (told.sd or 0.0)
    return mean, mean - sd, mean + sd
