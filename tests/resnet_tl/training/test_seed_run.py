"""The semantics of one seed run, each with a test that fails when the rule is broken."""

import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from resnet_tl import predictions
from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.errors import CheckpointError, ConfigError, DataError, WeightsError
from resnet_tl.freezing import num_frozen
from resnet_tl.heartbeat import heard
from resnet_tl.inference import export, predict
from resnet_tl.inference.pictures import find_images
from resnet_tl.metrics import METRICS
from resnet_tl.model import checkpoint
from resnet_tl.result import Epoch
from resnet_tl.seeding import derive, uniforms_BW
from resnet_tl.training.network_learner import NetworkLearner
from resnet_tl.training.pretraining import pretrain
from resnet_tl.training.seed_run import fit
from tests.conftest import CPU, Run, numbers, trial, write_images

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


def test_the_same_seed_gives_the_same_bits_and_another_does_not(prepared: Prepared) -> None:
    config = trial(head="mlp_leaky_dropout", augment=["hflip", "rotation"])
    first, again, other = (fit(config, prepared, seed=seed, environment=CPU) for seed in (3, 3, 4))
    assert numbers(first) == numbers(again)
    assert first.metrics != other.metrics


@pytest.mark.parametrize("changes", [{}, {"freeze": 0.7, "optimizer": "adam", "precision": "bf16"}, {"patience": 2}])
def test_a_run_that_was_killed_goes_on_with_the_same_bits(
    prepared: Prepared, tmp_path: Path, changes: dict[str, object]
) -> None:
    config = trial(epochs=4, head="mlp_batchnorm", schedule="cosine", augment=["hflip"], **changes)
    whole = fit(config, prepared, seed=0, environment=CPU)

    class Killed(Exception):
        pass

    def kill_after_two(epoch: Epoch) -> None:
        if epoch.epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        fit(config, prepared, seed=0, environment=CPU, folder=tmp_path, on_epoch=kill_after_two, save_every_s=0)
    seen: list[int] = []
    resumed = fit(
        config,
        prepared,
        seed=0,
        environment=CPU,
        folder=tmp_path,
        on_epoch=lambda e: seen.append(e.epoch),
        save_every_s=0,
    )
    assert numbers(resumed) == numbers(whole)
    assert seen == [epoch.epoch for epoch in whole.history]


@pytest.mark.parametrize("content", [[1, 2], {"epochs": []}, {"identity": 3}, 7])
def test_what_is_no_state_of_ours_is_dropped_with_a_warning(
    prepared: Prepared, tmp_path: Path, content: object
) -> None:
    torch.save(content, tmp_path / "state.pt")
    with pytest.warns(UserWarning, match="another run"):
        assert fit(trial(epochs=1), prepared, seed=0, environment=CPU, folder=tmp_path).state == "complete"
    assert not (tmp_path / "state.pt").exists()


@pytest.mark.filterwarnings("error:.*another run")
def test_a_state_is_known_whatever_says_nothing_of_its_numbers(
    images: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    moved = shutil.copy(weights["resnet18"], tmp_path / "elsewhere.pth")
    config = trial(weights=weights["resnet18"], freeze="layer3", optimizer="adam", head="mlp_relu", epochs=3)
    same = {"weights": str(moved), "momentum": 0.5, "trainable_blocks": 2, "head": "mlp", "criterion": "cross_entropy"}
    spelled = TrialConfig.model_validate(config.model_dump(exclude={"freeze"}) | same)
    assert num_frozen(spelled, 3) == num_frozen(config, 3)

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(config, images, seed=0, environment=CPU, folder=folder, on_epoch=stop, save_every_s=0)
    assert (folder / "state.pt").exists()
    resumed = fit(spelled, images, seed=0, environment=CPU, folder=folder)
    assert numbers(resumed) == numbers(fit(config, images, seed=0, environment=CPU))


def test_a_damaged_or_foreign_state_is_dropped_with_a_warning(prepared: Prepared, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"nonsense")
    with pytest.warns(UserWarning, match="damaged"):
        first = fit(trial(epochs=1), prepared, seed=0, environment=CPU, folder=tmp_path)
    assert first.state == "complete"

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(trial(epochs=3), prepared, seed=0, environment=CPU, folder=tmp_path, on_epoch=stop, save_every_s=0)
    with pytest.warns(UserWarning, match="another run"):
        fit(trial(epochs=1), prepared, seed=1, environment=CPU, folder=tmp_path)


def relabelled(data: Prepared, tmp_path: Path, split: str) -> Prepared:
    """The same set with the labels of one split moved on by one class."""
    folder = shutil.copytree(data.folder, tmp_path / "relabelled")
    table = (folder / "data.json").read_text()
    content = json.loads(table)
    content["labels"] = [
        (label + 1) % 3 if where == split else label
        for label, where in zip(content["labels"], content["splits"], strict=True)
    ]
    (folder / "data.json").write_text(json.dumps(content))
    return dataclasses.replace(data, folder=str(folder))


def test_the_test_split_steers_nothing(prepared: Prepared, tmp_path: Path) -> None:
    config = trial(epochs=4)
    honest = fit(config, prepared, seed=0, environment=CPU)
    other = fit(config, relabelled(prepared, tmp_path, "test"), seed=0, environment=CPU)
    assert honest.best_epoch == other.best_epoch
    changed = {name.split("/")[0] for name, value in honest.metrics.items() if other.metrics[name] != value}
    assert changed == {"test"}


def test_the_best_epoch_is_selected_on_val_and_ties_go_to_the_earlier(prepared: Prepared) -> None:
    for monitor, pick in (("val/accuracy", max), ("val/loss", min)):
        result = fit(trial(epochs=5, monitor=monitor), prepared, seed=0, environment=CPU)
        values = [epoch.metrics[monitor] for epoch in result.history]
        assert result.best_epoch == values.index(pick(values)) + 1
        assert result.metrics[monitor] == pick(values), "the final scores are those of the selected network"


def test_patience_stops_after_that_many_epochs_without_improvement(prepared: Prepared) -> None:
    # a learning rate this small changes no decision, so the first epoch stays the best
    result = fit(trial(epochs=30, lr=1e-9, patience=3, freeze="all"), prepared, seed=0, environment=CPU)
    assert (result.best_epoch, len(result.history), result.max_epoch) == (1, 4, 30)


def test_a_loss_that_stops_being_finite_names_its_epoch_and_step(prepared: Prepared) -> None:
    result = fit(trial(lr=1e30, epochs=3), prepared, seed=0, environment=CPU)
    assert result.state == "diverged"
    assert result.metrics == {}
    assert result.best_epoch is None
    assert "epoch 1, step" in (result.reason or "")


def test_all_metrics_are_there_on_val_and_test(prepared: Prepared) -> None:
    result = fit(trial(), prepared, seed=0, environment=CPU)
    names = {f"{s}/{m}" for s in ("val", "test") for m in METRICS}
    assert set(result.metrics) == names
    assert len(predictions.unpack(result.compact["test"]).right_N) == prepared.num_images["test"]


def test_two_classes_use_one_logit_unless_asked_otherwise(binary: Prepared, tmp_path: Path) -> None:
    fit(trial(), binary, seed=0, environment=CPU, folder=tmp_path / "bce")
    fit(trial(criterion="cross_entropy"), binary, seed=0, environment=CPU, folder=tmp_path / "ce")
    assert checkpoint.read_card(tmp_path / "bce" / "checkpoint").num_outputs == 1
    assert checkpoint.read_card(tmp_path / "ce" / "checkpoint").num_outputs == 2


def test_a_network_learns(prepared: Prepared) -> None:
    result = fit(trial(epochs=10, optimizer="adam", lr=1e-3), prepared, seed=0, environment=CPU)
    assert result.history[-1].metrics["train/accuracy"] > 0.9
    assert result.metrics["test/accuracy"] > 0.6


@pytest.mark.parametrize(
    "changes", [{"augment": ["mixup", "cutmix"]}, {"label_smoothing": 0.1}, {"optimizer": "adamw", "weight_decay": 0.1}]
)
def test_options_change_the_result(prepared: Prepared, changes: dict[str, object]) -> None:
    assert (
        fit(trial(**changes), prepared, seed=0, environment=CPU).metrics
        != fit(trial(), prepared, seed=0, environment=CPU).metrics
    )


@pytest.mark.parametrize("balanced", ["oversample", "class_weights"])
def test_balancing_changes_what_rare_classes_weigh(tmp_path: Path, balanced: str) -> None:
    root = write_images(tmp_path / "images", classes=("bars", "dots"), count=20)
    for path in sorted((root / "dots").iterdir())[5:]:
        path.unlink()
    results = []
    for choice in (False, balanced):
        data = prepare(DataConfig(source="image_folder", root=str(root), size=32, balanced=choice), tmp_path / "cache")
        results.append(fit(trial(), data, seed=0, environment=CPU))
    assert results[0].metrics != results[1].metrics


class TestCheckpoints:
    @pytest.fixture(scope="class")
    @classmethod
    def base(cls, binary: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
        cache = tmp_path_factory.mktemp("cache")
        made = pretrain(trial(), binary, seed=0, environment=CPU, cache=cache)
        assert pretrain(trial(), binary, seed=0, environment=CPU, cache=cache) == made
        return made

    def test_a_frozen_fit_stores_what_moved_and_rebuilds_the_rest(
        self, base: Path, prepared: Prepared, tmp_path: Path, folder: Path
    ) -> None:
        mine = Path(shutil.copytree(base, tmp_path / "base"))
        config = trial(weights=str(mine), freeze=0.7)
        result = fit(config, prepared, seed=0, environment=CPU, folder=tmp_path / "run")
        stored = tmp_path / "run" / "checkpoint"
        assert (stored / "model.safetensors").stat().st_size < 12e6  # a whole ResNet-18 is 45 MB
        images = sorted(folder.rglob("*.png"))
        classes, p = predict.predict(stored, images)
        assert classes == prepared.classes
        expected = np.mean([classes[row.argmax()] == path.parent.name for row, path in zip(p, images, strict=True)])
        assert expected > 0.3
        export.export(stored, tmp_path / "whole")
        shutil.rmtree(mine)
        assert np.array_equal(predict.predict(tmp_path / "whole", images)[1], p)
        with pytest.raises(CheckpointError, match="on top of the weights .* cannot be had"):
            predict.predict(stored, images)
        assert result.num_trainable == pytest.approx(2_362_883, abs=5_000)

    def test_predictions_are_those_of_the_scored_network(self, prepared: Prepared, tmp_path: Path) -> None:
        result = fit(trial(epochs=3), prepared, seed=0, environment=CPU, folder=tmp_path)
        images = prepared.load()
        test = images.splits["test"]
        _, p = predict.predict(tmp_path / "checkpoint", [Path(images.names[index]) for index in test])
        labels = images.labels_N[test]
        assert (p.argmax(1) == labels).mean() == pytest.approx(result.metrics["test/accuracy"])
        assert -np.log(p[np.arange(len(p)), labels]).mean() == pytest.approx(result.metrics["test/loss"], rel=1e-5)

    def test_damage_is_found(self, prepared: Prepared, tmp_path: Path) -> None:
        fit(trial(epochs=1), prepared, seed=0, environment=CPU, folder=tmp_path)
        path = tmp_path / "checkpoint" / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="it is damaged"):
            export.rebuild(tmp_path / "checkpoint")
        (tmp_path / "checkpoint" / "model.json").write_text("{")
        with pytest.raises(CheckpointError, match=r"model.json is damaged"):
            export.rebuild(tmp_path / "checkpoint")
        with pytest.raises(CheckpointError, match=r"holds no model.json"):
            export.rebuild(tmp_path)

    def test_weights_of_another_depth_are_refused(self, base: Path, prepared: Prepared) -> None:
        with pytest.raises(WeightsError, match="holds a resnet18, but `trial.backbone` is resnet34"):
            fit(trial(weights=str(base), backbone="resnet34"), prepared, seed=0, environment=CPU)

    def test_images_that_cannot_be_classified_are_all_named(self, prepared: Prepared, tmp_path: Path) -> None:
        fit(trial(epochs=1), prepared, seed=0, environment=CPU, folder=tmp_path)
        (tmp_path / "a.png").write_text("no image")
        (tmp_path / "b.png").write_bytes(b"")
        with pytest.raises(DataError) as caught:
            predict.predict(tmp_path / "checkpoint", find_images(str(tmp_path)).files)
        assert "a.png is not an image" in str(caught.value)
        assert "b.png is empty" in str(caught.value)
        with pytest.raises(DataError, match="must name files that exist"):
            find_images(str(tmp_path / "nothing.png"))

    def test_one_broken_image_costs_no_other_its_result(
        self, prepared: Prepared, folder: Path, tmp_path: Path, run: Run
    ) -> None:
        fit(trial(epochs=1), prepared, seed=0, environment=CPU, folder=tmp_path)
        shutil.copy(folder / "dots" / "00.png", folder / "dots" / "named.jfif")
        for name in (".ipynb_checkpoints/00.png", "dots/notes.txt", "Thumbs.db", "bars/broken.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"no image")
        done = run("resnet_tl.predict", f"checkpoint={tmp_path / 'checkpoint'}", f"images={folder}", "out=out.csv")
        assert done.returncode == 1
        assert done.stderr.splitlines()[0] == "1 of 38 images cannot be classified:"
        assert "broken.png is not an image of a known format" in done.stderr
        assert "3 files and folders are no samples and are passed over: " in done.stdout
        rows = (tmp_path / "out.csv").read_text().splitlines()
        assert len(rows) == 1 + 37
        assert sum("named.jfif" in row for row in rows) == 1
        whole = predict.predict(tmp_path / "checkpoint", [folder / "dots" / "00.png"])[1][0]
        row = next(row for row in rows if "dots/00.png" in row)
        assert [float(p) for p in row.split(",")[2:]] == pytest.approx(whole, rel=1e-4)

    @pytest.mark.parametrize("option", [{"bits": 12}, {"resize": "pad", "size": 32}])
    def test_images_are_read_as_in_training(self, tmp_path: Path, option: dict[str, object]) -> None:
        draws = np.random.default_rng(0)
        for name in ("a", "b"):
            (tmp_path / "images" / name).mkdir(parents=True)
            for index in range(8):
                values = draws.integers(0, 4096, (32, 32 if "bits" in option else 48)).astype(np.uint16)
                image = Image.fromarray(values if "bits" in option else (values // 16).astype(np.uint8))
                image.save(tmp_path / "images" / name / f"{index}.png")
        config = DataConfig.model_validate({"source": "image_folder", "root": str(tmp_path / "images")} | option)
        data = prepare(config, tmp_path / "cache")
        result = fit(trial(epochs=1), data, seed=0, environment=CPU, folder=tmp_path)
        images = data.load()
        test = images.splits["test"]
        p = predict.predict(tmp_path / "checkpoint", [Path(images.names[index]) for index in test])[1]
        loss = -np.log(p[np.arange(len(p)), images.labels_N[test]]).mean()
        assert loss == pytest.approx(result.metrics["test/loss"], rel=1e-5)


def test_backbones_without_weights_are_drawn_from_the_seed(prepared: Prepared) -> None:
    with pytest.warns(UserWarning, match="random weights"):
        fit(trial(freeze=0.5, epochs=1), prepared, seed=0, environment=CPU)


def test_evaluating_more_does_not_shift_training(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    config = trial(head="mlp_leaky_dropout", augment=["rotation"])
    plain = fit(config, prepared, seed=0, environment=CPU)
    logits = NetworkLearner.logits

    def twice(self: NetworkLearner, split: str, members: Sequence[int]) -> object:
        torch.rand(7)  # draws of somebody else
        logits(self, "train", members)
        return logits(self, split, members)

    monkeypatch.setattr(NetworkLearner, "logits", twice)
    assert numbers(fit(config, prepared, seed=0, environment=CPU)) == numbers(plain)


def test_dropout_is_drawn_for_each_sample_and_epoch(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[int, list[int]] = {}

    def spy(key: int, samples: np.ndarray, width: int) -> np.ndarray:
        drawn.setdefault(key, []).extend(samples.tolist())
        return uniforms_BW(key, samples, width)

    monkeypatch.setattr("resnet_tl.training.network_learner.uniforms_BW", spy)
    fit(trial(epochs=3, head="mlp_leaky_dropout"), prepared, seed=5, environment=CPU)
    assert list(drawn) == [derive(5, "dropout", epoch) for epoch in (1, 2, 3)]
    assert all(len(set(samples)) == prepared.num_images["train"] for samples in drawn.values())


def test_a_full_disk_costs_the_files_of_a_run_and_not_its_scores(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(trial(), prepared, seed=0, environment=CPU, folder=tmp_path / "whole")
    assert whole.unsaved is None

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    short = fit(trial(), prepared, seed=0, environment=CPU, folder=tmp_path / "short")
    assert short.unsaved == str(tmp_path / "short" / predictions.FILE)
    assert numbers(dataclasses.replace(short, unsaved=None)) == numbers(whole)
    with pytest.raises(OSError, match="No space left"):  # a stage is nothing but its network
        pretrain(trial(), prepared, seed=0, environment=CPU, cache=tmp_path / "cache")


def test_a_disk_that_is_full_for_a_while_costs_the_training_state_alone(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(trial(epochs=3), prepared, seed=0, environment=CPU, folder=tmp_path / "whole")
    fsync = os.fsync

    def full(number: int) -> None:
        if "state.pt" in str(Path(f"/proc/self/fd/{number}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="the training state is not saved, since the disk is full"):
        short = fit(trial(epochs=3), prepared, seed=0, environment=CPU, folder=tmp_path / "short", save_every_s=0)
    assert numbers(short) == numbers(whole)


@pytest.mark.parametrize("changes", [{}, {"freeze": "all"}, {"freeze": "layer2"}])
def test_every_batch_is_a_sign_of_life(prepared: Prepared, changes: dict[str, object]) -> None:
    beats: list[int] = []
    with heard(lambda share: beats.append(1)):
        fit(trial(epochs=3, **changes), prepared, seed=0, environment=CPU)
    assert len(beats) >= 3 * prepared.num_images["train"] // 8


def test_who_waits_for_another_stage_gives_signs_of_life(prepared: Prepared, tmp_path: Path) -> None:
    made = pretrain(trial(), prepared, seed=0, environment=CPU, cache=tmp_path)
    lock = FileLock(made.parent / "lock")
    lock.acquire()
    beats: list[int] = []

    def listen(share: float | None) -> None:
        beats.append(1)
        if len(beats) == 2:
            lock.release()

    with heard(listen):
        assert pretrain(trial(), prepared, seed=0, environment=CPU, cache=tmp_path) == made
    assert len(beats) == 2


@pytest.mark.parametrize("freeze", ["none", "all"])
def test_a_score_that_val_cannot_give_is_refused_before_training(tmp_path: Path, freeze: str) -> None:
    write_images(tmp_path / "images" / "train")
    write_images(tmp_path / "images" / "val", classes=("bars",))
    data = prepare(DataConfig(source="image_folder", root=str(tmp_path / "images"), size=32), tmp_path / "cache")
    with pytest.raises(ConfigError, match="`val/auroc` needs images of two classes in val"):
        fit(trial(monitor="val/auroc", freeze=freeze), data, seed=0, environment=CPU)
