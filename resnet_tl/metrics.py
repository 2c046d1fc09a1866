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

from resnet_tl.errors import ConfigError
from resnet_tl.parts import load

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
    order_MKN, twice_rank_MKN = _twice_ranks(scores_MKN)
    positive_MKN = labels_N[order_MKN] == classes_K[:, None]
    # ranks are halves, so these sums are exact
    total_MK: Floats = np.where(positive_MKN, twice_rank_MKN, 0).sum(-1) / 2
    return total_MK


def _twice_ranks(scores: Floats) -> tuple[Ints, Ints]:
    """The order of scores along the last axis, and twice the rank of each in that order; equal ones share the mean."""
    scores = np.ascontiguousarray(scores)
    order = np.argsort(scores, axis=-1)  # not stable, so quick: equal scores share one rank in any order
    ordered = np.take_along_axis(scores, order, -1)
    # the sum of the first and the last place of a run of equal scores
    is_new = np.ones(ordered.shape, dtype=bool)
    is_new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    N = scores.shape[-1]
    places_N = np.arange(N)
    first = np.maximum.accumulate(np.where(is_new, places_N, 0), axis=-1)
    is_last = np.ones(ordered.shape, dtype=bool)
    is_last[..., :-1] = is_new[..., 1:]
    end = np.minimum.accumulate(np.where(is_last, places_N, N)[..., ::-1], axis=-1)[..., ::-1]
    return order, first + end + 2


def log_softmax(logits_NK: Floats) -> Floats:
    """Log probabilities over the last axis, with any axes in front."""
    shifted_NK = logits_NK - logits_NK.max(-1, keepdims=True)
    log_p_NK: Floats = shifted_NK - np.log(np.exp(shifted_NK).sum(-1, keepdims=True))
    return log_p_NK


NUM_BINS = 10
"""Of predicted probability, equally wide."""


def _bins(sure: Floats) -> Ints:
    """The bin of each largest probability."""
    return np.minimum((sure * NUM_BINS).astype(np.int64), NUM_BINS - 1)


def reliability_R3(sure_N: Floats, right_N: NDArray[np.bool_]) -> Floats:
    """How sure a network is, and how often right: for each bin of the largest probability the number of images, the
    sum of those probabilities, and the number of images whose class is right.

    Args:
        sure_N: the largest probability of each image.
        right_N: whether its class is the true one.

    Source: the bins of Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """
    bin_N = _bins(sure_N)
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
    predicted_MN: Ints
    """The class with the largest logit."""
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
        predicted_MN=predicted_MN,
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
    means: str
    """What it is, in words that a user reads; behind `name: `."""
    better: Literal["min", "max"]
    """Whether a lower or a higher value is better."""
    unit: Literal["fraction", "nats", "squares"]
    """Tables show a fraction in percent."""
    bounds: tuple[float, float]
    """The least and the greatest value that there can be."""
    of: Callable[[Scored], Floats]
    """Its value for each network, [M]."""
    of_images: Callable[[Scored], Floats] | None
    """What each image brings to it, [M, N]: the mean over images is the metric, and its scatter between images that of
    the metric's linear part. So an interval for fresh images can be made of it as of a mean. None where that does not
    hold: few images make a calibration error look larger than it is."""
    of_class: Callable[[Scored], Floats] | None = None
    """What it averages over classes, [M, K]; None for the scores of all images together."""


def _loss(scored: Scored) -> Floats:
    labels_N = scored.labels_N
    log_p_true_MN = np.ascontiguousarray(scored.log_p_MNK[:, np.arange(len(labels_N)), labels_N])
    loss_M: Floats = -log_p_true_MN.mean(-1)
    return loss_M


def _loss_of_images(scored: Scored) -> Floats:
    labels_N = scored.labels_N
    loss_MN: Floats = -scored.log_p_MNK[:, np.arange(len(labels_N)), labels_N]
    return loss_MN


def _confidence(scored: Scored) -> Floats:
    confidence_M: Floats = _confidence_of_images(scored).mean(-1)
    return confidence_M


def _confidence_of_images(scored: Scored) -> Floats:
    labels_N = scored.labels_N
    log_p_true_MN = np.ascontiguousarray(scored.log_p_MNK[:, np.arange(len(labels_N)), labels_N])
    confidence_MN: Floats = np.exp(log_p_true_MN)
    return confidence_MN


def _brier(scored: Scored) -> Floats:
    brier_M: Floats = _brier_of_images(scored).mean(-1)
    return brier_M


def _brier_of_images(scored: Scored) -> Floats:
    """Source: the score of Brier 1950, over all classes."""
    # Σ (p_k − y_k)² = Σ p_k² − 2 p_true + 1
    p_MNK = np.exp(scored.log_p_MNK)
    brier_MN: Floats = (p_MNK * p_MNK).sum(-1) - 2 * _confidence_of_images(scored) + 1
    return np.maximum(brier_MN, 0.0)


def _ece(scored: Scored) -> Floats:
    M, N = scored.predicted_MN.shape
    # of the predicted class: with equal logits the same number as the largest probability
    rows_M, places_N = np.arange(M)[:, None], np.arange(N)
    sure_MN = np.exp(scored.log_p_MNK[rows_M, places_N, scored.predicted_MN])
    right_MN = scored.predicted_MN == scored.labels_N
    cell_MN = rows_M * NUM_BINS + _bins(sure_MN)
    gaps_MR = np.bincount(cell_MN.ravel(), weights=(sure_MN - right_MN).ravel(), minlength=M * NUM_BINS)
    ece_M: Floats = np.abs(gaps_MR.reshape(M, NUM_BINS)).sum(-1) / N
    return ece_M


def _accuracy(scored: Scored) -> Floats:
    accuracy_M: Floats = scored.hits_MK.sum(-1) / len(scored.labels_N)
    return accuracy_M


def _accuracy_of_images(scored: Scored) -> Floats:
    right_MN: Floats = (scored.predicted_MN == scored.labels_N).astype(np.float64)
    return right_MN


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


def _ratio_of_images(hit: int, predicted: int, true: int) -> Callable[[Scored], Floats]:
    """What each image brings to the mean over classes of `hit × hits / (predicted × … + true × …)`.

    Source: the delta method on a ratio of two means, R + (numerator_i − R denominator_i) / mean denominator.
    """

    def of_images(scored: Scored) -> Floats:
        predicted_MN, labels_N = scored.predicted_MN, scored.labels_N
        M, N = predicted_MN.shape
        occurs_K = scored.true_K > 0
        below_MK = np.maximum(predicted * scored.predicted_MK + true * scored.true_K, 1)
        ratio_MK = hit * scored.hits_MK / below_MK
        scale_MK = np.where(occurs_K, N / below_MK / occurs_K.sum(), 0.0)
        rows_M = np.arange(M)[:, None]
        right_MN = predicted_MN == labels_N
        mean_M = ratio_MK[:, occurs_K].mean(-1)
        brought_MN: Floats = (
            mean_M[:, None]
            + hit * right_MN * scale_MK[:, labels_N]
            - predicted * ratio_MK[rows_M, predicted_MN] * scale_MK[rows_M, predicted_MN]
            - true * ratio_MK[:, labels_N] * scale_MK[:, labels_N]
        )
        return brought_MN

    return of_images


def _auroc_of_images(scored: Scored) -> Floats:
    """By the share of the other side that an image stands above, or below.

    Source: the placements of DeLong, DeLong and Clarke-Pearson 1988, each over the share of its side.
    """
    M, N, K = scored.log_p_MNK.shape
    areas_MK = _auroc_MK(scored)
    counted = [k for k in range(K) if scored.true_K[k] > 0]
    brought_MN = np.zeros((M, N))
    for k in counted:
        is_k_N = scored.labels_N == k
        for row_N, log_p_N, area in zip(brought_MN, scored.log_p_MNK[:, :, k], areas_MK[:, k], strict=True):
            ranks_N = _average_ranks(log_p_N)
            placement_N = np.empty(N)
            for side_N in (is_k_N, ~is_k_N):
                others = N - side_N.sum()
                placement_N[side_N] = (ranks_N[side_N] - _average_ranks(log_p_N[side_N])) / others
            placement_N[~is_k_N] = 1 - placement_N[~is_k_N]
            share_N = np.where(is_k_N, is_k_N.mean(), 1 - is_k_N.mean())
            row_N += (area + (placement_N - area) / share_N) / len(counted)
    return brought_MN


def _average_ranks(values_N: Floats) -> Floats:
    """Ranks from 1 on; those of equal values are their mean."""
    order_N, twice_rank_N = _twice_ranks(values_N)
    ranks_N = np.empty(len(values_N))
    ranks_N[order_N] = twice_rank_N / 2
    return ranks_N


def _fraction(
    name: str,
    short: str,
    means: str,
    of: Callable[[Scored], Floats],
    of_images: Callable[[Scored], Floats] | None,
    better: Literal["min", "max"] = "max",
) -> Metric:
    return Metric(
        name=name,
        short=short,
        means=means,
        better=better,
        unit="fraction",
        bounds=(0.0, 1.0),
        of=of,
        of_images=of_images,
    )


def _macro(
    name: str, short: str, means: str, of_class: Callable[[Scored], Floats], of_images: Callable[[Scored], Floats]
) -> Metric:
    def mean(scored: Scored) -> Floats:
        mean_M: Floats = np.ascontiguousarray(of_class(scored)[:, scored.true_K > 0]).mean(-1)
        return mean_M

    of_classes = f"{means}, macro average"
    return replace(_fraction(name, short, of_classes, mean, of_images), of_class=of_class)


MACRO = "A macro average is over the classes that occur in the split, each counting the same."

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="loss",
            short="loss",
            means="the mean negative log-likelihood of the true class, in nats, unweighted and without smoothing",
            better="min",
            unit="nats",
            bounds=(0.0, math.inf),
            of=_loss,
            of_images=_loss_of_images,
        ),
        _fraction(
            "accuracy",
            "acc",
            "the share of images whose class is predicted right",
            _accuracy,
            _accuracy_of_images,
        ),
        _macro(
            "precision",
            "precision",
            "of the images predicted as a class, the share that is of it (0 for a class that is never predicted)",
            _precision_MK,
            _ratio_of_images(1, 1, 0),
        ),
        _macro(
            "recall",
            "recall",
            "of the images of a class, the share that is predicted as it",
            _recall_MK,
            _ratio_of_images(1, 0, 1),
        ),
        _macro(
            "f1",
            "F1",
            "the harmonic mean of a class's precision and recall (0 where no image of it is predicted right)",
            _f1_MK,
            _ratio_of_images(2, 1, 1),
        ),
        _macro(
            "auroc",
            "AUROC",
            "the area under the ROC curve of a class against all others together",
            _auroc_MK,
            _auroc_of_images,
        ),
        _macro(
            "balanced_accuracy",
            "balanced acc",
            "of the images of a class, the share that is predicted right, which is the recall",
            _recall_MK,
            _ratio_of_images(1, 0, 1),
        ),
        _fraction(
            "confidence",
            "confidence",
            "the mean probability that is given to the true class",
            _confidence,
            _confidence_of_images,
        ),
        Metric(
            name="brier",
            short="Brier",
            means="the squared distance of the probabilities from those of the truth, summed over classes (0 to 2)",
            better="min",
            unit="squares",
            bounds=(0.0, 2.0),
            of=_brier,
            of_images=_brier_of_images,
        ),
        _fraction(
            "ece",
            "ECE",
            f"the expected calibration error: how far the largest probability is from the share that is right, on "
            f"average over {NUM_BINS} equally wide bins of that probability",
            _ece,
            None,
            better="min",
        ),
    )
}
METRICS |= load(
    "resnet_tl.metrics",
    built_in=METRICS,
    must="a `Metric` of that name",
    fits=lambda name, value: isinstance(value, Metric) and value.name == name,
)
"""Every score that is computed, shown and selected by, in the order of columns; to add one is to add an entry. Those of
other distributions stand behind."""


def metric_of(score: str) -> Metric:
    """The metric behind `split/name`.

    Raises:
        ConfigError: there is none, in a ledger for example that was written where another distribution brought it.
    """
    name = score.rpartition("/")[2]
    if name not in METRICS:
        raise ConfigError(f"`{score}` needs the metric {name}, which is not here: install what brings it.")
    return METRICS[name]


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


def of_images(name: str, log_p_NK: Floats, predicted_N: Ints, labels_N: Ints) -> Floats:
    """What each image brings to a metric, [N]; see `Metric.of_images`."""
    of_images = METRICS[name].of_images
    assert of_images is not None
    brought_N: Floats = of_images(scored(log_p_NK[None], predicted_N[None], labels_N))[0]
    return brought_N


def by_class(log_p_NK: Floats, predicted_N: Ints, labels_N: Ints) -> dict[str, Floats]:
    """The metrics that average over classes, for each class, [K]; NaN for classes that do not occur."""
    found = scored(log_p_NK[None], predicted_N[None], labels_N)
    kinds: dict[Callable[[Scored], Floats], str] = {}
    for name, metric in METRICS.items():
        if metric.of_class is not None:
            kinds.setdefault(metric.of_class, name)  # balanced accuracy averages the recalls of classes
    return {name: np.where(found.true_K > 0, of(found)[0], np.nan) for of, name in kinds.items()}
