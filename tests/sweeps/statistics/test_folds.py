"""How far intervals hold where each seed cuts the images into folds: the fits share what they learn from."""

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_tl.data.folds import cut_folds, splits_of
from sweeps.statistics.images import difference, interval

STUDIES, SEEDS, FOLDS, FEATURES = 300, 5, 5, 20
SHRINKAGE = (0.0, 0.15)
"""Of two trials."""


def drawn(draws: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    labels_N = draws.integers(0, 2, count)
    features_NF = draws.normal(size=(count, FEATURES))
    features_NF[:, :5] += 0.8 * (labels_N[:, None] - 0.5)
    return features_NF, labels_N


def right_N(
    learnt: tuple[NDArray[np.float64], NDArray[np.int64]],
    scored: tuple[NDArray[np.float64], NDArray[np.int64]],
    shrinkage: float,
    seed: int,
) -> NDArray[np.bool_]:
    """Whether a classifier by class means, blurred by its seed, names the class of each scored image."""
    low_F, high_F = (learnt[0][learnt[1] == label].mean(0) for label in (0, 1))
    weights_F = (high_F - low_F) / (1 + shrinkage / np.abs(high_F - low_F))
    weights_F = weights_F + np.random.default_rng(seed).normal(0, 0.3, FEATURES)
    return ((scored[0] - (low_F + high_F) / 2) @ weights_F > 0) == scored[1]


@pytest.mark.slow
@pytest.mark.parametrize("count", [60, 150])
def test_intervals_of_a_mean_are_somewhat_short_and_those_of_a_difference_hold(count: int) -> None:
    draws = np.random.default_rng(count)
    learnt = count * (FOLDS - 2) // FOLDS
    true = [
        np.mean([right_N(drawn(draws, learnt), drawn(draws, 2000), s, int(draws.integers(2**31))) for _ in range(400)])
        for s in SHRINKAGE
    ]
    of_mean = of_difference = 0
    for _ in range(STUDIES):
        features_NF, labels_N = drawn(draws, count)
        tables = np.zeros((2, SEEDS, count), bool)
        for seed in range(SEEDS):
            fold_N = cut_folds(labels_N, np.arange(count), folds=FOLDS, split_seed=0, seed=seed, classes=("a", "b"))
            for fold in range(FOLDS):
                cut = splits_of(fold_N, fold, FOLDS)
                train, test = ((features_NF[cut[split]], labels_N[cut[split]]) for split in ("train", "test"))
                luck = int(draws.integers(2**31))
                for trial, shrinkage in enumerate(SHRINKAGE):
                    tables[trial, seed, cut["test"]] = right_N(train, test, shrinkage, luck)
        low, high = interval(tables[0], bounds=(0.0, 1.0))
        of_mean += low <= true[0] <= high
        gap = difference(tables[0], tables[1], bounds=(0.0, 1.0))
        of_difference += abs(gap.mean - (true[0] - true[1])) <= gap.half()
    assert 0.85 <= of_mean / STUDIES <= 0.96
    assert of_difference / STUDIES >= 0.95
