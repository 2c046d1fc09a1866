"""`classes`: each class as the best trial sees it.

Axes: K classes, S seeds.
"""

from collections.abc import Sequence

import numpy as np

from resnet_tl.errors import ConfigError
from resnet_tl.metrics import METRICS
from sweeps.definition.outputs.tables.classes import Options
from sweeps.records import count
from sweeps.reporting.cells import MISSING, score, title
from sweeps.reporting.chart import best_trial, require_details, title_of
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.table import Table


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """One row for each class, the least recall first; those without a test image last."""
    best = best_trial(results, "The table classes")
    details = require_details(results, "The table classes")
    counts_KK, by_class = details.confusion_KK(best), details.by_class(best)
    if counts_KK is None or not by_class or results.about is None:
        raise ConfigError("The table classes needs predictions, but none of the best trial are kept.")
    num_seeds = len(by_class["recall"])
    means = {name: values_SK.mean(0) for name, values_SK in by_class.items()}
    names = results.about.data.classes
    wrong_KK = counts_KK.copy()
    np.fill_diagonal(wrong_KK, 0)
    order = np.lexsort((means["auroc"], means["recall"]))[: options.most]  # NaN comes last
    rows = []
    for k in order:
        images = int(counts_KK[k].sum())
        other = int(wrong_KK[k].argmax())
        mistaken = f"{names[other]} ({100 * wrong_KK[k, other] / images:.0f}%)" if wrong_KK[k, other] else MISSING
        scores = [_cell(name, float(values_K[k])) for name, values_K in means.items()]
        rows.append((names[k], f"{images // num_seeds:,}", *scores, mistaken))
    told_of = [
        f"The best trial ({title_of(results, best)}) on test: means over {count(num_seeds, 'seed')}, the least recall "
        "first."
    ]
    if len(order) < len(names):
        told_of.append(f"These are the worst {len(order):,} of {len(names):,} classes.")
    absent = int((counts_KK.sum(1) == 0).sum())
    if absent:
        told_of.append(f"{absent} of {len(names):,} classes have no image in test ({MISSING}), and are in no average.")
    header = ("Class", "Test images", *(title(f"test/{name}").removeprefix("Test ") for name in means))
    return [Table(title=None, header=(*header, "Most often taken for"), rows=tuple(rows), notes=tuple(told_of))]


def _cell(name: str, value: float) -> str:
    assert METRICS[name].of_class is not None
    return MISSING if np.isnan(value) else score(name, value, sign=False)
