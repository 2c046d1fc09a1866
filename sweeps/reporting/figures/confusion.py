"""`confusion`: what the best trial takes for what.

Axes: K classes.
"""

import numpy as np

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.figures.confusion import Options
from sweeps.reporting.chart import Details, Grid, best_runs, floats
from sweeps.reporting.results import Results

MOST_CLASSES_WITH_TEXT = 20


def draw(results: Results, options: Options, details: Details) -> Grid:
    """Shares of each true class, over all seeds."""
    runs = [run for run in best_runs(results, details, "confusion") if run.confusion]
    if not runs or results.about is None:
        raise ConfigError("The picture confusion needs a study of the ledger.")
    counts_KK = np.sum([run.confusion["test"] for run in runs if run.confusion], axis=0)
    share_KK = 100 * counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    classes = tuple(str(name) for name in results.about.data.classes)
    text = len(classes) <= MOST_CLASSES_WITH_TEXT
    return Grid(
        rows=classes,
        columns=classes,
        values=tuple(floats(line) for line in share_KK),
        texts=tuple(tuple(f"{value:.0f}" if text else "" for value in line) for line in share_KK),
        x_label="Predicted class",
        y_label="True class",
        scale="Share of the true class (%)",
    )


def caption(results: Results, options: Options) -> str:
    """What stands under the picture."""
    return "What the best trial takes for what, over all seeds"
