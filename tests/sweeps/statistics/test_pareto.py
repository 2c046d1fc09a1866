"""The front of several aims is what its definition says, and its share in resamples is over whole seeds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.statistics.pareto import NUM_RESAMPLES, dominators, front_T, shares_on_front_T

COSTS = st.integers(1, 4).flatmap(
    lambda aims: st.lists(st.lists(st.integers(0, 4), min_size=aims, max_size=aims), min_size=1, max_size=12)
)


def dominates(one: list[int], other: list[int]) -> bool:
    """At least as good in all aims, and better in one."""
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@given(COSTS)
def test_the_front_is_what_no_other_dominates(costs: list[list[int]]) -> None:
    expected = [not any(dominates(other, own) for other in costs) for own in costs]
    assert front_T(np.array(costs, dtype=float)).tolist() == expected


@given(COSTS)
def test_what_is_not_on_the_front_is_dominated_by_one_that_is(costs: list[list[int]]) -> None:
    costs_TA = np.array(costs, dtype=float)
    on_T = front_T(costs_TA)
    for place, over in enumerate(dominators(costs_TA)):
        assert (over is None) == on_T[place]
        if over is not None:
            assert on_T[over]
            assert dominates(costs[over], costs[place])
            best = [n for n in range(len(costs)) if on_T[n] and dominates(costs[n], costs[place])]
            assert costs[over] == min(costs[n] for n in best), "of several the best in the first aim is named"


def test_equal_trials_are_on_the_front_together_and_a_tie_in_one_aim_is_dominated() -> None:
    costs_TA = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0]])
    assert front_T(costs_TA).tolist() == [True, True, False]
    assert dominators(costs_TA) == [None, None, 0]


def test_the_share_on_the_front_pairs_trials_by_seed() -> None:
    spread_S = np.array([0.0, 3.0, 7.0, 1.0])
    # the second is worse by the same amount with each seed: drawn alone, it would often be ahead
    costs_TAS = np.stack([np.stack([spread_S, spread_S]), np.stack([spread_S + 0.1, spread_S + 0.1])])
    assert shares_on_front_T(costs_TAS).tolist() == [1.0, 0.0]


def test_the_share_on_the_front_is_that_of_all_draws_of_the_seeds() -> None:
    # the second is ahead with the first seed alone, so where it is drawn three times of three: 1 of 27
    costs_TAS = np.array([[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[0.0, 9.0, 9.0], [0.0, 9.0, 9.0]]])
    first, second = shares_on_front_T(costs_TAS)
    assert first + second == 1
    assert second == pytest.approx(1 / 27, abs=0.02)
    assert (first, second) == tuple(shares_on_front_T(costs_TAS)), "the draws are the same each time"
    assert float(first * NUM_RESAMPLES).is_integer()


def test_means_that_differ_in_their_last_bit_are_equal() -> None:
    values = [0.1, 0.2, 0.3, 0.7]
    costs_TAS = np.array([[values, [5e7] * 4], [values[::-1], [5e7] * 4]])
    shares = shares_on_front_T(costs_TAS)
    same = [drawn for drawn in np.random.default_rng(0).integers(4, size=(NUM_RESAMPLES, 4)) if _is_level(drawn)]
    assert min(shares) >= len(same) / NUM_RESAMPLES, "in draws of equal sums both are on the front"
    assert sum(shares) == pytest.approx(1 + len(same) / NUM_RESAMPLES)


def _is_level(drawn: np.ndarray) -> bool:
    tenths = np.array([1, 2, 3, 7])
    return bool(tenths[drawn].sum() == tenths[::-1][drawn].sum())
