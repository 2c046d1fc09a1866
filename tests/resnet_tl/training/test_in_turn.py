"""Runs that differ in their end alone: each has the bits that it would have alone."""

from pathlib import Path

import pytest

from resnet_tl.data.prepare import Prepared
from resnet_tl.training.member import Member, common_beginning
from resnet_tl.training.network_learner import NetworkLearner
from resnet_tl.training.seed_run import fit, fit_in_turn
from tests.conftest import CPU, numbers, trial

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Epochs that are trained from now on."""
    found: list[int] = []
    train_epoch = NetworkLearner.train_epoch

    def counted(learner: NetworkLearner, epochs: dict[int, int]) -> object:
        found.extend(epochs.values())
        return train_epoch(learner, epochs)

    monkeypatch.setattr(NetworkLearner, "train_epoch", counted)
    return found


@pytest.mark.parametrize("changes", [{}, {"freeze": "layer3", "optimizer": "adam", "warmup_epochs": 1}])
def test_each_has_the_bits_of_a_run_alone_and_the_beginning_is_trained_once(
    prepared: Prepared, tmp_path: Path, trained: list[int], changes: dict[str, object]
) -> None:
    ends: list[dict[str, object]] = [{"epochs": 5}, {"epochs": 2}, {"epochs": 5, "patience": 1}, {"epochs": 3}]
    configs = [trial(head="mlp_batchnorm", augment=["hflip"], **changes, **end) for end in ends]
    alone = [fit(config, prepared, seed=1, environment=CPU) for config in configs]
    trained.clear()
    members = [Member(trial=c, seed=1, folder=tmp_path / str(n)) for n, c in enumerate(configs)]
    told: dict[int, list[int]] = {}
    found = fit_in_turn(
        members,
        prepared,
        environment=CPU,
        on_epoch=lambda number, epoch: told.setdefault(number, []).append(epoch.epoch),
    )
    assert [numbers(result) for result in found] == [numbers(result) for result in alone]
    assert told[0] == [1, 2, 3, 4, 5], "those of the common beginning are told for each"
    patient = len(alone[2].history)
    shared = [1, 2, 3, 4, 5] if patient <= 2 else [*range(1, patient + 1), *range(1, 6)]
    assert sorted(trained) == sorted(shared), "one that patience ends late is no beginning of a shorter one"


def test_the_end_of_a_run_says_how_it_trains_under_a_schedule_that_hangs_on_it() -> None:
    assert common_beginning(trial(epochs=2)) == common_beginning(trial(epochs=9, patience=3))
    assert common_beginning(trial(epochs=2)) != common_beginning(trial(epochs=2, lr=0.5))
    assert common_beginning(trial(epochs=2, schedule="cosine")) is None
    assert common_beginning(trial(epochs=2, schedule="step")) is None


def test_after_a_kill_none_of_it_is_trained_again(prepared: Prepared, tmp_path: Path, trained: list[int]) -> None:
    configs = [trial(epochs=epochs) for epochs in (2, 4)]
    members = [Member(trial=c, seed=0, folder=tmp_path / str(n)) for n, c in enumerate(configs)]
    alone = [numbers(fit(config, prepared, seed=0, environment=CPU)) for config in configs]

    class Killed(Exception):
        pass

    def kill_in_the_second(number: int, _: object) -> None:
        if number == 1:
            raise Killed

    with pytest.raises(Killed):
        fit_in_turn(members, prepared, environment=CPU, on_epoch=kill_in_the_second)
    trained.clear()
    assert [numbers(result) for result in fit_in_turn(members, prepared, environment=CPU)] == alone
    assert trained == [3, 4]


def test_at_a_rung_each_has_a_state_of_its_own_and_goes_on_from_there(
    prepared: Prepared, tmp_path: Path, trained: list[int]
) -> None:
    configs = [trial(epochs=epochs) for epochs in (4, 5, 6)]
    alone = [numbers(fit(config, prepared, seed=0, environment=CPU)) for config in configs]
    members = [Member(trial=c, seed=0, folder=tmp_path / str(n), until=2) for n, c in enumerate(configs)]
    paused = fit_in_turn(members, prepared, environment=CPU)
    assert {result.state for result in paused} == {"paused"}
    assert all((tmp_path / str(n) / "state.pt").exists() for n in range(3))
    trained.clear()
    whole = [Member(trial=c, seed=0, folder=tmp_path / str(n)) for n, c in enumerate(configs)]
    assert [numbers(result) for result in fit_in_turn(whole, prepared, environment=CPU)] == alone
    assert trained == [3, 4, 5, 6]
