"""Planned comparisons, on seeds alone and on images."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from sweeps.statistics.planned import (
    OnImages,
    Paired,
    Sample,
    describe,
    effect_interval,
    mean_of,
    paired,
    seeds_needed,
)
from sweeps.statistics.stats import LEVEL, holm


def compared(a: Sequence[float], b: Sequence[float]) -> Paired:
    return paired(Sample(values_S=tuple(map(float, a))), Sample(values_S=tuple(map(float, b))))


# The sleep data of R (`?sleep`): extra hours of sleep with two drugs, the same ten people.
DRUG_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
DRUG_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_the_paired_test_is_that_of_rs_sleep_example() -> None:
    got = compared(DRUG_1, DRUG_2)
    assert got.p == pytest.approx(0.002833, abs=5e-7)  # t = -4.0621, df = 9, in the manual page of t.test
    assert (got.mean, got.low, got.high) == pytest.approx((-1.58, -2.4598858, -0.7001142), abs=5e-8)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=12), st.floats(0.001, 0.2))
def test_tests_agree_with_scipys(pairs: list[tuple[float, float]], margin: float) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    differences = np.subtract(a, b)
    if differences.std() < 1e-6:
        return
    assert compared(a, b).p == pytest.approx(reference.ttest_rel(a, b).pvalue, rel=1e-6, abs=1e-12)
    above = reference.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = reference.ttest_1samp(differences, margin, alternative="less").pvalue
    assert compared(a, b).within(margin) == pytest.approx(max(above, below), rel=1e-6, abs=1e-12)
    assert compared(a, b).within(margin) == pytest.approx(compared(b, a).within(margin)), (
        "which is first makes no difference"
    )
    outside = [reference.ttest_1samp(differences, side * margin, alternative=how).pvalue
               for side, how in ((1, "greater"), (-1, "less"))]  # fmt: skip
    assert compared(a, b).beyond(margin) == pytest.approx(min(1, 2 * min(outside)), rel=1e-6, abs=1e-12)


def test_equal_differences_are_no_certainty() -> None:
    """Scores are counts of images, so differences may be equal by chance: what remains is the sign test."""
    for gap in (0.05, -0.3):
        got = compared([0.5 + gap, 0.6 + gap, 0.7 + gap], [0.5, 0.6, 0.7])
        assert (got.p, got.effect) == (0.25, None)
    assert compared([0.5, 0.6, 0.7], [0.5, 0.6, 0.7]).p == 1
    assert compared([0.5, 0.6, 0.7], [0.5, 0.6, 0.7]).within(0.01) == 0.125
    assert compared([0.5, 0.6, 0.7], [0.4, 0.5, 0.6]).within(0.01) == 1
    assert compared([0.5, 0.6, 0.7], [0.4, 0.5, 0.6]).beyond(0.01) == 0.25
    assert compared([0.9, 0.8], [0.85, 0.76]).p is None, "two pairs decide nothing"


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_counts_of_few_images_keep_the_level(num_seeds: int) -> None:
    draws, false = np.random.default_rng(num_seeds), 0
    for _ in range(1000):
        test = draws.binomial(200, 0.9, (10, num_seeds)) / 200
        p = [compared(list(test[0]), list(test[t])).p for t in range(1, 10)]
        false += min(holm([value for value in p if value is not None])) <= LEVEL
    assert false / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_the_interval_of_an_effect_has_its_probability_on_either_side() -> None:
    found = effect_interval(0.8, 10)
    assert found is not None
    for bound, probability in zip(found, (0.975, 0.025), strict=True):
        assert reference.nct.cdf(0.8 * np.sqrt(10), 9, bound * np.sqrt(10)) == pytest.approx(probability, abs=1e-6)
    assert found[0] < 0.8 < found[1]


def test_the_seeds_needed_would_have_sufficed() -> None:
    differences = [0.02, -0.01, 0.03]
    for least in (2, 6):
        needed = seeds_needed(differences, 0.05 / 5, least=least)
        assert needed is not None
        mean, sd = np.mean(differences), np.std(differences, ddof=1)

        def p(n: int, mean: float = mean, sd: float = sd) -> float:
            return float(2 * reference.t.sf(abs(mean) / (sd / np.sqrt(n)), n - 1))

        assert p(needed) <= 0.05 / 5 < p(needed - 1)
        assert needed >= least
    assert seeds_needed([0.1, 0.1, 0.1], 0.05) == 6
    assert seeds_needed([1e-9, -1e-9, 0.0], 0.05) is None


@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_planned_comparisons_keep_the_level_all_together(num_seeds: int) -> None:
    false = 0
    draws = np.random.default_rng(num_seeds)
    for _ in range(2000):
        test = draws.normal(size=(1, num_seeds)) + draws.normal(size=(4, num_seeds))
        p = [compared(test[0], test[t]).p for t in (1, 2, 3)]
        false += min(holm([value for value in p if value is not None])) <= LEVEL
    assert false / 2000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize("values", [[0.8, 0.8], [0.7] * 5])
def test_values_without_spread_have_no_interval(values: list[float]) -> None:
    assert compared(values, [value - 0.25 for value in values]).low is None
    assert compared(values, [*values[1:], values[0] - 0.1]).low is not None


def on_images(right_SN: np.ndarray, clusters_N: np.ndarray | None = None) -> Sample:
    table = OnImages(values_SN=right_SN, clusters_N=clusters_N, bounds=(0.0, 1.0))
    return Sample(values_S=tuple(right_SN.mean(1).tolist()), on_images=table)


def drawn(seed: int, accuracy: float = 0.7, S: int = 5, N: int = 100) -> np.ndarray:
    draws = np.random.default_rng(seed)
    return draws.random((1, N)) * 0.7 + draws.random((S, N)) * 0.3 < accuracy


def test_where_images_are_known_they_are_taken_account_of() -> None:
    """The same scores, whose seeds agree: over seeds alone the interval is narrow, for new images it is not."""
    table = drawn(0)
    both, seeds = describe(on_images(table)), describe(Sample(values_S=tuple(table.mean(1).tolist())))
    assert (both.mean, both.sd, both.n) == (seeds.mean, seeds.sd, seeds.n)
    assert both.low is not None
    assert both.high is not None
    assert seeds.low is not None
    assert seeds.high is not None
    assert both.high - both.low > 1.5 * (seeds.high - seeds.low)


def test_a_difference_has_the_p_at_which_its_interval_touches_what_it_is_tested_against() -> None:
    told = paired(on_images(drawn(1, 0.6)), on_images(drawn(2, 0.75)))
    assert told.parts is not None
    assert told.low is not None
    assert told.high is not None
    for bound, side in ((told.low, "above"), (told.high, "below")):
        assert told.test(bound) == pytest.approx(LEVEL, abs=1e-9)
        assert told.test(bound, side) == pytest.approx(LEVEL / 2, abs=1e-9)
    assert told.test(told.parts.mean) == pytest.approx(1)
    assert told.test(0.0, "above") == pytest.approx(1 - told.test(0.0, "below"))


def test_what_is_needed_would_show_the_difference() -> None:
    told = paired(on_images(drawn(1, 0.65)), on_images(drawn(2, 0.7)))
    needed = told.needed(3)
    assert told.parts is not None
    assert told.parts.p() > LEVEL / 3
    assert needed.images is not None
    N = told.parts.num_images
    assert told.parts.with_more(images=needed.images / N).p() <= LEVEL / 3
    assert told.parts.with_more(images=(needed.images - 1) / N).p() > LEVEL / 3


def test_a_mean_over_trials_keeps_seeds_and_images_apart() -> None:
    a, b = drawn(3), drawn(4)
    mean = mean_of([on_images(a), on_images(b)])
    assert mean.on_images is not None
    assert np.allclose(mean.on_images.values_SN, (a.astype(float) + b) / 2)
    assert mean.values_S == pytest.approx(((a.mean(1) + b.mean(1)) / 2).tolist())
    assert mean_of([on_images(a), Sample(values_S=tuple(b.mean(1).tolist()))]).on_images is None


def test_two_pairs_decide_nothing_on_images_either() -> None:
    told = paired(on_images(drawn(1, 0.2)[:2]), on_images(drawn(2, 0.9)[:2]))
    assert told.p is None
    assert told.low is not None
