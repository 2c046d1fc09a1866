"""`forest`: differences with their intervals."""

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.figures.forest import Options
from sweeps.reporting.cells import label, unit_of
from sweeps.reporting.chart import Plot, Series, require, title_of
from sweeps.reporting.results import Results, Trial, comparable, ranking
from sweeps.reporting.samples import sample
from sweeps.statistics.planned import paired

MOST_TRIALS = 24


def draw(results: Results, options: Options) -> Plot:
    """One line for each trial: how far it lies from the one that all are compared with."""
    metric, unit = results.headline, unit_of(results.headline)
    base, trials = _compared(results)
    if not trials:
        raise ConfigError("The picture forest needs two complete trials with the same seeds.")
    own = sample(results, base, metric)
    found = [paired(sample(results, trial, metric), own) for trial in trials]
    ends = [
        (told.mean if told.low is None else told.low, told.mean if told.high is None else told.high) for told in found
    ]
    return Plot(
        x_label=f"{label(metric)} against {_which(results)}" + (" (points)" if unit.sign else ""),
        y_label="",
        series=(
            Series(
                name="difference, 95% interval",
                x=tuple(unit.factor * told.mean for told in found),
                y=tuple(float(row) for row in range(len(found))),
                edges=(tuple(unit.factor * low for low, _ in ends), tuple(unit.factor * high for _, high in ends)),
            ),
            Series(name="no difference", x=(0.0, 0.0), y=(-0.5, len(found) - 0.5), line=True, dashed=True),
        ),
        categories=tuple(title_of(results, trial) for trial in trials),
    )


def caption(results: Results, options: Options) -> str:
    """What stands under the picture."""
    base, trials = _compared(results)
    return f"{len(trials)} trials against {_which(results)}, {title_of(results, base)}, paired by seed" + (
        " and image" if sample(results, base, results.headline).on_images else ""
    )


def _which(results: Results) -> str:
    return "the base" if _is_ablation(results) else "the best"


def _compared(results: Results) -> tuple[Trial, list[Trial]]:
    ranked = [trial for trial in ranking(results) if trial.mean(results.headline) is not None]
    require(ranked, "forest")
    if _is_ablation(results):
        base = results.trials[0]
        return base, [t for t in comparable(results.trials, results.headline) if t is not base][:MOST_TRIALS]
    return ranked[0], ranked[1 : MOST_TRIALS + 1]


def _is_ablation(results: Results) -> bool:
    ablates = results.about is not None and results.about.method == "ablation"
    return ablates and results.trials[0] in comparable(results.trials, results.headline)
