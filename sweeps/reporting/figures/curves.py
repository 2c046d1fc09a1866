"""`curves`: learning curves.

Axes: E epochs, S seeds.
"""

import numpy as np

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.figures.curves import Options
from sweeps.reporting.chart import Plot, Series, floats, require, require_details, scale_of, title_of
from sweeps.reporting.results import Results, ranking

MOST_CURVES = 3


def draw(results: Results, options: Options) -> Plot:
    """Mean over seeds and the range of all seeds, by epoch."""
    factor, y_label = scale_of(results.metric)
    series = []
    trials = ranking(results)[:MOST_CURVES]
    require(trials, "curves")
    details = require_details(results, "The picture curves")
    for trial in trials:
        histories = [run.history for run in details.runs(trial) if run.history]
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
                y=floats(scores_SE.mean(0)),
                edges=(floats(scores_SE.min(0)), floats(scores_SE.max(0))),
                line=True,
            )
        )
    if not series:
        raise ConfigError("The picture curves needs learning curves, but the ledger has none of these trials.")
    return Plot(x_label="Epoch", y_label=y_label, whole_x=True, series=tuple(series))


def caption(results: Results, options: Options) -> str:
    """What stands under the picture."""
    return "Learning curves of the best trials: mean over seeds, and the range of all seeds"
