"""What is computed once is decided before anything is computed."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_tl.architecture import pieces
from resnet_tl.data.cache import entries
from resnet_tl.data.prepare import Prepared
from resnet_tl.freezing import is_head_only
from resnet_tl.predictions import FILE, write
from sweeps.definition.check import build
from sweeps.engine import prepared_study
from sweeps.engine.prepared_study import PreparedStudy, prepare_study
from sweeps.planning import feature_reuse
from sweeps.planning.feature_reuse import Decision, predictions_bytes, worker_bytes
from tests.conftest import write_images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


def study_of(root: Path, space: Any = None, *, trial: Any = None, run: Any = None, **study: Any) -> PreparedStudy:
    data = {"source": "image_folder", "root": str(root), "size": 32}
    base = {"backbone": "resnet18", "weights": "pre", "optimizer": "sgd", "epochs": 4, "batch_size": 8, "lr": 0.01}
    raw = {
        "study": {
            "name": "s", "question": "?", "method": "grid", "direction": "maximize", "seeds": [0, 1],
            "space": space or {"momentum": {"values": [0.0, 0.9]}},
        } | study,
        "trial": base | (trial or {}),
        "data": data,
        "run": {"cache": str(root.parent / "cache"), "out": str(root.parent)} | (run or {}),
        "pretrain": {"pre": {"trial": {"optimizer": "sgd", "lr": 0.01, "epochs": 1, "batch_size": 8}, "data": data}},
    }  # fmt: skip
    return prepare_study(build(raw), None)


def decisions(made: PreparedStudy) -> tuple[Decision, ...]:
    todo = [(trial.config, len(made.study.seeds)) for trial in made.plan.trials]
    return made.decide_reuse(todo, made.plan.to_ask).decisions


def test_passes_are_counted_exactly(root: Path) -> None:
    (found,) = decisions(study_of(root, trial={"freeze": "all"}))
    # 36 images, 24 of train: 2 trials x 2 seeds x (4 epochs x (train + val) + the final scores of val and test)
    assert found.seed_runs == 4
    assert found.passes == 4 * (4 * (24 + 6) + 12)
    assert found.passes_once == 36
    assert found.num_bytes == 36 * 512 * 4
    assert found.reuse
    (flipped,) = decisions(study_of(root, trial={"freeze": "all", "augment": "hflip", "precision": "bf16"}))
    assert flipped.passes_once == 36 + 24, "val and test are never flipped"
    assert flipped.num_bytes == 60 * 512 * 2


def test_a_first_phase_shares_the_whole_backbone_with_trials_that_train_a_head_alone(root: Path) -> None:
    space = {
        "freeze": {"values": ["none", "layer3", "all"]},
        "head_epochs": {"values": [0, 3], "when": {"freeze": "layer3"}},
    }
    found = {pieces("resnet18")[d.prefix.cut - 1]: d for d in decisions(study_of(root, space))}
    assert set(found) == {"layer3.1", "pool"}
    assert found["layer3.1"].passes == 2 * 2 * (4 * (24 + 6) + 12)
    # 2 seeds: a head alone for 4 epochs, which is scored, and one for 3, which is not
    assert found["pool"].passes == 2 * (4 * (24 + 6) + 12) + 2 * 3 * (24 + 6)
    assert found["pool"].seed_runs == 4
    assert is_head_only(found["pool"].trial, 3), "whoever computes it must freeze all of it"


def test_with_folds_images_are_met_by_all_fits_and_stored_once(root: Path) -> None:
    (found,) = decisions(study_of(root, trial={"freeze": "all", "augment": "hflip"}, folds=3))
    # 36 images: 2 trials x 2 seeds x (4 epochs x (3 fits x (12 of train + 12 of val)) + each once as val and as test)
    assert found.passes == 4 * (4 * 3 * (12 + 12) + 72)
    assert found.passes_once == 36 + 36, "any image may be one of train, and flipped"
    assert found.reuse


def test_trials_with_the_same_front_share_it_and_others_have_their_own(root: Path) -> None:
    space = {"freeze": {"values": ["none", "layer2", 0.7, 0.8, 0.9, "all"]}}
    found = decisions(study_of(root, space))
    names = {pieces("resnet18")[d.prefix.cut - 1]: d.seed_runs for d in found}
    # 0.8 and 0.9 are one network
    assert names == {"layer2.1": 2, "layer4.1.conv1": 2, "layer4.1.conv2": 2, "pool": 2}


@pytest.mark.parametrize(
    ("trial", "run", "why"),
    [
        ({}, {"reuse": "off"}, "run.reuse is off"),
        ({}, {"cache_gb": 1e-6}, "the cache has room for"),
    ],
)
def test_what_is_not_stored_says_why(root: Path, trial: Any, run: Any, why: str) -> None:
    (found,) = decisions(study_of(root, trial={"freeze": "all"} | trial, run=run))
    assert not found.reuse
    assert why in found.describe()


def test_what_is_saved_is_said_in_images_that_go_through_the_network(root: Path) -> None:
    (found,) = decisions(study_of(root, trial={"freeze": "all"}))
    assert found.describe() == (
        "resnet18 up to pool, fp32: 4 seed runs would send 528 images through it; instead 36 go through once and what "
        "it makes of them is stored (73.7 kB), 15 times fewer"
    )
    (one,) = decisions(study_of(root, {"momentum": {"values": [0.0]}}, trial={"freeze": "all"}, seeds=[0]))
    assert ": 1 seed run would send 132 images through it; instead" in one.describe()
    (off,) = decisions(study_of(root, trial={"freeze": "all"}, run={"reuse": "off"}))
    assert off.describe().endswith("528 images through it, and will, since run.reuse is off")


def test_reading_back_may_cost_more_than_computing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_reuse, "READ_PER_S", 1.0)
    (found,) = decisions(study_of(root, trial={"freeze": "layer1"}))
    assert not found.reuse
    assert "reading them back would take longer" in found.describe()


def test_trials_that_are_yet_to_be_proposed_are_counted(root: Path) -> None:
    made = study_of(
        root, {"weight_decay": {"min": 1e-4, "max": 1e-1}}, trial={"freeze": "all"}, method="random", trials=10
    )
    (found,) = decisions(made)
    assert made.plan.to_ask == 10
    assert found.seed_runs >= 20


def test_where_room_is_short_what_saves_most_for_its_bytes_comes_first(root: Path) -> None:
    space = {"freeze": {"values": ["layer1", "all"]}}
    sizes = {d.prefix.cut: d.num_bytes for d in decisions(study_of(root, space))}
    need = min(sizes.values()) + 1000
    there = sum(entry.num_bytes for entry in entries(root.parent / "cache"))
    found = decisions(study_of(root, space, run={"cache_gb": (there + need) / 1e9}))
    assert {pieces("resnet18")[d.prefix.cut - 1]: d.reuse for d in found} == {"pool": True, "layer1.1": False}


def test_features_that_would_not_fit_into_memory_are_not_stored(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_study, "feature_bytes", lambda _: 100_000)
    (found,) = decisions(study_of(root, trial={"freeze": "all"}, run={"workers": 2}))
    assert "would not fit into memory" in found.describe()


def test_the_memory_of_a_worker_grows_with_what_it_holds(root: Path) -> None:
    small = study_of(root, trial={"freeze": "all"})
    whole = study_of(root, trial={"freeze": "none", "batch_size": 64})
    (decision,) = decisions(small)
    config = small.plan.trials[0].config
    assert (
        0.8e9
        < worker_bytes(config, small.data, decision, device="cpu")
        < worker_bytes(whole.plan.trials[0].config, whole.data, None, device="cpu")
    )


@pytest.mark.parametrize(("num_classes", "each"), [(2, 4), (100, 4), (101, 2), (1000, 2)])
def test_predictions_take_as_much_as_their_file(
    num_classes: int, each: int, prepared: Prepared, tmp_path: Path
) -> None:
    images = {"train": 9, "val": 30, "test": 20}
    data = dataclasses.replace(prepared, classes=tuple(str(k) for k in range(num_classes)), num_images=images)
    logits = {split: np.zeros((images[split], num_classes), np.float32) for split in ("val", "test")}
    write(tmp_path, logits)
    assert predictions_bytes(data) == 50 * num_classes * each
    assert 0 <= (tmp_path / FILE).stat().st_size - predictions_bytes(data) < 300
