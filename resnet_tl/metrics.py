"""What a network's outputs are worth: `METRICS` lists the scores of a split, each with how it is computed and read.

Averages over classes are macro: every class that occurs in the split counts the same. Of a class that does not occur
there is no recall and no AUROC, nor is there an AUROC where one class alone occurs; such a value is NaN here, and is
written down nowhere.

All in float64 and over the last axis of each array, or in whole numbers, so that a network's figures are the same
bits whether it is scored alone or beside others.

Axes: K classes, M networks, N images.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


AT_ONCE = 1 << 22
"""Scores that are ranked together: of 1,000 classes and 50,000 images all at once would take 3 GB."""


def auroc_MK(scores_MKN: Floats, labels_N: Ints) -> Floats:
    """Area under the ROC curve of each class against the rest, [M, K]; NaN where a class or the rest does not occur.

    Source: the Mann-Whitney statistic with average ranks for ties (Hanley and McNeil 1982, section II).
    """
    M, K, N = scores_MKN.shape
    num_positive_K = np.bincount(labels_N, minlength=K)
    pairs_K = num_positive_K * (N - num_positive_K)
    total_MK = np.empty((M, K))
    step = max(AT_ONCE // max(M * N, 1), 1)
    for first in range(0, K, step):
        classes = np.arange(first, min(first + step, K))
        total_MK[:, classes] = _rank_sums_MK(scores_MKN[:, classes], labels_N, classes)
    area_MK: Floats = np.where(
        pairs_K > 0, (total_MK - num_positive_K * (num_positive_K + 1) / 2) / np.maximum(pairs_K, 1), np.nan
    )
    return area_MK


def _rank_sums_MK(scores_MKN: Floats, labels_N: Ints, classes_K: Ints) -> Floats:
    """Sums of the ranks that the images of each class have among all."""
    N = len(labels_N)
    scores_MKN = np.ascontiguousarray(scores_MKN)
    order_MKN = np.argsort(scores_MKN, axis=-1)  # not stable, so quick: equal scores share one rank in any order
    sorted_MKN = np.take_along_axis(scores_MKN, order_MKN, -1)
    # twice the average rank of each place: the sum of the first and the last place of its run of equal scores
    new_MKN = np.ones(sorted_MKN.shape, dtype=bool)
    new_MKN[..., 1:] = sorted_MKN[..., 1:] != sorted_MKN[..., :-1]
    places_N = np.arange(N)
    first_MKN = np.maximum.accumulate(np.where(new_MKN, places_N, 0), axis=-1)
    last_MKN = np.ones(sorted_MKN.shape, dtype=bool)
    last_MKN[..., :-1] = new_MKN[..., 1:]
    end_MKN = np.minimum.accumulate(np.where(last_MKN, places_N, N)[..., ::-1], axis=-1)[..., ::-1]
    twice_rank_MKN = first_MKN + end_MKN + 2
    positive_MKN = labels_N[order_MKN] == classes_K[:, None]
    # ranks are halves, so these sums are exact
    total_MK: Floats = np.where(positive_MKN, twice_rank_MKN, 0).sum(-1) / 2
    return total_MK


def log_softmax(logits_NK: Floats) -> Floats:
    """Log probabilities over the last axis, with any axes in front."""
    shifted_NK = logits_NK - logits_NK.max(-1, keepdims=True)
    log_p_NK: Floats = shifted_NK - np.log(np.exp(shifted_NK).sum(-1, keepdims=True))
    return log_p_NK


NUM_BINS = 10
"""Of predicted probability, equally wide."""


def reliability_R3(sure_N: Floats, right_N: NDArray[np.bool_]) -> Floats:
    """How sure a network is, and how often right: for each bin of the largest probability the number of images, the
    sum of those probabilities, and the number of images whose class is right.

    Args:
        sure_N: the largest probability of each image.
        right_N: whether its class is the true one.

    Source: the bins of Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """
    bin_N = np.minimum((sure_N * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    sums = [
        np.bincount(bin_N, weights=weight_N.astype(np.float64), minlength=NUM_BINS)
        for weight_N in (np.ones(len(sure_N)), sure_N, right_N)
    ]
    bins_R3: Floats = np.stack(sums, axis=-1)
    return bins_R3


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """One split as several networks see it; what every metric is computed from."""

    labels_N: Ints
    """True classes."""
    log_p_MNK: Floats
    """Log probability of each class."""
    hits_MK: Ints
    """Images of each class that are predicted as such."""
    predicted_MK: Ints
    """Images predicted as each class."""
    true_K: Ints
    """Images of each class."""


def scored(log_p_MNK: Floats, predicted_MN: Ints, labels_N: Ints) -> Scored:
    """Counts what metrics need of predictions.

    Args:
        predicted_MN: the class with the largest logit.
    """
    M, _, K = log_p_MNK.shape
    cell_MN = np.arange(M)[:, None] * K + predicted_MN

    def counts_MK(cells: Ints) -> Ints:
        return np.bincount(cells, minlength=M * K).reshape(M, K)

    return Scored(
        labels_N=labels_N,
        log_p_MNK=log_p_MNK,
        hits_MK=counts_MK(cell_MN[predicted_MN == labels_N]),
        predicted_MK=counts_MK(cell_MN.ravel()),
        true_K=np.bincount(labels_N, minlength=K),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One score of a split."""

    name: str
    """Behind the split in `val/accuracy`."""
    short: str
    """In the headers of tables."""
    better: Literal["min", "max"]
    """Whether a lower or a higher value is better."""
    unit: Literal["fraction", "nats"]
    """Tables show a fraction in percent."""
    bounds: tuple[float, float]
    """The least and the greatest value that there can be."""
    of: Callable[[Scored], Floats]
    """Its value for each network, [M]."""
    of_class: Callable[[Scored], Floats] | None = None
    """What it averages over classes, [M, K]; None for the scores of all images together."""


def _loss(scored: Scored) -> Floats:
    labels_N = scored.labels_N
    log_p_true_MN = np.ascontiguousarray(scored.log_p_MNK[:, np.arange(len(labels_N)), labels_N])
    loss_M: Floats = -log_p_true_MN.mean(-1)
    return loss_M


def _accuracy(scored: Scored) -> Floats:
    accuracy_M: Floats = scored.hits_MK.sum(-1) / len(scored.labels_N)
    return accuracy_M


def _precision_MK(scored: Scored) -> Floats:
    precision_MK: Floats = scored.hits_MK / np.maximum(scored.predicted_MK, 1)
    return precision_MK


def _recall_MK(scored: Scored) -> Floats:
    recall_MK: Floats = scored.hits_MK / np.maximum(scored.true_K, 1)
    return recall_MK


def _f1_MK(scored: Scored) -> Floats:
    f1_MK: Floats = 2 * scored.hits_MK / np.maximum(scored.predicted_MK + scored.true_K, 1)
    return f1_MK


def _auroc_MK(scored: Scored) -> Floats:
    return auroc_MK(scored.log_p_MNK.swapaxes(1, 2), scored.labels_N)


def _fraction(name: str, short: str, of: Callable[[Scored], Floats]) -> Metric:
    return Metric(name=name, short=short, better="max", unit="fraction", bounds=(0.0, 1.0), of=of)


def _macro(name: str, short: str, of_class: Callable[[Scored], Floats]) -> Metric:
    def mean(scored: Scored) -> Floats:
        mean_M: Floats = np.ascontiguousarray(of_class(scored)[:, scored.true_K > 0]).mean(-1)
        return mean_M

    return replace(_fraction(name, short, mean), of_class=of_class)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        # mean negative log-likelihood, unweighted
        Metric(name="loss", short="loss", better="min", unit="nats", bounds=(0.0, math.inf), of=_loss),
        _fraction("accuracy", "acc", _accuracy),
        # a class that is never predicted has precision 0
        _macro("precision", "precision", _precision_MK),
        _macro("recall", "recall", _recall_MK),
        _macro("f1", "F1", _f1_MK),
        _macro("auroc", "AUROC", _auroc_MK),
    )
}
"""Every score that is computed, shown and selected by, in the order of columns; to add one is to add an entry."""


def metric_of(score: str) -> Metric:
    """The metric behind `split/name`."""
    return METRICS[score.rpartition("/")[2]]


def evaluate_many(logits_MNK: Floats, labels_N: Ints) -> dict[str, Floats]:
    """All metrics of one split, for each of several networks.

    Args:
        logits_MNK: one logit per class; a binary network's single logit z as [0, z].
        labels_N: true classes.

    Returns:
        every one of `METRICS`, each [M]; NaN where there is none.
    """
    found = scored(log_softmax(logits_MNK), logits_MNK.argmax(-1), labels_N)
    return {name: metric.of(found) for name, metric in METRICS.items()}


def by_class(log_p_NK: Floats, predicted_N: Ints, labels_N: Ints) -> dict[str, Floats]:
    """The metrics that average over classes, for each class, [K]; NaN for classes that do not occur."""
    found = scored(log_p_NK[None], predicted_N[None], labels_N)
    return {
        name: np.where(found.true_K > 0, metric.of_class(found)[0], np.nan)
        for name, metric in METRICS.items()
        if metric.of_class is not None
    }
