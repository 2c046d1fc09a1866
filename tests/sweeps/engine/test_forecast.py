from types import SimpleNamespace
from typing import Any

import pytest

from resnet_tl.training.timing import StepTimes
from sweeps.engine.forecast import _fit_s, _together_s

TIMES = StepTimes(begin_s=1.0, inputs_s=0.2, step_s=0.3, scored_s=0.1, batch=10, num_steps=4)
DATA: Any = SimpleNamespace(num_images={"train": 40, "val": 20, "test": 30}, scored=("val", "test"))
TWO_EPOCHS: Any = SimpleNamespace(epochs=2)


def test_a_fit_is_its_epochs_with_their_scores_and_the_final_ones() -> None:
    # an epoch: 4 steps, and 2 batches of val; at the end 5 batches
    assert _fit_s(TIMES, TWO_EPOCHS, DATA, is_stored=False, is_last=True) == pytest.approx(
        1 + 2 * (4 * 0.5 + 2 * 0.3) + 5 * 0.3
    )
    assert _fit_s(TIMES, TWO_EPOCHS, DATA, is_stored=True, is_last=True) == pytest.approx(
        1 + 2 * (4 * 0.3 + 2 * 0.1) + 5 * 0.1
    )


def test_jobs_go_to_the_worker_that_is_free_first() -> None:
    assert _together_s([3, 1, 1, 1], 2) == 3
    assert _together_s([3, 1, 1, 3], 2) == 5
    assert _together_s([], 2) == 0
