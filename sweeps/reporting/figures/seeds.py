"""`seeds`: every seed run."""

from sweeps.definition.outputs.figures.seeds import Options
from sweeps.reporting.chart import Plot, Series, require, scale_of, title_of
from sweeps.reporting.results import Results, Trial, ranking
from sweeps.reporting.samples import summary

MOST_TRIALS = 16


def draw(results: Results, options: Options) -> Plot:
    """Trials by rank, each with its seed runs and its mean."""
    metric = results.headline
    factor, x_label = scale_of(metric)
    trials = _shown(results)
    require(trials, "seeds")
    points: list[tuple[float, float, int, int]] = []
    means: list[tuple[float, float, float, float]] = []
    for row, trial in enumerate(trials):
        scores = trial.scores(metric)
        points += [
            (factor * value, float(row), trial.number, seed) for seed, value in zip(trial.seeds, scores, strict=True)
        ]
        told = summary(results, trial, metric)
        low, high = (told.mean if bound is None else bound for bound in (told.low, told.high))
        means.append((factor * told.mean, float(row), factor * low, factor * high))
    return Plot(
        x_label=x_label,
        y_label="",
        series=(
            Series(
                name="seed runs",
                x=tuple(x for x, *_ in points),
                y=tuple(y for _, y, *_ in points),
                hover=tuple(f"seed {seed}" for *_, seed in points),
                runs=tuple(f"{trial}/{seed}" for *_, trial, seed in points),
            ),
            Series(
                name="mean, 95% interval",
                x=tuple(x for x, *_ in means),
                y=tuple(y for _, y, _, _ in means),
                edges=(tuple(low for _, _, low, _ in means), tuple(high for *_, high in means)),
            ),
        ),
        categories=tuple(title_of(results, trial) for trial in trials),
    )


def caption(results: Results, options: Options) -> str:
    """What stands under the picture."""
    shown, total = len(_shown(results)), len(results.trials)
    return "Every seed run, trials by rank" if shown == total else f"Seed runs of {shown} of {total} trials, by rank"


def _shown(results: Results) -> list[Trial]:
    return [trial for trial in ranking(results) if trial.mean(results.headline) is not None][:MOST_TRIALS]
