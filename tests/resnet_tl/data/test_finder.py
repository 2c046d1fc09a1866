import os
from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.decode import Rules, decode_file
from resnet_tl.data.finder import everything_below, files_below, images_below, is_ignored, is_image
from resnet_tl.errors import DataError


@pytest.mark.parametrize(
    "name",
    [
        "Thumbs.db", "THUMBS.DB", "desktop.ini", ".DS_Store", ".ds_store", "@eaDir", "@EADIR", "__MACOSX", "__macosx",
        ".ipynb_checkpoints", "Icon\r", "#recycle", "$RECYCLE.BIN", "System Volume Information", "~$album.png",
        "~syncthing~a.jpg.tmp", "._cat.jpg", ".git",
    ],
)  # fmt: skip
def test_leftovers_of_systems_are_known_in_any_case(name: str) -> None:
    assert is_ignored(name)


@pytest.mark.parametrize("name", ["cat.jpg", "eaDir", "icon.png", "recycle", "thumbs", "#1", "@home.png"])
def test_other_names_are_not(name: str) -> None:
    assert not is_ignored(name)


@pytest.mark.parametrize(
    "suffix", ["jpg", "JPG", "jpeg", "jpe", "jfif", "png", "bmp", "gif", "tif", "tiff", "webp", "ppm", "pgm", "jp2",
               "tga", "avif", "pcx", "dds", "ico", "apng"],
)  # fmt: skip
def test_what_is_found_can_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    assert is_image(path)
    image = Image.new("L" if suffix == "pgm" else "RGB", (16, 16), "white")
    image.save(path, format=Image.registered_extensions()[f".{suffix.lower()}"])
    assert decode_file(path, Rules(channels=3, size=None)).pixels.shape == (3, 16, 16)


@pytest.mark.parametrize("suffix", [".pdf", ".eps", ".ps", ".mpg", ".h5", ".txt", ".csv", ".wmf", ""])
def test_documents_films_and_tables_are_no_images(suffix: str) -> None:
    assert not is_image(Path(f"a{suffix}"))


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root / "a", elsewhere):
        folder.mkdir(parents=True)
        (folder / f"{folder.name}.png").touch()
    (root / "linked").symlink_to(elsewhere, target_is_directory=True)
    (root / "again").symlink_to(elsewhere, target_is_directory=True)
    for name in ("up", "up2"):  # with two of them the number of ways doubles with every step
        (root / "a" / name).symlink_to(root, target_is_directory=True)
    (elsewhere / "back").symlink_to(root, target_is_directory=True)
    found = files_below(root)
    assert [path.relative_to(root).as_posix() for path in found.files] == ["a/a.png", "again/elsewhere.png"]
    assert {path.name for path in found.passed_over} == {"up", "up2", "back", "linked"}
    below = everything_below(root)
    assert [path.name for path in below if path.is_file()] == ["a.png", "elsewhere.png"]
    assert {"up", "up2", "back", "linked", "again"} <= {path.name for path in below}


def test_a_pipe_is_passed_over_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert files_below(tmp_path).passed_over == [tmp_path / "a.png"]


def test_all_that_is_passed_over_is_named(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.JPE", "notes.txt", "Thumbs.db", ".ipynb_checkpoints/c.png", "d/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = images_below(tmp_path)
    assert [path.name for path in found.files] == ["a.jfif", "b.JPE", "e.png"]
    assert {path.name for path in found.passed_over} == {"notes.txt", "Thumbs.db", ".ipynb_checkpoints"}
    (Path(os.fsdecode(bytes(tmp_path) + b"/\xff.png"))).touch()
    with pytest.raises(DataError, match=r"must be UTF-8.*\n.*\\xff.png"):
        images_below(tmp_path)
