"""Shares of a grid are exact; ranges hold equally many trials."""

import itertools

import numpy as np
import pytest

from sweeps.statistics.importance import Decomposition, ranges


def test_the_variance_of_a_complete_grid_falls_into_parts() -> None:
    points = list(itertools.product(["linear", "mlp"], [1e-3, 1e-2]))
    values = {"head": [head for head, _ in points], "lr": [lr for _, lr in points]}
    found = Decomposition(values, np.array([0.5, 0.6, 0.4, 0.9])).shares
    # by hand: variances 0.035 in all, 0.0225 of the means at each rate, 0.0025 at each head, and the rest
    assert found.exact
    assert list(found.of_parameter) == ["lr", "head"]
    assert found.of_parameter["lr"] == pytest.approx(0.0225 / 0.035)
    assert found.interactions == pytest.approx(0.01 / 0.035)


def test_a_forest_names_what_decides_where_the_grid_has_holes() -> None:
    rng = np.random.default_rng(0)
    values = {"lr": list(10 ** rng.uniform(-5, -1, 60)), "seed": list(rng.permutation(60))}
    found = Decomposition(values, np.log10(values["lr"])).shares
    assert not found.exact
    assert found.of_parameter["lr"] > 0.9 > 0.1 > found.of_parameter["seed"]


def test_many_numbers_are_cut_into_ranges_and_few_are_not() -> None:
    cut = ranges([float(value) for value in range(12, 0, -1)])
    assert cut is not None
    assert [value for value, _ in cut] == [(1.0, 3.0), (4.0, 6.0), (7.0, 9.0), (10.0, 12.0)]
    assert cut[0][1] == [11, 10, 9]
    assert ranges([1, 2, 3]) is None
    assert ranges([str(value) for value in range(20)]) is None
