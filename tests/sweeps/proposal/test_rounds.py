"""How many seeds hold the time that was announced."""

from sweeps.proposal.budget import Budget
from sweeps.proposal.rounds import seeds_that_fit

BUDGET = Budget(
    size=64, epochs=5, num_seeds=3, stage_epochs=0, begin_s=20, seed_s=40, end_s=40, fits=True
)  # 180 seconds in all


def seeds(seed_s: float, left_s: float) -> int:
    return seeds_that_fit(BUDGET, seed_s=seed_s, left_s=left_s, load_s=0.0)


def test_as_planned_where_it_goes_as_planned() -> None:
    assert seeds(40, 120) == 3


def test_quicker_seeds_are_more_and_never_too_many() -> None:
    assert seeds(20, 140) == 6
    assert seeds(1, 159) == 10


def test_a_start_that_was_quick_leaves_room_for_the_end() -> None:
    """Begun in 10 seconds in place of 20, so that the end takes 20 in place of 40."""
    assert seeds(20, 150) == 7


def test_a_third_seed_may_be_a_quarter_late_but_a_fourth_not() -> None:
    assert seeds(40, 90) == 2
    assert seeds(40, 110) == 3
    assert seeds(40, 119) == 3


def test_a_machine_that_became_slow_gets_two() -> None:
    assert seeds(200, 0) == 2
    assert seeds(40, -100) == 2
