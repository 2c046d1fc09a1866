"""A forest is fitted elsewhere, and what goes wrong there is said here."""

import numpy as np
import pytest

from sweeps.statistics.forest import Forest


def test_the_forest_of_another_process_is_one_and_the_same_each_time() -> None:
    inputs_TD = np.random.default_rng(0).uniform(size=(40, 2))
    first, second = (Forest(inputs_TD, inputs_TD[:, 0]) for _ in range(2))  # both at once
    found = first.of_parameter()
    assert found == second.of_parameter()
    assert found[0] > 0.9 > 0.1 > found[1]


def test_what_goes_wrong_in_the_other_process_is_raised() -> None:
    with pytest.raises(RuntimeError, match="NaN"):
        Forest(np.zeros((4, 1)), np.array([0.0, np.nan, 1.0, 2.0])).of_parameter()
