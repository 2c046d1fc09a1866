import itertools
import math

import numpy as np
import pytest

from sweeps.statistics.stopping import FEWEST_TRIALS, LOOKS, StopRule, is_enough

RULE = StopRule(regret=0.005, risk=0.25)


def test_it_counts_the_subsets_that_would_have_named_a_worse_one() -> None:
    values = [0.9, 0.899, 0.898, 0.897, *(0.5 + number / 100 for number in range(8))]
    n, planned = len(values), 24
    k = n * n // planned
    far = sum(max(part) < 0.9 - 0.005 for part in itertools.combinations(values, k)) / math.comb(n, k)
    for risk in (far * LOOKS["random"] * 0.99, far * LOOKS["random"] * 1.01):
        rule = StopRule(regret=0.005, risk=risk)
        assert is_enough(rule, values, planned=planned, better="max", method="random") == (risk > far * LOOKS["random"])


def test_a_search_in_which_all_are_as_good_ends_and_one_with_a_lonely_best_does_not() -> None:
    assert is_enough(RULE, [0.8] * 10, planned=40, better="max", method="random")
    assert not is_enough(RULE, [0.9] + [0.8] * 19, planned=40, better="max", method="random")


def test_of_a_loss_the_least_is_the_best() -> None:
    values = [1.0] * 12 + [0.5] * 12
    assert is_enough(RULE, values, planned=60, better="min", method="random") == is_enough(
        RULE, [-value for value in values], planned=60, better="max", method="random"
    )


@pytest.mark.parametrize("values", [[0.8] * (FEWEST_TRIALS - 1), [0.8] * 40])
def test_too_few_trials_or_all_of_them_are_not_judged(values: list[float]) -> None:
    assert not is_enough(RULE, values, planned=40, better="max", method="random")


def test_random_searches_seldom_lose_more_than_the_regret() -> None:
    draws, lost, tried, rule = np.random.default_rng(0), 0, 0, StopRule(regret=0.005, risk=0.05)
    for _ in range(400):
        values = list(map(float, 0.9 - 0.05 * draws.exponential(size=60)))
        ends = next(
            (n for n in range(60) if is_enough(rule, values[:n], planned=60, better="max", method="random")), 60
        )
        lost += max(values) - max(values[:ends]) > 0.005
        tried += ends
    assert lost / 400 <= 0.05
    assert tried / (400 * 60) < 0.95


def test_of_a_bayesian_search_its_past_is_trusted_less() -> None:
    values = [0.8] * 6 + [0.7] * 6
    told = [is_enough(RULE, values, planned=36, better="max", method=method) for method in ("random", "bayes")]
    assert told == [True, False]
