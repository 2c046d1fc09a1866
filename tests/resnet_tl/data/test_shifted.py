"""Images under other conditions beside the data: what they are given, and that they decide nothing of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from resnet_tl.config import DataConfig
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.errors import ConfigError, DataError


def asked(root: Path, **changes: object) -> DataConfig:
    return DataConfig.model_validate({"source": "image_folder", "root": str(root), "size": 32} | changes)


def with_set(root: Path, other: Path, cache: Path, **changes: object) -> Prepared:
    return prepare(asked(root, shifted={"night": str(other)}, **changes), cache)


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """Two of the three classes, as noise: none is a copy of anything."""
    draws = np.random.default_rng(9)
    for name in ("bars", "dots"):
        (tmp_path / "drawn" / name).mkdir(parents=True)
        for place in range(5):
            pixels = draws.integers(0, 90, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "drawn" / name / f"{place}.png")
    return tmp_path / "drawn"


def test_a_set_is_a_split_beside_test_and_changes_no_other(folder: Path, night: Path, tmp_path: Path) -> None:
    plain = prepare(asked(folder), tmp_path / "cache")
    data = with_set(folder, night, tmp_path / "cache")
    assert data.num_images == {**plain.num_images, "night": 10}
    assert data.scored == ("val", "test", "night")
    assert data.test_name == plain.test_name
    assert data.fingerprint != plain.fingerprint
    one, other = data.load(), plain.load()
    for split, index in other.splits.items():
        assert [one.names[number] for number in one.splits[split]] == [other.names[number] for number in index]
        assert (one.pixels_NCHW[one.splits[split]] == other.pixels_NCHW[index]).all()
    assert np.bincount(one.labels_N[one.splits["night"]], minlength=3).tolist() == [5, 5, 0]
    assert all(one.names[number].startswith(f"night: {night}") for number in one.splits["night"])
    assert any("1 of 3 classes have no image in night: rings" in note for note in data.notes)


def test_classes_are_found_by_name_and_unknown_ones_refused(folder: Path, night: Path, tmp_path: Path) -> None:
    shutil.rmtree(night / "bars")  # one class is enough to be scored, and dots are class 1 of the data
    images = with_set(folder, night, tmp_path / "cache").load()
    assert set(images.labels_N[images.splits["night"]]) == {1}
    (night / "dots").rename(night / "dotz")
    with pytest.raises(DataError, match=r"`data.shifted`, night: Every class must be one that is learnt[^?]*dotz; did"):
        with_set(folder, night, tmp_path / "cache")


def test_copies_of_learnt_images_are_told_and_cut_nothing(folder: Path, night: Path, tmp_path: Path) -> None:
    plain = prepare(asked(folder), tmp_path / "cache").load()
    learnt = [plain.names[number] for number in plain.splits["train"] if "dots" in plain.names[number]][:2]
    for place, name in enumerate(learnt):
        image = Image.open(name)
        (ImageOps.mirror(image) if place else image).save(night / "dots" / f"copy{place}.png")
    data = with_set(folder, night, tmp_path / "cache")
    assert any(note.startswith("2 images of night are copies of images of train or val") for note in data.notes)
    again = data.load()
    assert [again.names[number] for number in again.splits["train"]] == [plain.names[n] for n in plain.splits["train"]]


def test_groups_and_copies_within_a_set_are_clusters_of_its_own(folder: Path, night: Path, tmp_path: Path) -> None:
    for place, path in enumerate(sorted(night.rglob("*.png"))):
        path.rename(path.with_name(f"{place % 4}_{path.name}"))
    for place, path in enumerate(sorted(folder.rglob("*.png"))):
        path.rename(path.with_name(f"{place % 20}_{path.name}"))
    data = with_set(folder, night, tmp_path / "cache", group_key=r"^(\d+)_")
    images = data.load()
    own = images.clusters_N[images.splits["night"]]
    assert len(set(own)) == 4
    others = np.concatenate([images.clusters_N[images.splits[split]] for split in ("train", "val", "test")])
    assert not set(own) & set(others), "patient 1 of another place is another patient"


def test_what_cannot_be_scored_is_refused(folder: Path, night: Path, tmp_path: Path) -> None:
    (night / "dots" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 47 images cannot be used[\s\S]*night: .*broken.png"):
        with_set(folder, night, tmp_path / "cache")
    data = with_set(folder, night, tmp_path / "cache", skip_bad=True)
    assert data.num_images["night"] == 10
    with pytest.raises(DataError, match=r"`data.shifted`, night: `data.root` must be a folder"):
        with_set(folder, tmp_path / "nowhere", tmp_path / "cache")
    with pytest.raises(DataError, match="same for all seeds"):
        prepare(asked(folder, shifted={"night": str(night)}), tmp_path / "cache", folds=3)
    with pytest.raises(ConfigError, match=r"`data.shifted` works with data.source=arrays, image_folder, patches"):
        prepare(DataConfig(source="digits", shifted={"night": str(night)}), tmp_path / "cache")


def test_another_presentation_has_the_same_images(folder: Path, night: Path, tmp_path: Path) -> None:
    data = with_set(folder, night, tmp_path / "cache")
    config = asked(folder, size=16, shifted={"night": str(night)})
    smaller = prepare(config, tmp_path / "cache", like=data)
    one, other = data.load(), smaller.load()
    assert one.names == other.names
    assert (one.clusters_N == other.clusters_N).all()
    assert all((one.splits[name] == other.splits[name]).all() for name in one.splits)
