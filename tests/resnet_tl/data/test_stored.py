"""Images out of the cache are those of the split, or none."""

from pathlib import Path

import numpy as np

from resnet_tl.config import DataConfig
from resnet_tl.data.prepare import prepare
from resnet_tl.data.stored import stored_pixels


def test_images_of_a_split_come_in_its_order(folder: Path, tmp_path: Path) -> None:
    data = prepare(DataConfig(source="image_folder", root=str(folder), size=32), tmp_path / "cache")
    images = data.load()
    own = images.splits["test"]
    labels = images.labels_N[own].tolist()
    found = stored_pixels(tmp_path / "cache", data.fingerprint, [2, 0], split="test", labels=labels)
    assert found is not None
    assert np.array_equal(found, images.pixels_NCHW[own[[2, 0]]])


def test_of_folds_the_split_is_all_images(folder: Path, tmp_path: Path) -> None:
    config = DataConfig(source="image_folder", root=str(folder), size=32, split_seed=3)
    data = prepare(config, tmp_path / "cache", folds=3)
    images = data.load()
    where = {"split": "test", "labels": images.labels_N.tolist(), "folds": 3}
    found = stored_pixels(tmp_path / "cache", data.fingerprint, [7], **where, split_seed=3)
    assert found is not None
    assert np.array_equal(found[0], images.pixels_NCHW[7])
    assert stored_pixels(tmp_path / "cache", data.fingerprint, [7], **where, split_seed=4) is None


def test_other_labels_an_empty_cache_and_a_damaged_one_have_no_pictures(folder: Path, tmp_path: Path) -> None:
    data = prepare(DataConfig(source="image_folder", root=str(folder), size=32), tmp_path / "cache")
    labels = data.load().labels_N[data.load().splits["test"]].tolist()
    name = data.fingerprint
    assert stored_pixels(tmp_path / "cache", name, [0], split="test", labels=labels[1:]) is None
    assert stored_pixels(tmp_path / "nothing", name, [0], split="test", labels=labels) is None
    (Path(data.folder) / "images.npy").write_bytes(b"?")
    assert stored_pixels(tmp_path / "cache", name, [0], split="test", labels=labels) is None
