"""Which trials no other beats in several aims at once, and how far that hangs on the seeds: pure functions.

Values come as costs, of which less is better; an aim of which more is better has its sign turned.

Axes: A aims, R resamples, S seeds, T trials.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NUM_RESAMPLES = 1000
"""Draws of the seeds: a share of them is known to within 3 percentage points (two standard errors of a half)."""

DIGITS = 12
"""Means that agree in so many decimals of the largest value are the same: sums in another order differ in the last."""


def front_T(costs_TA: Array) -> NDArray[np.bool_]:
    """Tells which trials are dominated by none: no other is at least as good in all aims and better in one.

    Equal trials dominate each other in nothing, and are on the front together.
    """
    on_T = np.zeros(len(costs_TA), dtype=bool)
    left = np.lexsort(costs_TA.T[::-1])
    while len(left):
        # the first one in the order of the aims: what would dominate it would stand before it
        first = costs_TA[left[0]]
        is_equal = (costs_TA[left] == first).all(axis=-1)
        on_T[left[is_equal]] = True
        left = left[~(costs_TA[left] >= first).all(axis=-1)]
    return on_T


def dominators(costs_TA: Array) -> list[int | None]:
    """For each trial a place of one on the front that dominates it, or None for those on the front.

    Of several it is the one that is best in the first aim, then in the next ones, then the one that comes first.
    """
    front = np.flatnonzero(front_T(costs_TA))
    front = front[np.lexsort(costs_TA[front].T[::-1])]
    found: list[int | None] = []
    for place, costs in enumerate(costs_TA):
        if place in front:
            found.append(None)
            continue
        # equal ones in all aims would be on the front together
        is_over = (costs_TA[front] <= costs).all(axis=-1)
        found.append(int(front[is_over][0]))
    return found


def shares_on_front_T(costs_TAS: Array, *, num: int = NUM_RESAMPLES, seed: int = 0) -> Array:
    """In what share of draws of the seeds, with replacement, each trial is on the front of the means.

    Trials are paired: each draw takes the same seeds of all of them.

    Args:
        costs_TAS: of trials with the same seeds, in the same order; two seeds or more.
        seed: of the draws.

    Source: the bootstrap of Efron 1979, of whole seeds.
    """
    S = costs_TAS.shape[-1]
    assert S > 1, "one seed has nothing to draw from"
    scale_A = np.maximum(np.abs(costs_TAS).max(axis=(0, 2)), np.finfo(float).tiny)
    scaled_TAS = costs_TAS / scale_A[:, None]
    drawn_RS = np.random.default_rng(seed).integers(S, size=(num, S))
    count_T = np.zeros(len(costs_TAS))
    for drawn_S in drawn_RS:
        means_TA = scaled_TAS[:, :, drawn_S].mean(axis=-1)
        count_T += front_T(np.round(means_TA, DIGITS))
    shares_T: Array = count_T / num
    return shares_T
