"""What a network's outputs are worth: `METRICS` lists the scores of a split, each with how it is computed and read.

Averages over classes are macro: every class counts the same.

All in float64 and over the last axis of each array, or in whole numbers, so that a network's figures are the same
bits whether it is scored alone or beside others.

Axes: K classes, M networks, N images.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def confusion_MKK(predicted_MN: Ints, labels_N: Ints, num_classes: int) -> Ints:
    """Counts [M, K, K]: row = true class, column = predicted class."""
    M = len(predicted_MN)
    cell_MN = (np.arange(M)[:, None] * num_classes + labels_N) * num_classes + predicted_MN
    return np.bincount(cell_MN.ravel(), minlength=M * num_classes**2).reshape(M, num_classes, num_classes)


def auroc_MK(scores_MKN: Floats, labels_N: Ints) -> Floats:
    """Area under the ROC curve of each class against the rest, [M, K].

    Source: the Mann-Whitney statistic with average ranks for ties (Hanley and McNeil 1982, section II).
    """
    N = len(labels_N)
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
    positive_MKN = labels_N[order_MKN] == np.arange(scores_MKN.shape[1])[:, None]
    num_positive_K = np.bincount(labels_N, minlength=scores_MKN.shape[1])
    # ranks are halves, so these sums are exact
    total_MK = np.where(positive_MKN, twice_rank_MKN, 0).sum(-1) / 2
    area_MK: Floats = (total_MK - num_positive_K * (num_positive_K + 1) / 2) / (num_positive_K * (N - num_positive_K))
    return area_MK


def log_softmax(logits_NK: Floats) -> Floats:
    """Log probabilities over the last axis, with any axes in front."""
    shifted_NK = logits_NK - logits_NK.max(-1, keepdims=True)
    log_p_NK: Floats = shifted_NK - np.log(np.exp(shifted_NK).sum(-1, keepdims=True))
    return log_p_NK


NUM_BINS = 10
"""Of predicted probability, equally wide."""


def reliability_MR3(log_p_MNK: Floats, labels_N: Ints) -> Floats:
    """How sure each network is, and how often right: for each bin of the largest probability the number of images,
    the sum of those probabilities, and the number of images whose class is right.

    Source: the bins of Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """
    M, N, _ = log_p_MNK.shape
    sure_MN = np.exp(log_p_MNK.max(-1))
    right_MN = log_p_MNK.argmax(-1) == labels_N
    bin_MN = np.minimum((sure_MN * NUM_BINS).astype(np.int64), NUM_BINS - 1) + NUM_BINS * np.arange(M)[:, None]
    sums = [
        np.bincount(bin_MN.ravel(), weights=weight_MN.ravel().astype(np.float64), minlength=M * NUM_BINS)
        for weight_MN in (np.ones((M, N)), sure_MN, right_MN)
    ]
    bins_MR3: Floats = np.stack(sums, axis=-1).reshape(M, NUM_BINS, 3).astype(np.float64)
    return bins_MR3


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """One split as several networks see it; what every metric is computed from."""

    labels_N: Ints
    """True classes; each class occurs."""
    log_p_MNK: Floats
    """Log probability of each class."""
    counts_MKK: Ints
    """Confusion matrices: row = true class, column = predicted class."""

    @property
    def hits_MK(self) -> Ints:
        """Images of each class that are predicted as such."""
        return np.diagonal(self.counts_MKK, axis1=1, axis2=2)

    @property
    def predicted_MK(self) -> Ints:
        """Images predicted as each class."""
        predicted_MK: Ints = self.counts_MKK.sum(1)
        return predicted_MK

    @property
    def true_MK(self) -> Ints:
        """Images of each class."""
        true_MK: Ints = self.counts_MKK.sum(2)
        return true_MK


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


def _loss(scored: Scored) -> Floats:
    labels_N = scored.labels_N
    log_p_true_MN = np.ascontiguousarray(scored.log_p_MNK[:, np.arange(len(labels_N)), labels_N])
    loss_M: Floats = -log_p_true_MN.mean(-1)
    return loss_M


def _accuracy(scored: Scored) -> Floats:
    accuracy_M: Floats = scored.hits_MK.sum(-1) / len(scored.labels_N)
    return accuracy_M


def _precision(scored: Scored) -> Floats:
    return _mean(scored.hits_MK / np.maximum(scored.predicted_MK, 1))


def _recall(scored: Scored) -> Floats:
    return _mean(scored.hits_MK / scored.true_MK)


def _f1(scored: Scored) -> Floats:
    return _mean(2 * scored.hits_MK / np.maximum(scored.predicted_MK + scored.true_MK, 1))


def _auroc(scored: Scored) -> Floats:
    return _mean(auroc_MK(np.ascontiguousarray(scored.log_p_MNK.swapaxes(1, 2)), scored.labels_N))


def _mean(values_MK: Floats) -> Floats:
    mean_M: Floats = np.ascontiguousarray(values_MK).mean(-1)
    return mean_M


def _fraction(name: str, short: str, of: Callable[[Scored], Floats]) -> Metric:
    return Metric(name=name, short=short, better="max", unit="fraction", bounds=(0.0, 1.0), of=of)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        # mean negative log-likelihood, unweighted
        Metric(name="loss", short="loss", better="min", unit="nats", bounds=(0.0, math.inf), of=_loss),
        _fraction("accuracy", "acc", _accuracy),
        # a class that is never predicted has precision 0
        _fraction("precision", "precision", _precision),
        _fraction("recall", "recall", _recall),
        _fraction("f1", "F1", _f1),
        _fraction("auroc", "AUROC", _auroc),
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
        labels_N: true classes; each class occurs.

    Returns:
        every one of `METRICS`, each [M].
    """
    counts_MKK = confusion_MKK(logits_MNK.argmax(-1), labels_N, logits_MNK.shape[-1])
    scored = Scored(labels_N=labels_N, log_p_MNK=log_softmax(logits_MNK), counts_MKK=counts_MKK)
    return {name: metric.of(scored) for name, metric in METRICS.items()}
