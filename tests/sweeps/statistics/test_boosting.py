"""SAMME against scikit-learn's, and where it ends."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from sweeps.statistics.boosting import boosted


def test_weights_and_says_are_those_of_scikit_learn() -> None:
    inputs_NI, labels_N = load_iris(return_X_y=True)
    theirs = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=6, random_state=0)
    theirs.fit(inputs_NI, labels_N)
    weights_N = np.full(len(labels_N), 1 / len(labels_N))
    for member, say, error in zip(theirs.estimators_, theirs.estimator_weights_, theirs.estimator_errors_, strict=True):
        told = boosted(weights_N, member.predict(inputs_NI) != labels_N, 3)
        assert told is not None
        assert told.say == pytest.approx(say)
        assert told.error == pytest.approx(error)
        weights_N = told.weights_N
    assert weights_N.sum() == pytest.approx(1)


def test_a_guess_has_no_say_and_a_perfect_member_a_finite_one() -> None:
    weights_N = np.full(9, 1 / 9)
    assert boosted(weights_N, np.arange(9) >= 3, 3) is None
    told = boosted(weights_N, np.zeros(9, bool), 3)
    assert told is not None
    assert told.error == pytest.approx(0.5 / 9)
    assert np.isfinite(told.say)
