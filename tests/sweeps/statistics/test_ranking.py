"""One order of trials and of seed runs."""

import pytest

from sweeps.statistics.ranking import rank_key


@pytest.mark.parametrize(("better", "order"), [("max", [3, 1, 2, 0, 4]), ("min", [0, 1, 2, 3, 4])])
def test_the_best_comes_first_then_the_lower_number_then_what_has_no_score(better: str, order: list[int]) -> None:
    scores = {0: 0.1, 4: None, 2: 0.5, 1: 0.5, 3: 0.9}
    ranked = sorted(scores, key=lambda number: rank_key(scores[number], number, better=better))  # type: ignore[arg-type]
    assert ranked == order
