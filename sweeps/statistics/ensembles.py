"""Which of many networks go together, chosen on the images of one split: pure functions of probabilities.

Axes: M members, N images, K classes, F folds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from resnet_tl import metrics
from resnet_tl.errors import ConfigError
from resnet_tl.inference.ensemble import Average, Stacking, stacked
from resnet_tl.metrics import AT_ONCE, METRICS, Floats, Ints, scored
from sweeps.statistics.images import Clusters

LEAST_P = float(np.finfo(np.float64).tiny)
"""Of a probability whose logarithm is taken."""
ROUNDS = 50
"""Networks that greedy selection draws, repeated ones included; only the best beginning of them is kept."""
FOLDS = 5
"""In which stacking is judged."""
INNER_FOLDS = 3
"""In which its penalty is chosen, within what a fold leaves to learn from."""
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths C of the L2 penalty that stacking chooses among."""
MOST_INPUTS = 2_000
"""Numbers that a stacking model reads of an image: members times classes."""


class NotPossible(ConfigError):
    """A method cannot be applied to these predictions; says why."""


def score(name: str, probabilities_NK: Floats, labels_N: Ints) -> float:
    """A metric of combined probabilities.

    Args:
        name: of `resnet_tl.metrics.METRICS`.
    """
    return float(scores_M(name, probabilities_NK[None], labels_N)[0])


def scores_M(name: str, probabilities_MNK: Floats, labels_N: Ints) -> Floats:
    """The same for several, some at a time: all of 500 networks on 5,000 images of 100 classes would take 2 GB."""
    step = max(AT_ONCE // max(probabilities_MNK[0].size, 1), 1)
    parts = []
    for first in range(0, len(probabilities_MNK), step):
        part_MNK = probabilities_MNK[first : first + step]
        found = scored(np.log(np.maximum(part_MNK, LEAST_P)), part_MNK.argmax(-1), labels_N)
        parts.append(METRICS[name].of(found))
    found_M: Floats = np.concatenate(parts)
    return found_M


def of_images(name: str, probabilities_NK: Floats, labels_N: Ints) -> Floats:
    """What each image brings to a metric, [N]; see `metrics.Metric.of_images`."""
    log_p_NK = np.log(np.maximum(probabilities_NK, LEAST_P))
    return metrics.of_images(name, log_p_NK, probabilities_NK.argmax(-1), labels_N)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selected:
    """Networks with how often each was selected."""

    places: tuple[int, ...]
    """Of the networks, those that were selected most often first."""
    times: tuple[int, ...]

    @property
    def rule(self) -> Average:
        """The mean of probabilities that the selection stands for, of members in this order."""
        return Average(weights_M=tuple(number / sum(self.times) for number in self.times))


def greedy(probabilities_MNK: Floats, labels_N: Ints, name: str, *, rounds: int = ROUNDS) -> Selected:
    """Selects networks one after the other, each the one that helps the mean of probabilities most, with replacement.

    Ties in the metric are broken by the loss, then by the order of the networks. The first is the best single one, and
    of all rounds the best is kept, so that the selection is never worse than any single network on these images.

    Args:
        name: of the metric that is to be best.

    Source: Caruana, Niculescu-Mizil, Crew and Ksikes 2004, "Ensemble selection from libraries of models", sections 2
    and 2.1 (with replacement).
    """
    M = len(probabilities_MNK)
    upwards = 1.0 if METRICS[name].better == "max" else -1.0
    total_NK = np.zeros(probabilities_MNK.shape[1:])
    counts_M = np.zeros(M, dtype=np.int64)
    best, kept = (-np.inf, -np.inf), Selected(places=(), times=())
    for number in range(1, rounds + 1):
        values_M, losses_M = _with_each(probabilities_MNK, total_NK, number, labels_N, name)
        chosen = int(np.lexsort((np.arange(M), losses_M, -upwards * values_M))[0])
        counts_M[chosen] += 1
        total_NK += probabilities_MNK[chosen]
        selected = _selected(counts_M)
        # as it will be computed: where two classes are equally probable, rounding decides between them
        mean_NK = selected.rule.combine(probabilities_MNK[list(selected.places)])
        reached = (upwards * score(name, mean_NK, labels_N), -score("loss", mean_NK, labels_N))
        if reached > best:
            best, kept = reached, selected
    return kept


def _selected(counts_M: Ints) -> Selected:
    places = sorted(map(int, np.flatnonzero(counts_M)), key=lambda place: -counts_M[place])
    return Selected(places=tuple(places), times=tuple(int(counts_M[place]) for place in places))


def _with_each(
    probabilities_MNK: Floats, total_NK: Floats, number: int, labels_N: Ints, name: str
) -> tuple[Floats, Floats]:
    """The metric, [M], and the loss, [M], of what is selected with each network added."""
    step = max(AT_ONCE // max(total_NK.size, 1), 1)
    values, losses = [], []
    for first in range(0, len(probabilities_MNK), step):
        mean_MNK = (total_NK + probabilities_MNK[first : first + step]) / number
        found = scored(np.log(np.maximum(mean_MNK, LEAST_P)), mean_MNK.argmax(-1), labels_N)
        values.append(METRICS[name].of(found))
        losses.append(METRICS["loss"].of(found))
    return np.concatenate(values), np.concatenate(losses)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stacked:
    """A stacking model, and what it is worth on images that it did not learn from."""

    rule: Stacking
    """Fitted to all images."""
    held_out_NK: Floats
    """Probabilities of each image by a model that was fitted, penalty included, without its fold."""
    strength: float
    """Inverse strength C of the penalty."""
    num_folds: int


def stack(probabilities_MNK: Floats, labels_N: Ints, clusters_N: Clusters | None) -> Stacked:
    """Fits a multinomial logistic model with an L2 penalty to the members' log probabilities.

    The penalty is chosen by cross-validated loss. What the whole procedure is worth is told by nested
    cross-validation: each fold is predicted by a model whose coefficients and penalty come from the other folds alone.
    Images of one cluster are in one fold.

    Raises:
        NotPossible: a class has too few independent images, or there are too many inputs for a model of them.

    Source: Wolpert 1992, "Stacked generalization"; a linear model of class probabilities as in Ting and Witten 1999,
    "Issues in stacked generalization", section 3.
    """
    M, N, K = probabilities_MNK.shape
    if M * K > MOST_INPUTS:
        raise NotPossible(
            f"{M} members × {K} classes are {M * K:,} inputs, and stacking takes {MOST_INPUTS:,}; members=k takes the "
            "seeds of the best k trials"
        )
    groups_N = np.arange(N) if clusters_N is None else clusters_N
    inputs_NI = stacked(probabilities_MNK).transpose(1, 0, 2).reshape(N, M * K) / np.sqrt(M)
    held_out_NK = np.empty((N, K))
    num_folds = 0
    for learnt, judged in _folds(labels_N, groups_N, K, FOLDS):
        strength = _strength(inputs_NI[learnt], labels_N[learnt], groups_N[learnt], K)
        slopes_KI, intercepts_K = _fit(inputs_NI[learnt], labels_N[learnt], K, strength)
        held_out_NK[judged] = _softmax(inputs_NI[judged] @ slopes_KI.T + intercepts_K)
        num_folds += 1
    strength = _strength(inputs_NI, labels_N, groups_N, K)
    slopes_KI, intercepts_K = _fit(inputs_NI, labels_N, K, strength)
    rule = Stacking(slopes_KMK=slopes_KI.reshape(K, M, K) / np.sqrt(M), intercepts_K=intercepts_K)
    return Stacked(rule=rule, held_out_NK=held_out_NK, strength=strength, num_folds=num_folds)


def _folds(labels_N: Ints, groups_N: Ints, num_classes: int, most: int) -> Iterator[tuple[Ints, Ints]]:
    """Places of the images to learn from and to judge by, in folds that keep groups together and classes even."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = [len(np.unique(groups_N[labels_N == label])) for label in range(num_classes)]
    num_folds = min(most, min(groups))
    if num_folds < 2:
        raise NotPossible(
            f"each class needs three independent images of val at least, but class number {int(np.argmin(groups))} "
            f"has {'too few' if min(groups) else 'none'}"
        )
    cut = StratifiedGroupKFold(n_splits=num_folds, shuffle=True, random_state=0)
    for learnt, judged in cut.split(np.zeros(len(labels_N)), labels_N, groups_N):
        if len(np.unique(labels_N[learnt])) < num_classes:
            raise NotPossible("one group of images holds nearly all of a class on val, so that folds cannot be cut")
        yield learnt, judged


def _strength(inputs_NI: Floats, labels_N: Ints, groups_N: Ints, num_classes: int) -> float:
    """The C with the least cross-validated loss; of equal ones the smallest."""
    losses = np.zeros(len(STRENGTHS))
    for learnt, judged in _folds(labels_N, groups_N, num_classes, INNER_FOLDS):
        for place, strength in enumerate(STRENGTHS):
            slopes_KI, intercepts_K = _fit(inputs_NI[learnt], labels_N[learnt], num_classes, strength)
            p_NK = _softmax(inputs_NI[judged] @ slopes_KI.T + intercepts_K)
            true_N = p_NK[np.arange(len(judged)), labels_N[judged]]
            losses[place] -= np.log(np.maximum(true_N, LEAST_P)).sum()
    return STRENGTHS[int(losses.argmin())]


def _fit(inputs_NI: Floats, labels_N: Ints, num_classes: int, strength: float) -> tuple[Floats, Floats]:
    """Slopes [K, I] and intercepts [K]."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=2_000).fit(inputs_NI, labels_N)
    assert len(model.classes_) == num_classes
    if num_classes == 2:  # one logit, of the second class
        return (
            np.concatenate([-model.coef_, model.coef_]) / 2,
            np.concatenate([-model.intercept_, model.intercept_]) / 2,
        )
    return model.coef_, model.intercept_


def _softmax(logits_NK: Floats) -> Floats:
    shifted_NK = np.exp(logits_NK - logits_NK.max(-1, keepdims=True))
    p_NK: Floats = shifted_NK / shifted_NK.sum(-1, keepdims=True)
    return p_NK
