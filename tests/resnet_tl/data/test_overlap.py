"""Requests share images where they read the same files, or the same images of a library."""

from pathlib import Path

from resnet_tl.config import DataConfig
from resnet_tl.data.overlap import share_images
from tests.conftest import write_images


def test_files_are_the_same_by_whatever_path(tmp_path: Path) -> None:
    write_images(tmp_path / "own")
    write_images(tmp_path / "others")
    (tmp_path / "link").symlink_to(tmp_path / "own")

    def of(name: str) -> DataConfig:
        return DataConfig(source="image_folder", root=str(tmp_path / name))

    assert share_images(of("own"), of("own"), tmp_path)
    assert share_images(of("own"), of("link"), tmp_path)
    assert share_images(of("own/bars/.."), of("own"), tmp_path)
    assert not share_images(of("own"), of("others"), tmp_path)


def test_images_of_a_library_are_known_by_their_place(tmp_path: Path) -> None:
    low, high, every = (DataConfig(source=name) for name in ("digits_0_4", "digits_5_9", "digits"))
    assert share_images(low, every, tmp_path)
    assert share_images(high, high, tmp_path)
    assert not share_images(low, high, tmp_path)
