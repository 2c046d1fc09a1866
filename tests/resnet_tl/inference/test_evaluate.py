"""Labelled images, scored by the network's own rules."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from resnet_tl.config import DataConfig
from resnet_tl.errors import ConfigError, DataError
from resnet_tl.inference.evaluate import evaluate
from resnet_tl.inference.predict import predict
from resnet_tl.metrics import METRICS
from resnet_tl.predictions import read
from tests.resnet_tl.data.file_server import Served, serving
from tests.resnet_tl.trained import Trained, train


def folder_of(trained: Trained, **options: object) -> DataConfig:
    """The training's images, with nothing said of how they are presented."""
    return DataConfig.model_validate({"source": "image_folder", "root": trained.config.root} | options)


@pytest.mark.parametrize("which", ["three", "two"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_the_scores_are_those_that_training_stored(which: str, split: str, request: pytest.FixtureRequest) -> None:
    trained: Trained = request.getfixturevalue(which)
    found = evaluate(trained.checkpoint, folder_of(trained), split=split, cache=trained.cache)
    expected = {name: value for name, value in trained.result.metrics.items() if name.startswith(f"{split}/")}
    assert set(expected) == {f"{split}/{name}" for name in METRICS}
    assert found.metrics == pytest.approx(expected, abs=1e-6)
    stored_NK = read(trained.checkpoint.parent)[split].astype(np.float64)
    own_NK, stored_NK = (x_NK - x_NK[:, :1] for x_NK in (found.log_p_NK, stored_NK))
    assert np.allclose(own_NK, stored_NK, atol=1e-5), "the same images in the same order"


def test_they_are_also_with_a_frozen_backbone(three: Trained, weights: dict[str, str], tmp_path: Path) -> None:
    frozen = train(tmp_path, three.config, weights=weights["resnet18"], freeze="all", head="mlp_batchnorm")
    found = evaluate(frozen.checkpoint, frozen.config, cache=frozen.cache)
    expected = {name: value for name, value in frozen.result.metrics.items() if name.startswith("test/")}
    assert found.metrics == pytest.approx(expected, abs=1e-6)


def test_all_images_of_a_folder_are_scored_without_being_cut(three: Trained, tmp_path: Path) -> None:
    found = evaluate(three.checkpoint, folder_of(three), split="all", cache=tmp_path)
    assert not list(tmp_path.iterdir()), "nothing is prepared"
    paths = [Path(name) for name in found.names]
    assert paths == sorted(Path(str(three.config.root)).rglob("*.png"))
    classes, expected_NK = predict(three.checkpoint, paths)
    assert np.allclose(np.exp(found.log_p_NK), expected_NK, atol=1e-12)
    assert [classes[label] for label in found.labels_N] == [path.parent.name for path in paths]
    right = expected_NK.argmax(1) == found.labels_N
    assert found.metrics["all/accuracy"] == pytest.approx(right.mean())
    assert found.confusion_KK.sum() == found.reliability_R3[:, 0].sum() == 60


def some_classes(three: Trained, root: Path, **names: str) -> DataConfig:
    for name, new in names.items():
        shutil.copytree(Path(str(three.config.root)) / name, root / new)
    return DataConfig(source="image_folder", root=str(root))


def test_classes_are_matched_by_name_and_some_may_be_lacking(three: Trained, tmp_path: Path) -> None:
    data = some_classes(three, tmp_path / "images", dots="dots", rings="rings")
    found = evaluate(three.checkpoint, data, split="all")
    assert set(found.labels_N.tolist()) == {1, 2}
    assert found.notes[-1] == ("1 of the network's 3 classes have no image here: bars. Averages are over the others.")
    of_class = found.by_class["recall"]
    assert np.isnan(of_class[0])
    assert found.metrics["all/recall"] == pytest.approx(of_class[1:].mean())


def test_classes_that_the_network_does_not_know_are_named(three: Trained, tmp_path: Path) -> None:
    data = some_classes(three, tmp_path / "images", dots="dotts", rings="rings")
    with pytest.raises(DataError, match="these are not:\n  dotts; did you mean `dots`"):
        evaluate(three.checkpoint, data, split="all")


def test_what_the_network_does_not_do_is_refused_at_once(three: Trained, two: Trained) -> None:
    with pytest.raises(ConfigError) as error:
        evaluate(three.checkpoint, folder_of(three, size=40, crop=32, channels=1, bits="auto"))
    assert list(error.value.problems) == [
        "`data.size` must be left out or 36, as the network was trained, but got 40.",
        "`data.channels` must be left out or 3, as the network was trained, but got 1.",
    ]
    with pytest.raises(ConfigError, match=r"`data\.synthetic` belongs to training: generated images are never scored"):
        evaluate(three.checkpoint, folder_of(three, synthetic={"share": 0.5}))
    with pytest.raises(ConfigError, match="`split` must be one of train, val, test, all, but got 'tset'; did you mean"):
        evaluate(three.checkpoint, folder_of(three), split="tset")


def test_broken_images_are_refused_or_left_out(three: Trained, tmp_path: Path) -> None:
    data = some_classes(three, tmp_path / "images", dots="dots", rings="rings")
    (tmp_path / "images" / "dots" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 41 images cannot be used[^\0]*dots/broken.png is not an image"):
        evaluate(three.checkpoint, data, split="all")
    found = evaluate(three.checkpoint, data.model_copy(update={"skip_bad": True}), split="all")
    assert len(found.names) == 40
    assert "1 broken images are left out." in found.notes


def test_all_images_of_an_archive_are_those_of_the_archive(
    three: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(str(three.config.root))
    content = Path(shutil.make_archive(str(tmp_path / "a"), "zip", root.parent, root.name)).read_bytes()
    (tmp_path / root.name / "other").mkdir(parents=True)  # what lies in the current folder is not meant
    monkeypatch.chdir(tmp_path)
    with serving(Served(content)) as served:
        sha256 = hashlib.sha256(content).hexdigest()
        by_address = DataConfig(source="image_folder", url=served.url, sha256=sha256, root=root.name)
        found = evaluate(three.checkpoint, by_address, split="all", cache=tmp_path / "cache")
    expected = evaluate(three.checkpoint, folder_of(three), split="all", cache=three.cache)
    assert found.metrics == expected.metrics


def test_a_cut_that_is_not_that_of_the_training_is_said(three: Trained) -> None:
    told = "or the same ones cut otherwise"
    same = evaluate(three.checkpoint, folder_of(three), cache=three.cache)
    assert not any(told in note for note in same.notes)
    other = evaluate(three.checkpoint, folder_of(three, split_seed=5), cache=three.cache)
    assert any(told in note for note in other.notes)
