import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from sweeps.statistics.stats import LEVEL, Array, against_best, bootstrap_interval, holm, summarise

VALUES = st.lists(st.floats(0, 1), min_size=2, max_size=20)


@given(VALUES)
def test_mean_spread_and_interval_agree_with_scipy(values: list[float]) -> None:
    got = summarise(values)
    assert got.mean == pytest.approx(np.mean(values))
    assert got.sd == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    if np.std(values) > 1e-9:
        low, high = reference.t.interval(0.95, len(values) - 1, np.mean(values), reference.sem(values))
        assert (got.low, got.high) == pytest.approx((low, high))


@given(VALUES, st.randoms())
def test_the_order_of_seeds_makes_no_difference(values: list[float], random: object) -> None:
    mixed = list(values)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert summarise(mixed) == summarise(values)


def test_three_seeds_use_the_wide_multiplier() -> None:
    got = summarise([0.8, 0.81, 0.82])
    assert got.sd == pytest.approx(0.01)
    assert got.high == pytest.approx(0.81 + 4.3027 * 0.01 / np.sqrt(3), abs=1e-6)


def test_one_value_has_no_spread() -> None:
    got = summarise([0.5])
    assert (got.n, got.mean, got.sd, got.low) == (1, 0.5, None, None)


def test_numbers_that_are_none_are_never_averaged() -> None:
    with pytest.raises(AssertionError):
        summarise([0.5, float("nan")])


def test_holm_is_that_of_rs_p_adjust() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.04, 0.001, 0.6]) == pytest.approx([0.08, 0.003, 0.6])
    assert holm([]) == []


def test_bootstrap_intervals_are_scipys_and_not_given_where_they_mean_nothing() -> None:
    values = [0.71, 0.74, 0.69, 0.80, 0.75]
    found = bootstrap_interval(values)
    assert found is not None
    assert min(values) < found[0] < np.mean(values) < found[1] < max(values)
    assert bootstrap_interval(values) == found, "the same every time"
    assert bootstrap_interval([0.7, 0.8]) is None
    assert bootstrap_interval([0.7, 0.7, 0.7]) is None


def test_the_best_is_tested_against_all_by_every_flip_of_seeds() -> None:
    draws = np.random.default_rng(1)
    choice, score = draws.normal(size=(2, 3, 6))
    got = against_best(choice, score)
    best = int(choice.mean(1).argmax())
    assert got.best == best
    order = sorted((t for t in range(3) if t != best), key=lambda t: -float((score[best] - score[t]).mean()))
    least = 0.0
    for step, trial in enumerate(order):  # as the docstring says it, one trial and one flip at a time
        among = [best, *order[step:]]
        leads = []
        for flip in itertools.product([1, -1], repeat=6):
            picked = max(among, key=lambda t, f=flip: (choice[t] * f).mean())  # type: ignore[misc]
            leads.append(max(float((score[picked] * flip).mean() - (score[t] * flip).mean()) for t in among))
        own = score[best].mean() - score[trial].mean()
        least = max(least, float(np.mean(np.array(leads) >= own - 1e-12)))
        assert got.p[trial] == pytest.approx(least)
    assert got.p[best] is None
    assert got.attainable == 2**-5


def test_a_clear_lead_is_found_and_reaches_the_least_p_there_is() -> None:
    score = np.array([[0.9] * 7, [0.5] * 7, [0.4] * 7]) + np.random.default_rng(0).normal(0, 0.01, (3, 7))
    got = against_best(score, score)
    assert got.p[1] is not None
    assert got.p[1] <= 2 * got.attainable
    assert got.p[2] is not None
    assert got.p[2] <= got.p[1]


def test_a_hopeless_trial_does_not_hide_a_smaller_difference() -> None:
    draws = np.random.default_rng(0)
    score = np.array([[0.90] * 10, [0.88] * 10, [0.1] * 10]) + draws.normal(0, 0.005, (3, 10))
    got = against_best(score, score)
    assert got.p[1] is not None
    assert got.p[1] < 0.01


def test_among_bad_trials_equal_ones_are_not_told_apart() -> None:
    """The level holds for the trials that are equal, whatever the others are."""
    false = 0
    shift = np.array([0.0] * 4 + [3.0] * 4)[:, None]
    for val, test in studies(8, 10, 400):
        got = against_best(val - shift, test - shift)
        false += any(p is not None and p <= LEVEL for p in got.p[:4])
    assert false / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_more_seeds_than_can_be_flipped_in_every_way() -> None:
    score = np.array([[0.9] * 20, [0.5] * 20]) + np.random.default_rng(0).normal(0, 0.3, (2, 20))
    got = against_best(score, score)
    assert got.attainable == 1 / 10_000
    assert got.p[1] is not None
    assert 0 < got.p[1] < 0.01


@given(st.randoms())
def test_the_order_of_seeds_changes_no_comparison(random: object) -> None:
    choice, score = np.random.default_rng(2).normal(size=(2, 4, 6))
    order = list(range(6))
    random.shuffle(order)  # type: ignore[attr-defined]
    a, b = against_best(choice, score), against_best(choice[:, order], score[:, order])
    assert [p and round(p, 9) for p in a.p] == [p and round(p, 9) for p in b.p]


def studies(num_trials: int, num_seeds: int, count: int, *, spreads: bool = False) -> Iterator[tuple[Array, Array]]:
    """Studies in which nothing differs: val and test correlated within a network, and between trials of a seed."""
    draws = np.random.default_rng(num_trials * 100 + num_seeds)
    scale = np.linspace(1, 5, num_trials)[:, None] if spreads else 1.0
    for _ in range(count):
        of_seed = draws.normal(size=(1, num_seeds))
        of_network = draws.normal(size=(num_trials, num_seeds))
        val, test = (of_seed + scale * (of_network + draws.normal(size=(num_trials, num_seeds))) for _ in range(2))
        yield val, test


CASES = [(t, s) for t in (2, 8, 24) for s in (3, 5, 10)]


@pytest.mark.parametrize(("num_trials", "num_seeds"), CASES)
@pytest.mark.parametrize("spreads", [False, True])
def test_where_nothing_differs_the_best_is_seldom_called_better(num_trials: int, num_seeds: int, spreads: bool) -> None:
    count = 400
    false = claimed(num_trials, num_seeds, count, spreads=spreads)
    assert false / count <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / count)


@pytest.mark.slow
@pytest.mark.parametrize(("num_trials", "num_seeds"), CASES)
def test_false_claims_in_ten_thousand_studies(num_trials: int, num_seeds: int) -> None:
    false = claimed(num_trials, num_seeds, 10_000)
    # two standard errors above the level: what a rate of exactly 5% stays below in 97.5% of the cases
    assert false / 10_000 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 10_000)


def claimed(num_trials: int, num_seeds: int, count: int, *, spreads: bool = False) -> int:
    """Studies with a claim, whether or not the table would say `too few seeds` in its place."""
    return sum(
        any(p is not None and p <= LEVEL for p in against_best(val, test).p)
        for val, test in studies(num_trials, num_seeds, count, spreads=spreads)
    )


def test_correcting_for_the_number_alone_would_not_do() -> None:
    """The reason for `against_best`: Holm's correction, against a best that the very same scores have chosen."""
    false = right = 0
    for val, _ in studies(24, 10, 400):
        best = int(val.mean(1).argmax())
        p = reference.ttest_rel(val[best], np.delete(val, best, axis=0), axis=1).pvalue
        false += min(holm(list(p))) <= LEVEL
        right += any(p is not None and p <= LEVEL for p in against_best(val, val).p)
    assert false / 400 > 0.1
    assert right / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("values", [[0.8, 0.8], [0.7] * 5, [0.1 + 0.2, 0.3, 0.3]])
def test_values_without_spread_have_no_interval(values: list[float]) -> None:
    told = summarise(values)
    assert told.low is None
    assert told.high is None
