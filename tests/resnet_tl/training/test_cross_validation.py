"""A seed run with folds is a fit for each of them, with one result."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_tl import predictions
from resnet_tl.config import DataConfig
from resnet_tl.data.folds import cut_folds, splits_of
from resnet_tl.data.prepare import Images, Prepared, prepare
from resnet_tl.features.store import Stored
from resnet_tl.metrics import evaluate_many
from resnet_tl.result import Epoch, FitResult
from resnet_tl.training.member import Member
from resnet_tl.training.seed_run import fit, fit_heads
from tests.conftest import CPU, numbers, trial, write_images
from tests.resnet_tl.conftest import materialised

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Three classes of twelve 32-pixel drawings, to be cut into three folds."""
    base = tmp_path_factory.mktemp("folded")
    root = write_images(base / "images", size=40)
    return prepare(DataConfig(source="image_folder", root=str(root), size=40, crop=32), base / "cache", folds=3)


def cut_of(data: Prepared, seed: int) -> list[dict[str, Any]]:
    images = data.load()
    fold_N = cut_folds(
        images.labels_N, images.clusters_N, folds=data.folds, split_seed=0, seed=seed, classes=data.classes
    )
    return [splits_of(fold_N, number, data.folds) for number in range(data.folds)]


def one_by_one(
    data: Prepared, config: Any, seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[FitResult]:
    """What plain fits give on data sets that have these splits."""
    results = []
    load = Prepared.load
    for number, splits in enumerate(cut_of(data, seed)):

        def loaded(self: Prepared, splits: dict[str, Any] = splits) -> Images:
            return load(self).with_splits(splits)

        with monkeypatch.context() as patch:
            patch.setattr(Prepared, "load", loaded)
            plain = dataclasses.replace(data, folds=0)
            results.append(fit(config, plain, seed=seed, environment=CPU, folder=folder / str(number)))
    return results


@pytest.mark.parametrize("changes", [{}, {"freeze": "all"}])
def test_each_fit_is_what_it_would_be_on_data_with_these_splits(
    folded: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    config = trial(epochs=3, **changes)
    told: list[Epoch] = []
    result = fit(config, folded, seed=4, environment=CPU, folder=tmp_path / "run", on_epoch=told.append)
    fits = one_by_one(folded, config, 4, tmp_path, monkeypatch)

    labels_N = folded.load().labels_N
    pooled = predictions.read(tmp_path / "run")
    for split in ("val", "test"):
        assert pooled[split].shape == (36, 3)
        for number, splits in enumerate(cut_of(folded, 4)):
            alone = predictions.read(tmp_path / str(number))[split]
            np.testing.assert_array_equal(pooled[split][splits[split]], alone)
        again = evaluate_many(pooled[split].astype(np.float64)[None], labels_N)
        for name, value_M in again.items():
            assert result.metrics[f"{split}/{name}"] == value_M[0]
        right_N = predictions.unpack(result.compact[split]).right_N
        assert right_N.tolist() == (pooled[split].argmax(1) == labels_N).tolist()

    assert result.max_epoch == 3
    assert result.best_epoch == round(sum(one.best_epoch or 0 for one in fits) / 3)
    assert told == result.history
    for number, epoch in enumerate(result.history):
        for name, value in epoch.metrics.items():
            assert value == math.fsum(one.history[number].metrics[name] for one in fits) / 3
    assert {path.name for path in (tmp_path / "run").iterdir()} == {predictions.FILE}, "no network is kept"


def test_the_time_of_a_seed_run_is_that_of_all_its_fits(folded: Prepared) -> None:
    result = fit(trial(freeze="all"), folded, seed=0, environment=CPU)
    assert result.wall_s >= math.fsum(epoch.wall_s for epoch in result.history) > 0


def test_the_same_seed_gives_the_same_bits_and_another_cuts_anew(folded: Prepared) -> None:
    first, again, other = (fit(trial(freeze="all"), folded, seed=seed, environment=CPU) for seed in (3, 3, 4))
    assert numbers(first) == numbers(again)
    assert first.metrics != other.metrics


def test_patience_may_end_fits_at_epochs_of_their_own(
    folded: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = trial(freeze="all", epochs=20, patience=2, lr=0.02)
    result = fit(config, folded, seed=0, environment=CPU)
    lengths = [len(one.history) for one in one_by_one(folded, config, 0, tmp_path, monkeypatch)]
    assert len(set(lengths)) > 1, lengths
    assert [epoch.epoch for epoch in result.history] == list(range(1, min(lengths) + 1))


@pytest.mark.parametrize("augment", [[], ["hflip", "five_crop"]])
def test_heads_of_any_seeds_side_by_side_on_stored_features_have_the_bits_of_one_alone(
    folded: Prepared, weights: dict[str, str], tmp_path: Path, augment: list[str]
) -> None:
    place: Stored = materialised(trial(weights=weights["resnet18"], freeze="all", augment=augment), folded, tmp_path)
    members = [
        Member(trial=trial(weights=weights["resnet18"], freeze="all", augment=augment, lr=lr), seed=seed)
        for lr in (0.01, 0.1)
        for seed in (0, 1)
    ]
    together = fit_heads(members, folded, environment=CPU, features=place)
    for member, result in zip(members, together, strict=True):
        assert numbers(result) == numbers(fit(member.trial, folded, seed=member.seed, environment=CPU))


def test_part_of_a_network_trains_on_stored_features_of_all_images(
    folded: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    config = trial(weights=weights["resnet18"], freeze=0.8, augment=["hflip"], epochs=1)
    place = materialised(config, folded, tmp_path)
    stored, computed = (fit(config, folded, seed=0, environment=CPU, features=where) for where in (place, None))
    assert numbers(stored) == numbers(computed)


@pytest.mark.filterwarnings("ignore:overflow")
def test_one_diverged_fit_makes_the_seed_run_diverged(folded: Prepared, tmp_path: Path) -> None:
    config = trial(lr=1e30, epochs=2)
    calm, wild = (Member(trial=trial(freeze="all", lr=lr), seed=0) for lr in (0.01, 1e38))
    alone = fit(config, folded, seed=0, environment=CPU, folder=tmp_path)
    assert (alone.state, alone.metrics, alone.compact, alone.best_epoch) == ("diverged", {}, {}, None)
    assert (alone.reason or "").startswith("in the fit of fold 1, ")
    assert not (tmp_path / predictions.FILE).exists()
    results = fit_heads([calm, wild], folded, environment=CPU)
    assert [result.state for result in results] == ["complete", "diverged"]
    assert numbers(results[0]) == numbers(fit(calm.trial, folded, seed=0, environment=CPU))
