"""Training images drawn with replacement, for the members of bagging and boosting.

A draw is named as an epoch's samples are, `image + round * N`, so that an image that is drawn twice has augmentation of
its own each time.

Axes: N images of the whole set, S draws.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_tl.errors import DataError
from resnet_tl.files import replacing
from resnet_tl.seeding import derive, uniforms_BW


def draw_S(
    train: NDArray[np.int64], labels_N: NDArray[np.int64], weights: NDArray[np.float64], seed: int
) -> NDArray[np.int64]:
    """As many draws as there are training images, each class at least once; a pure function of its arguments.

    Args:
        train: image numbers.
        weights: of the images of train, from 0 up, not all 0: how probable each is in every draw.
        seed: of the member.
    """
    N, S = len(labels_N), len(train)
    ends = np.cumsum(weights / weights.sum())
    places = np.searchsorted(ends[:-1], uniforms_BW(derive(seed, "draw"), np.arange(S), 1)[:, 0], side="right")
    drawn_S = labels_N[train[places]]
    for label in np.unique(labels_N[train]):  # a member that never saw a class could not be asked for it
        if label not in drawn_S:
            of_class = np.flatnonzero(labels_N[train] == label)
            spare = int(np.argmax(np.bincount(drawn_S)[drawn_S] > 1))  # the first of a class that is drawn twice
            places[spare] = of_class[int(np.argmax(weights[of_class]))]
            drawn_S[spare] = label
    images = np.sort(train[places])
    first = np.flatnonzero(np.r_[True, images[1:] != images[:-1]])
    rounds = np.arange(S) - np.repeat(first, np.diff(np.r_[first, S]))
    return images + rounds * N


def write_draws(folder: Path, seed: int, samples_S: NDArray[np.int64]) -> Path:
    """Stores the draws of a member; returns their file."""
    path = folder / f"{seed}.npy"
    with replacing(path) as stream:
        np.save(stream, samples_S)
    return path


def read_draws(path: Path) -> NDArray[np.int64]:
    """Reads what `write_draws` stored.

    Raises:
        DataError: it is gone or damaged.
    """
    try:
        samples_S: NDArray[np.int64] = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} must hold the draws of a member, but cannot be read: {error}.") from None
    if samples_S.ndim != 1 or samples_S.dtype != np.int64 or not len(samples_S) or samples_S.min() < 0:
        raise DataError(f"{path} must hold the draws of a member, but holds {samples_S.dtype} {list(samples_S.shape)}.")
    return samples_S
