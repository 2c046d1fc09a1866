"""What is seen in a folder before anything is decided."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.config import DataConfig
from resnet_tl.data.prepare import prepare
from resnet_tl.errors import ConfigError, DataError
from sweeps.proposal.survey import copies_in, look
from tests.conftest import write_images


def test_classes_and_sizes_are_counted_and_splits_that_lack_are_reckoned(folder: Path) -> None:
    survey = look(str(folder), {})
    assert survey.counts == {"all": {"bars": 12, "dots": 12, "rings": 12}}
    assert survey.stated == ()
    assert [survey.num_in(split) for split in ("train", "val", "test")] == [25, 5, 5]
    assert (survey.short_sides[0], survey.median_side, survey.is_grey) == (32, 32, False)


def test_splits_that_the_data_brings_are_its_own(tmp_path: Path) -> None:
    write_images(tmp_path / "train", count=20)
    write_images(tmp_path / "val", count=5)
    survey = look(str(tmp_path), {})
    assert survey.stated == ("train", "val")
    assert [survey.num_in(split) for split in ("train", "val", "test")] == [51, 15, 9]


def test_arrays_are_known_by_their_names(tmp_path: Path) -> None:
    np.save(tmp_path / "x_train.npy", np.zeros((6, 20, 20), dtype=np.uint8))
    np.save(tmp_path / "y_train.npy", np.arange(6) % 2)
    survey = look(str(tmp_path), {})
    assert (survey.config.source, survey.num_images, survey.median_side) == ("arrays", 6, 20)


def test_a_picture_of_many_pixels_is_measured_without_a_warning(folder: Path, recwarn: pytest.WarningsRecorder) -> None:
    Image.new("1", (20_000, 10_000)).save(folder / "bars" / "huge.png")
    assert look(str(folder), {}).short_sides[-1] == 10_000
    assert not [warning for warning in recwarn if "bomb" in str(warning.message)]


def test_options_are_checked_as_everywhere(folder: Path) -> None:
    with pytest.raises(ConfigError, match="skip_bda"):
        look(str(folder), {"skip_bda": True})
    with pytest.raises(DataError, match="does not exist"):
        look(str(folder / "nowhere"), {})


def test_copies_in_several_classes_come_first(folder: Path, tmp_path: Path) -> None:
    bars, dots = folder / "bars", folder / "dots"
    Image.open(bars / "03.png").rotate(90).save(bars / "turned.png")
    (dots / "same.png").write_bytes((bars / "05.png").read_bytes())
    data = prepare(DataConfig(source="image_folder", root=str(folder), size=32), tmp_path / "cache")
    copies = copies_in(data)
    names = [[Path(data.load().names[index]).name for index in found] for found in copies.sets]
    assert names == [["05.png", "same.png"], ["03.png", "turned.png"]]
    assert (copies.num_exact, copies.num_across_classes, copies.num_across_splits) == (1, 1, 0)
