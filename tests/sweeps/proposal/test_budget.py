"""What fits into the time."""

import dataclasses

import pytest

from sweeps.proposal.budget import SEEDS, SIZES, Budget, Work, choose, estimate
from sweeps.proposal.speed import Speed

WORK = Work(
    num_train=1400,
    num_val=300,
    num_all=2000,
    workers=2,
    num_whole=3,
    num_tail=2,
    stores_features=True,
    has_stage=False,
    checks_labels=True,
)
SPEED = Speed(whole_s={32: 0.002, 64: 0.006}, forward_s={32: 0.0007, 64: 0.002}, load_s=2.0)
SIDES = [180, 200, 256, 300]


def fitted(minutes: float, *, work: Work = WORK, speed: Speed = SPEED, sides: list[int] | None = None) -> Budget:
    return choose(work, speed, most_s=60 * minutes, batch_size=32, sides=sides or SIDES)


def test_what_is_chosen_fits() -> None:
    for minutes in (3, 5, 10, 60, 600):
        budget = fitted(minutes)
        assert budget.fits
        assert budget.seconds <= 60 * minutes
        assert SEEDS[0] <= budget.num_seeds <= SEEDS[1]


def test_more_time_buys_larger_images() -> None:
    sizes = [fitted(minutes).size for minutes in (3, 10, 60, 600)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] == 224


def test_images_are_not_made_larger_than_most_are() -> None:
    assert fitted(600, sides=[20, 50, 70, 90]).size == 64


def test_a_quicker_machine_never_gets_smaller_images() -> None:
    whole_s, forward_s = (
        {size: seconds / 10 for size, seconds in taken.items()} for taken in (SPEED.whole_s, SPEED.forward_s)
    )
    quick = Speed(whole_s=whole_s, forward_s=forward_s, load_s=2.0)
    assert fitted(3, speed=quick).size > fitted(3).size


def test_too_little_time_is_said_and_gets_the_least() -> None:
    budget = fitted(0.5)
    assert not budget.fits
    assert (budget.size, budget.num_seeds) == (SIZES[-1], SEEDS[0])
    assert budget.seconds > 30


@pytest.mark.parametrize(
    "more",
    [
        {"num_train": 2800},
        {"num_all": 4000},
        {"num_whole": 6},
        {"num_tail": 6},
        {"has_stage": True},
        {"num_fresh": 10},
        {"decode_s": 5.0},
    ],
)
def test_more_work_takes_longer(more: dict[str, float]) -> None:
    def seconds(work: Work) -> float:
        return estimate(work, SPEED, size=64, epochs=5, num_seeds=3, stage_epochs=2, most_s=1e9).seconds

    assert seconds(dataclasses.replace(WORK, **more)) > seconds(WORK)  # type: ignore[arg-type]
