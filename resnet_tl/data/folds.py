"""Cuts all images into folds for cross-validation: stratified by class, whole clusters, anew for each seed.

In fit k of a seed run, fold k is test, the next one is val, and the rest trains, so that every image is test once and
val once.

Axes: F folds, K classes, N images.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resnet_tl.errors import DataError, shown
from resnet_tl.seeding import derive, shuffled

FEWEST = 3
"""Folds: one is test, one is val, and one at least trains."""
_WHOLE = 10**9
"""What a class weighs, in integers, so that no rounding of a machine's own decides a cut."""


def cut_folds(
    labels_N: NDArray[np.int64],
    clusters_N: NDArray[np.int64],
    *,
    folds: int,
    split_seed: int,
    seed: int,
    classes: Sequence[str],
) -> NDArray[np.int64]:
    """The fold of each image, [N]: a pure function of its arguments.

    Clusters are dealt in random order, those of the rarest classes first and of them the large ones, each to a fold
    that lacks its classes, or else has the least of them. Where clusters are single images, the numbers of a class in
    any two folds differ by one at most.

    Args:
        clusters_N: images of one number depend on each other, and are put into one fold.
        split_seed: of the data.
        seed: of the run.

    Raises:
        DataError: in some fit a class would have no image to learn from.
    """
    K = len(classes)
    _, cluster_N, size_G = np.unique(clusters_N, return_inverse=True, return_counts=True)
    sorted_N, first_G = labels_N[np.argsort(cluster_N, kind="stable")], np.cumsum(size_G) - size_G
    of_cluster = np.split(sorted_N, first_G[1:])
    weight_K = _WHOLE // np.maximum(np.bincount(labels_N, minlength=K), 1)
    counts_FK, sizes_F = np.zeros((folds, K), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    fold_G = np.zeros(len(size_G), dtype=np.int64)
    rarest_G = np.minimum.reduceat(_clusters_K(labels_N, cluster_N, K)[sorted_N], first_G)
    order = shuffled(derive(split_seed, "folds", seed, folds), len(size_G))
    for cluster in order[np.lexsort((-size_G[order], rarest_G[order]))]:
        own = Counter(of_cluster[cluster].tolist())
        present, numbers = list(own), np.array(list(own.values()))
        there_F = (counts_FK[:, present] > 0).sum(1)
        crowded_F = counts_FK[:, present] @ (numbers * weight_K[present])
        fold = np.lexsort((sizes_F, crowded_F, there_F))[0]
        fold_G[cluster] = fold
        counts_FK[fold, present] += numbers
        sizes_F[fold] += size_G[cluster]
    learnt_FK = counts_FK.sum(0) - counts_FK - np.roll(counts_FK, -1, axis=0)
    lacking = [f"{classes[label]}: fit {fit + 1}" for fit, label in np.argwhere(learnt_FK == 0)]
    if lacking:
        raise DataError(
            f"Every class must have an image to learn from in each of the {folds} fits of a seed, but with seed {seed} "
            "some have none, since so many of their images belong together (one group, or copies). Take another number "
            f"of folds, or another seed:\n{shown(lacking)}"
        )
    return fold_G[cluster_N]


def splits_of(fold_N: NDArray[np.int64], fit: int, folds: int) -> dict[str, NDArray[np.int64]]:
    """Image numbers of each split in one fit of a seed run, counted from 0, in order."""
    is_test_N, is_val_N = fold_N == fit, fold_N == (fit + 1) % folds
    return {
        "train": np.flatnonzero(~is_test_N & ~is_val_N),
        "val": np.flatnonzero(is_val_N),
        "test": np.flatnonzero(is_test_N),
    }


def require_folds(
    labels_N: NDArray[np.int64], clusters_N: NDArray[np.int64], *, folds: int, classes: Sequence[str]
) -> None:
    """Checks that there can be so many folds.

    Raises:
        DataError: there can not.
    """
    clusters_K = _clusters_K(labels_N, clusters_N, len(classes))
    smallest = int(np.argmin(clusters_K))
    if not FEWEST <= folds <= clusters_K[smallest]:
        images = int((labels_N == smallest).sum())
        together = (
            f" that do not belong together (it has {images}, with copies and images of one group)"
            if images > clusters_K[smallest]
            else ""
        )
        raise DataError(
            f"`folds` must be at least {FEWEST} and at most the number of images of the smallest class, so that each "
            f"fold has one, but got {folds}: {classes[smallest]} has {clusters_K[smallest]} images{together}."
        )


def _clusters_K(labels_N: NDArray[np.int64], clusters_N: NDArray[np.int64], K: int) -> NDArray[np.int64]:
    """In how many clusters each class has an image."""
    pairs = np.unique(np.stack([labels_N, clusters_N]), axis=1)
    return np.bincount(pairs[0], minlength=K)
