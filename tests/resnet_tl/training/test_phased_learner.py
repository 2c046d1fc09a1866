"""Linear probing, then fine-tuning: what each phase trains, and that nothing about how it runs changes a bit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.freezing import head_phase
from resnet_tl.heartbeat import Stopped, heard
from resnet_tl.identity import Environment
from resnet_tl.inference.predict import predict
from resnet_tl.inference.predictor import one_network
from resnet_tl.model.starting_point import starting_point
from resnet_tl.result import Epoch, FitResult
from resnet_tl.training.heads_learner import HeadsLearner
from resnet_tl.training.loop import EpochScores
from resnet_tl.training.member import Member
from resnet_tl.training.network_learner import NetworkLearner
from resnet_tl.training.seed_run import fit, fit_in_turn
from tests.conftest import CPU, numbers, trial, write_images
from tests.resnet_tl.conftest import materialised

CHANGES: list[dict[str, Any]] = [
    {"head": "mlp_batchnorm", "augment": ["hflip"], "freeze": "layer3", "schedule": "cosine"},
    {"head": "mlp_leaky_dropout", "optimizer": "adam", "precision": "bf16", "freeze": 0.7},
    {"augment": ["rotation", "mixup"], "bn": "batch_stats", "freeze": "layer2", "optimizer": "adamw"},
]


def two_phases(weights: dict[str, str], **changes: Any) -> TrialConfig:
    values = {"weights": weights["resnet18"], "head_epochs": 2, "epochs": 2, "lr": 3e-3, "monitor": "val/loss"}
    return trial(**values | changes)


def curve(result: FitResult) -> list[dict[str, float]]:
    return [epoch.metrics for epoch in result.history]


@pytest.mark.parametrize("changes", CHANGES)
def test_the_first_phase_has_the_bits_of_a_head_alone(
    prepared: Prepared, weights: dict[str, str], changes: dict[str, Any]
) -> None:
    config = two_phases(weights, **changes)
    alone = head_phase(config)
    assert alone is not None
    assert (alone.epochs, alone.head_epochs, alone.freeze, alone.bn) == (2, 0, "all", "frozen_eval")
    result, of_head = (fit(one, prepared, seed=3, environment=CPU) for one in (config, alone))
    assert curve(result)[:2] == curve(of_head)
    assert [epoch.epoch for epoch in result.history] == [1, 2, 3, 4]
    assert result.max_epoch == 4
    assert [epoch.lr for epoch in result.history[:2]] == [epoch.lr for epoch in of_head.history]


@pytest.mark.parametrize("freeze", ["none", "layer3"])
def test_the_second_phase_begins_with_the_loaded_backbone_the_last_head_and_a_new_optimiser(
    prepared: Prepared, weights: dict[str, str], freeze: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the best head is the first one, and the last one is not it
    config = two_phases(weights, freeze=freeze, head="mlp_batchnorm", lr=1.0, head_epochs=3)
    heads: list[dict[str, torch.Tensor]] = []
    begun: list[dict[str, torch.Tensor]] = []
    of_heads, of_network = HeadsLearner.train_epoch, NetworkLearner.train_epoch

    def train_heads(learner: HeadsLearner, epochs: Mapping[int, int]) -> EpochScores:
        assert torch.get_num_threads() == 1, "with more the bits of heads depend on their company"
        scores = of_heads(learner, epochs)
        heads.append(learner.trained(0))
        return scores

    def train_network(learner: NetworkLearner, epochs: Mapping[int, int]) -> EpochScores:
        assert torch.get_num_threads() == 2
        if not begun:
            assert not learner.optimizer.state
            begun.append({name: tensor.clone() for name, tensor in learner.network.state_dict().items()})
        return of_network(learner, epochs)

    monkeypatch.setattr(HeadsLearner, "train_epoch", train_heads)
    monkeypatch.setattr(NetworkLearner, "train_epoch", train_network)
    result = fit(config, prepared, seed=0, environment=Environment(device="cpu", threads=2))
    losses = [epoch.metrics["val/loss"] for epoch in result.history[:3]]
    assert losses[2] > min(losses), "else the last head is the best too"
    assert len(heads) == 3
    expected = starting_point(config, prepared).network(config, 0, torch.device("cpu")).state_dict()
    expected |= {f"head.{name}": tensor for name, tensor in heads[-1].items()}
    assert begun[0].keys() == expected.keys()
    assert all(torch.equal(begun[0][name], tensor) for name, tensor in expected.items())


def test_each_phase_warms_up_and_falls_by_itself(prepared: Prepared, weights: dict[str, str]) -> None:
    config = two_phases(weights, schedule="step", warmup_epochs=1, head_epochs=3, epochs=3, freeze="layer3")
    rates = [epoch.lr / config.lr for epoch in fit(config, prepared, seed=0, environment=CPU).history]
    assert rates == pytest.approx([1, 0.1, 0.01] * 2)


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("last", [1, pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_run_that_was_killed_in_either_phase_goes_on_with_the_same_bits(
    prepared: Prepared, weights: dict[str, str], tmp_path: Path, changes: dict[str, Any], last: int
) -> None:
    config = two_phases(weights, **changes)
    whole = fit(config, prepared, seed=0, environment=CPU)

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == last + 1:
            raise KeyboardInterrupt

    def run(**options: Any) -> FitResult:
        return fit(config, prepared, seed=0, environment=CPU, folder=tmp_path, save_every_s=0, **options)

    with pytest.raises(KeyboardInterrupt):
        run(on_epoch=kill)
    seen: list[int] = []
    assert numbers(run(on_epoch=lambda epoch: seen.append(epoch.epoch))) == numbers(whole)
    assert seen == [1, 2, 3, 4]


def test_a_rung_may_stand_in_either_phase(prepared: Prepared, weights: dict[str, str], tmp_path: Path) -> None:
    config = two_phases(weights, freeze="layer3")
    whole = fit(config, prepared, seed=0, environment=CPU)
    for until in (1, 2, 3):
        paused = fit(config, prepared, seed=0, environment=CPU, folder=tmp_path, until=until)
        assert (paused.state, len(paused.history), paused.max_epoch) == ("paused", until, 4)
    assert numbers(fit(config, prepared, seed=0, environment=CPU, folder=tmp_path)) == numbers(whole)


def test_a_run_that_is_asked_to_stop_leaves_its_state_in_the_first_phase(
    prepared: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    config = two_phases(weights, freeze="layer3")
    with heard(lambda share: None, lambda: True), pytest.raises(Stopped):
        fit(config, prepared, seed=0, environment=CPU, folder=tmp_path)
    assert (tmp_path / "state.pt").exists()
    resumed = fit(config, prepared, seed=0, environment=CPU, folder=tmp_path)
    assert numbers(resumed) == numbers(fit(config, prepared, seed=0, environment=CPU))


@pytest.mark.parametrize("changes", CHANGES[:2])
def test_stored_features_of_either_phase_change_no_bit(
    prepared: Prepared, weights: dict[str, str], tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = two_phases(weights, **changes)
    alone = head_phase(config)
    assert alone is not None
    own, of_head = materialised(config, prepared, tmp_path), materialised(alone, prepared, tmp_path)
    computed = numbers(fit(config, prepared, seed=0, environment=CPU))
    for features in ({"features": own}, {"head_features": of_head}, {"features": own, "head_features": of_head}):
        assert numbers(fit(config, prepared, seed=0, environment=CPU, **features)) == computed


def test_patience_begins_with_the_second_phase(prepared: Prepared, weights: dict[str, str]) -> None:
    # a learning rate this small changes no decision, so the first epoch stays the best
    config = two_phases(weights, lr=1e-9, patience=2, head_epochs=4, epochs=9, monitor="val/accuracy", freeze="layer3")
    result = fit(config, prepared, seed=0, environment=CPU)
    assert (result.best_epoch, len(result.history), result.max_epoch) == (1, 6, 13)


@pytest.mark.parametrize("changes", [{"lr": 1e-3}, {"lr": 0.02, "backbone_lr_factor": 100.0}])
def test_the_scores_are_those_of_the_selected_epoch_after_a_kill_too(
    prepared: Prepared, weights: dict[str, str], tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = two_phases(weights, **changes)
    whole = fit(config, prepared, seed=0, environment=CPU)
    assert whole.best_epoch is not None
    assert (whole.best_epoch <= 2) == ("backbone_lr_factor" in changes), "else this test shows nothing"
    best = whole.history[whole.best_epoch - 1].metrics
    assert {name: best[name] for name in whole.metrics if name in best} == {
        name: value for name, value in whole.metrics.items() if name.startswith("val/")
    }

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, prepared, seed=0, environment=CPU, folder=tmp_path, on_epoch=kill, save_every_s=0)
    assert numbers(fit(config, prepared, seed=0, environment=CPU, folder=tmp_path)) == numbers(whole)


def selected_first(weights: dict[str, str], **changes: Any) -> TrialConfig:
    """One whose second phase spoils what the first has learnt."""
    return two_phases(weights, lr=0.02, backbone_lr_factor=100.0, **changes)


@pytest.mark.parametrize("freeze", ["none", "layer3"])
def test_a_selected_head_of_the_first_phase_is_stored_on_the_backbone_as_it_was_loaded(
    three_classes: tuple[Prepared, Path], weights: dict[str, str], tmp_path: Path, freeze: str
) -> None:
    data, root = three_classes
    config = selected_first(weights, freeze=freeze)
    result = fit(config, data, seed=0, environment=CPU, folder=tmp_path)
    assert result.best_epoch is not None
    assert result.best_epoch <= 2, "else this test shows nothing"
    alone = head_phase(config)
    assert alone is not None
    assert result.metrics == fit(alone, data, seed=0, environment=CPU).metrics
    network = one_network(tmp_path / "checkpoint").network.state_dict()
    loaded = starting_point(config, data).network(config, 0, torch.device("cpu")).state_dict()
    assert {name.split(".")[0] for name, tensor in network.items() if not torch.equal(tensor, loaded[name])} == {"head"}
    paths = sorted(root.rglob("*.png"))
    classes, p_NK = predict(tmp_path / "checkpoint", paths)
    right = {
        path.name + path.parent.name: classes[row.argmax()] == path.parent.name
        for path, row in zip(paths, p_NK, strict=True)
    }
    images = data.load()
    test = [Path(images.names[index]) for index in images.splits["test"]]
    assert np.mean([right[path.name + path.parent.name] for path in test]) == result.metrics["test/accuracy"]


@pytest.fixture
def three_classes(tmp_path: Path) -> tuple[Prepared, Path]:
    root = write_images(tmp_path / "images", count=20)
    return prepare(DataConfig(source="image_folder", root=str(root), size=32), tmp_path / "cache"), root


def test_a_loss_that_stops_being_finite_is_named_in_either_phase(prepared: Prepared, weights: dict[str, str]) -> None:
    first = fit(two_phases(weights, lr=1e38), prepared, seed=0, environment=CPU)
    assert first.state == "diverged"
    assert "epoch 1" in (first.reason or "")
    second = fit(two_phases(weights, backbone_lr_factor=1e30), prepared, seed=0, environment=CPU)
    assert second.state == "diverged"
    assert "epoch 3" in (second.reason or "")
    assert len(second.history) == 2


def test_runs_that_differ_in_their_end_alone_share_both_phases(
    prepared: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    configs = [two_phases(weights, freeze="layer3", epochs=epochs) for epochs in (1, 3)]
    members = [Member(trial=c, seed=1, folder=tmp_path / str(n)) for n, c in enumerate(configs)]
    found = fit_in_turn(members, prepared, environment=CPU)
    assert [numbers(one) for one in found] == [numbers(fit(c, prepared, seed=1, environment=CPU)) for c in configs]


def test_folds_have_two_phases_each(prepared: Prepared, weights: dict[str, str], tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", count=12)
    data = prepare(DataConfig(source="image_folder", root=str(root), size=32), tmp_path / "cache", folds=3)
    result = fit(two_phases(weights, freeze="layer3"), data, seed=0, environment=CPU)
    assert (result.state, len(result.history)) == ("complete", 4)
