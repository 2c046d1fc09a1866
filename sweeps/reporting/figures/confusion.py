"""`confusion`: what the best trial takes for what.

Axes: K classes.
"""

import numpy as np

from resnet_tl.errors import ConfigError
from resnet_tl.metrics import Ints
from sweeps.definition.outputs.figures.confusion import Options
from sweeps.reporting.chart import Bars, Grid, Stack, best_trial, floats, require_details
from sweeps.reporting.results import Results

MOST_WITH_TEXT, MOST_IN_GRID = 20, 30
"""The most classes whose matrix has numbers in it, and whose matrix can be read at all."""
MOST_PAIRS, MOST_WORST = 20, 15
LONG_NAME = 18
"""Of a class in a pair, so that both can be read."""


def draw(results: Results, options: Options) -> Grid | Stack:
    """Shares of each true class, over all seeds; of many classes the pairs most confused and the worst."""
    best = best_trial(results, "confusion")
    counts_KK = require_details(results, "The picture confusion").confusion_KK(best)
    if counts_KK is None or results.about is None:
        raise ConfigError("The picture confusion needs predictions, but none of the best trial are kept.")
    classes = tuple(str(name) for name in results.about.data.classes)
    return _matrix(counts_KK, classes) if len(classes) <= MOST_IN_GRID else _lists(counts_KK, classes)


def _matrix(counts_KK: Ints, classes: tuple[str, ...]) -> Grid:
    share_KK = 100 * counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    absent_K = counts_KK.sum(1) == 0
    text = len(classes) <= MOST_WITH_TEXT
    return Grid(
        rows=classes,
        columns=classes,
        values=tuple(
            (None,) * len(classes) if absent else floats(line) for line, absent in zip(share_KK, absent_K, strict=True)
        ),
        texts=tuple(
            tuple("/" if absent else f"{value:.0f}" if text else "" for value in line)
            for line, absent in zip(share_KK, absent_K, strict=True)
        ),
        x_label="Predicted class",
        y_label="True class",
        scale="Share of the true class (%)",
    )


def _lists(counts_KK: Ints, classes: tuple[str, ...]) -> Stack:
    wrong_KK = counts_KK.copy()
    np.fill_diagonal(wrong_KK, 0)
    true, predicted = np.nonzero(wrong_KK)
    order = np.lexsort((predicted, true, -wrong_KK[true, predicted]))[:MOST_PAIRS]
    pairs = [(classes[true[place]], classes[predicted[place]]) for place in order]
    num_K = counts_KK.sum(1)
    right_K = 100 * np.diagonal(counts_KK) / np.maximum(num_K, 1)
    worst = [k for k in np.argsort(right_K, kind="stable") if num_K[k]][:MOST_WORST]
    return Stack(
        parts=(
            Bars(
                names=tuple(f"{_short(one)} taken for {_short(other)}" for one, other in pairs),
                values=floats(wrong_KK[true[order], predicted[order]].astype(np.float64)),
                x_label="Test images over all seeds, of the pairs most confused",
                reach=1.0,
            ),
            Bars(
                names=tuple(classes[k] for k in worst),
                values=floats(right_K[worst]),
                x_label="Test images that are right (%), of the worst classes",
            ),
        )
    )


def _short(name: str) -> str:
    return name if len(name) <= LONG_NAME else name[: LONG_NAME - 1] + "…"


def caption(results: Results, options: Options) -> str:
    """What stands under the picture."""
    num_classes = len(results.about.data.classes) if results.about else 0
    if num_classes > MOST_IN_GRID:
        return f"What the best trial confuses most, and the worst of {num_classes:,} classes, over all seeds"
    return "What the best trial takes for what, over all seeds"
