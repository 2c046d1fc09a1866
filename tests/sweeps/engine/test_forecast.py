from types import SimpleNamespace
from typing import Any

import pytest

from resnet_tl.training.timing import StepTimes
from sweeps.engine.forecast import _fit_s, _Item, _Timing, _together_s
from sweeps.planning.feature_reuse import Reuse
from tests.conftest import trial

TIMES = StepTimes(begin_s=1.0, inputs_s=0.2, step_s=0.3, scored_s=0.1, batch=10, num_steps=4)
DATA: Any = SimpleNamespace(
    num_images={"train": 40, "val": 20, "test": 30}, scored=("val", "test"), folds=0, channels=3, fingerprint="images"
)
TWO_EPOCHS: Any = SimpleNamespace(epochs=2)


def test_a_fit_is_its_epochs_with_their_scores_and_the_final_ones() -> None:
    # an epoch: 4 steps, and 2 batches of val; at the end 5 batches
    computed = _fit_s(TIMES, TWO_EPOCHS, DATA, is_stored=False, is_last=True)
    assert computed == pytest.approx(1 + 2 * (4 * 0.5 + 2 * 0.3) + 5 * 0.3)
    stored = _fit_s(TIMES, TWO_EPOCHS, DATA, is_stored=True, is_last=True)
    assert stored == pytest.approx(1 + 2 * (4 * 0.3 + 2 * 0.1) + 5 * 0.1)
    assert _fit_s(TIMES, TWO_EPOCHS, DATA, is_stored=True, is_last=False) == pytest.approx(stored - 5 * 0.1)


def test_jobs_go_to_the_worker_that_is_free_first() -> None:
    assert _together_s([3, 1, 1, 1], 2) == 3
    assert _together_s([3, 1, 1, 3], 2) == 5
    assert _together_s([], 2) == 0


def groups(items: list[_Item]) -> list[tuple[int, bool]]:
    study: Any = SimpleNamespace(
        environment=SimpleNamespace(device="cpu"), data=DATA, data_of=lambda _: DATA, prefix=lambda _: None
    )
    executor: Any = SimpleNamespace(slots=[None, None])
    timing = _Timing(study, Reuse(decisions=()), executor, with_weights=True)
    return [(len(group), in_turn) for group, in_turn in timing._groups(items)]


def test_trials_to_come_are_no_one_training() -> None:
    config = trial(epochs=3, freeze="none", schedule="constant")
    assert groups([_Item(config=config, seed=0, number=None) for _ in range(7)]) == [(1, True)] * 7


def test_known_trials_that_differ_in_their_end_are_one_training_for_each_seed() -> None:
    configs = [trial(epochs=epochs, freeze="none", schedule="constant") for epochs in (1, 2, 4)]
    items = [_Item(config=own, seed=seed, number=number) for number, own in enumerate(configs) for seed in (0, 1)]
    assert groups(items) == [(3, True), (3, True)]
    assert groups([_Item(config=trial(epochs=2, schedule="cosine"), seed=0, number=0)]) == [(1, False)]
