import pytest

from resnet_tl.config import TrialConfig
from sweeps.planning.pace import WITHOUT_COST, Pace, epoch_cost, shape_of


def trial(**changes: object) -> TrialConfig:
    given = {"backbone": "resnet18", "weights": "none", "optimizer": "sgd", "lr": 0.1, "epochs": 3, "batch_size": 8}
    return TrialConfig.model_validate(given | changes)


def test_options_without_cost_are_options() -> None:
    assert set(TrialConfig.model_fields) >= WITHOUT_COST


def test_a_shape_is_what_decides_the_time_of_an_epoch() -> None:
    assert shape_of(trial()) == shape_of(trial(lr=0.2, epochs=9))
    assert shape_of(trial()) != shape_of(trial(freeze="all"))
    assert shape_of(trial()) != shape_of(trial(batch_size=4))
    assert shape_of(trial(freeze=0.8)) == shape_of(trial(freeze=0.9)), "the same tensors are frozen"


def test_nothing_is_said_before_an_epoch_has_ended() -> None:
    pace = Pace()
    assert pace.left_s({"a": 10}, 1, num_runs=9) is None
    pace.follow("job", "a", epochs=0.9, seconds=50)
    assert pace.left_s({"a": 10}, 1, num_runs=9) is None
    pace.follow("job", "a", epochs=1, seconds=2)
    assert pace.left_s({"a": 10}, 1, num_runs=9) == pytest.approx(18)


def test_each_shape_has_its_own_pace_and_unknown_ones_have_the_mean() -> None:
    pace = Pace()
    pace.learn("slow", epochs=10, seconds=100)
    pace.learn("fast", epochs=10, seconds=10)
    assert pace.left_s({"slow": 3, "fast": 5}, 1, num_runs=9) == pytest.approx(35)
    assert pace.left_s({"slow": 3, "fast": 5}, 2, num_runs=9) == pytest.approx(17.5)
    assert pace.left_s({None: 2, "other": 2}, 1, num_runs=9) == pytest.approx(4 * 5.5)


def test_what_a_running_job_has_done_is_not_left() -> None:
    pace = Pace()
    pace.learn("a", epochs=10, seconds=100)
    pace.follow("job", "a", epochs=4, seconds=40)
    assert pace.left_s({"a": 10}, 1, num_runs=9) == pytest.approx(60)
    pace.forget("job")
    assert pace.left_s({"a": 10}, 1, num_runs=9) == pytest.approx(100)


def test_more_workers_than_seed_runs_make_nothing_quicker() -> None:
    pace = Pace()
    pace.learn("a", epochs=10, seconds=100)
    assert pace.left_s({"a": 10}, 8, num_runs=1) == pytest.approx(100)
    assert pace.left_s({}, 8, num_runs=0) == 0


def test_a_shape_that_has_not_run_is_reckoned_by_what_it_computes() -> None:
    whole, heads = trial(), trial(freeze="all")
    pace = Pace()
    pace.expect("whole", epoch_cost(whole, 3, is_stored=False))
    pace.expect("heads", epoch_cost(heads, 3, is_stored=True))
    pace.learn("whole", epochs=10, seconds=100)
    left = pace.left_s({"heads": 10}, 1, num_runs=9)
    assert left is not None
    assert 0 < left < 1, "not the 100 seconds of whole networks"
    assert epoch_cost(heads, 3, is_stored=False) > 0.3 * epoch_cost(whole, 3, is_stored=False)
