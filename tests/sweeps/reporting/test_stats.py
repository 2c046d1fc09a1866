import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from sweeps.reporting.stats import summarise

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
