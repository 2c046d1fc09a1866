"""`reliability`: how often the best trial is right, against how sure it is.

Axes: R bins of probability, S seeds.
"""

import numpy as np

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.figures.reliability import Options
from sweeps.reporting.chart import Plot, Series, best_trial, floats, require_details, title_of
from sweeps.reporting.results import Results


def draw(results: Results, options: Options) -> Plot:
    """By bins of the predicted probability; seeds stay apart, since they are scored on the same images."""
    best = best_trial(results, "reliability")
    bins_SR3 = require_details(results, "The picture reliability").reliability_SR3(best)
    if bins_SR3 is None:
        raise ConfigError("The picture reliability needs seed runs that noted how sure the network was.")
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
                name=f"{title_of(results, best)}; mean gap {100 * gap_S.mean():.1f} points",
                x=floats(100 * sure_SR.sum(0) / count_SR.sum(0)),
                y=floats(100 * right_SR.sum(0) / count_SR.sum(0)),
                edges=(floats(100 * np.nanmin(accuracy_SR, 0)), floats(100 * np.nanmax(accuracy_SR, 0))),
                hover=tuple(f"{n:.0f} predictions" for n in count_SR.sum(0)),
                line=True,
            ),
        ),
        square=True,
    )


def caption(results: Results, options: Options) -> str:
    """What stands under the picture."""
    return "How often the best trial is right, against how sure it is; the range is that of the seeds"
