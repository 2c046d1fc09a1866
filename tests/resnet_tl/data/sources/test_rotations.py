from pathlib import Path

import numpy as np
import pytest

from resnet_tl.config import DataConfig
from resnet_tl.data.overlap import share_images
from resnet_tl.data.prepare import prepare
from resnet_tl.errors import DataError
from tests.conftest import write_images


def test_each_image_stands_in_four_positions_on_one_side_of_the_splits(tmp_path: Path) -> None:
    write_images(tmp_path / "images", count=5)
    config = DataConfig(source="rotations", root=str(tmp_path / "images"), size=24)
    data = prepare(config, tmp_path / "cache")
    assert data.classes == ("turned by 0", "turned by 90", "turned by 180", "turned by 270")
    assert sum(data.num_images.values()) == 4 * 15
    images = data.load()
    for first in range(0, 60, 4):
        one_CHW = images.pixels_NCHW[first]
        for turn in range(4):
            assert (images.pixels_NCHW[first + turn] == np.rot90(one_CHW, turn, axes=(1, 2))).all()
            assert images.labels_N[first + turn] == turn
        sides = {split for split, places in images.splits.items() for turn in range(4) if first + turn in places}
        assert len(sides) == 1
        assert len(set(images.clusters_N[first : first + 4])) == 1
    assert any("15 images, each in four positions" in note for note in data.notes)
    assert not any("near copies" in note for note in data.notes)


def test_images_of_a_study_are_known_in_the_set_it_pretrains_on(tmp_path: Path) -> None:
    write_images(tmp_path / "images", count=5)
    turned = DataConfig(source="rotations", root=str(tmp_path / "images"), size=24)
    plain = DataConfig(source="image_folder", root=str(tmp_path / "images"), size=32)
    assert share_images(plain, turned, tmp_path / "cache")


def test_a_size_is_needed_and_an_empty_folder_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`data.size` must be given for data.source=rotations"):
        prepare(DataConfig(source="rotations", root=str(tmp_path)), tmp_path / "cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        prepare(DataConfig(source="rotations", root=str(tmp_path / "empty"), size=16), tmp_path / "cache")
