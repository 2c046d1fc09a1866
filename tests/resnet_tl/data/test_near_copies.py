"""Near copies are found whatever was done to them, and pictures that are merely alike are none."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from resnet_tl.config import DataConfig
from resnet_tl.data.near_copies import near_copies, thumbnail
from resnet_tl.data.prepare import Prepared, prepare


def photographs(count: int, *, side: int = 180) -> list[Image.Image]:
    """Places of two photographs, of unequal sides."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        picture = Image.fromarray(load_sample_images().images[number % 2])
        width, height = side + int(rng.integers(0, 60)), side + int(rng.integers(0, 60))
        left, top = rng.integers(0, picture.width - width), rng.integers(0, picture.height - height)
        found.append(picture.crop((int(left), int(top), int(left) + width, int(top) + height)))
    return found


def compressed(kind: str, quality: int) -> Callable[[Image.Image], Image.Image]:
    def change(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, kind, quality=quality)
        return Image.open(stream).convert("RGB")

    return change


def scaled(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((round(image.width * factor), round(image.height * factor)))


CHANGES = {
    "JPEG 30": compressed("JPEG", 30),
    "WebP 50": compressed("WEBP", 50),
    "half": scaled(0.5),
    "a quarter": scaled(0.25),
    "twice": scaled(2.0),
    "three pixels wider": lambda image: image.resize((image.width + 3, image.height)),
    "lighter": lambda image: Image.fromarray((np.asarray(image) * 0.8 + 40).astype(np.uint8)),
    "grey": lambda image: image.convert("L").convert("RGB"),
}


@pytest.mark.parametrize("change", [name for name in CHANGES if name != "grey"])
def test_copies_are_found_under_all_ways_to_mirror_and_turn_them(change: str) -> None:
    originals = photographs(48)
    ways = [None, *Image.Transpose]
    copies = [CHANGES[change](image) for image in originals]
    copies = [
        image if way is None else image.transpose(way)
        for image, way in zip(copies, (ways * 6)[: len(copies)], strict=True)
    ]
    found = near_copies([thumbnail(image) for image in [*originals, *copies]])
    made = {(number, number + len(originals)) for number in range(len(originals))}
    assert len(made & set(found)) >= 0.95 * len(made)
    assert not set(found) - made


def test_pictures_that_are_merely_alike_are_no_copies() -> None:
    digits = [Image.fromarray((image * 15).astype(np.uint8)) for image in load_digits().images]
    assert near_copies([thumbnail(image) for image in digits]) == [], "too small to be told apart"
    plain = [Image.new("RGB", (40, 40), (shade, 90, 90)) for shade in range(20)]
    assert near_copies([thumbnail(image) for image in plain]) == [], "plain areas have nothing to agree in"
    one = photographs(1)[0]
    other = one.copy()
    other.paste((255, 0, 0), (60, 60, 100, 100))
    assert near_copies([thumbnail(one), thumbnail(other)]) == [], "a detail differs"


def prepared(folder: Path, **options: object) -> Prepared:
    values = {"source": "image_folder", "root": str(folder), "size": 32, "val_fraction": 0.2, "test_fraction": 0.2}
    return prepare(DataConfig.model_validate(values | options), folder.parent / "cache")


def write_augmented(folder: Path) -> None:
    """Two classes of ten photographs, each with a mirrored and a small, turned copy."""
    for number, image in enumerate(photographs(20)):
        for name, picture in (
            ("a", image),
            ("flipped", image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
            ("turned", image.resize((96, 90)).transpose(Image.Transpose.ROTATE_90)),
        ):
            path = folder / f"class{number % 2}" / f"{number:02}_{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, quality=80)


@pytest.mark.parametrize("options", [{}, {"size": 64, "resize": "squash"}, {"channels": 1}])
def test_splits_are_cut_between_copies_whatever_the_presentation(tmp_path: Path, options: dict[str, object]) -> None:
    write_augmented(tmp_path / "set")
    data = prepared(tmp_path / "set", **options)
    images = data.load()
    side = {images.names[index]: split for split, numbers in images.splits.items() for index in numbers}
    originals: dict[str, set[str]] = {}
    for name, split in side.items():
        originals.setdefault(Path(name).name[:2], set()).add(split)
    assert all(len(sides) == 1 for sides in originals.values())
    said = data.notes[-1]
    assert said.startswith("60 images are near copies of others (resized, recompressed, mirrored or turned), such as ")
    assert said.endswith(" Each was kept in one split with its copies.")
    pairs = [pair.split(" and ") for pair in said.partition("such as ")[2].partition(". ")[0].split("; ")]
    assert len(pairs) == 3
    for one, other in pairs:
        assert (tmp_path / "set" / one).exists(), "named as the user knows them, below data.root"
        assert Path(one).name[:2] == Path(other).name[:2]
        assert one != other
    assert data.test_name == prepared(tmp_path / "set").test_name, "what is a copy does not hang on size or crop"


def test_copies_across_stated_splits_and_classes_are_counted(tmp_path: Path) -> None:
    write_augmented(tmp_path / "all")
    for path in sorted((tmp_path / "all").rglob("*.jpg")):
        split = "test" if path.stem.endswith("turned") else "train"
        place = tmp_path / "set" / split / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    (tmp_path / "set" / "train" / "class0" / "02_flipped.jpg").rename(
        tmp_path / "set" / "train" / "class1" / "02_flipped.jpg"
    )
    notes = "\n".join(prepared(tmp_path / "set").notes)
    assert "60 images are near copies of others" in notes
    assert "60 of them have one in another split, since the data's own splits put them there." in notes
    assert "3 of them have a near copy in another class." in notes
    # four of the twenty originals are cut off as val
    assert "16 images of val and test are near copies of images of train." in notes


def test_float_arrays_are_compared_like_files(tmp_path: Path) -> None:
    small = [np.asarray(image.resize((40, 40))) / np.float32(255) for image in photographs(20)]
    turned = [np.rot90(image) for image in small]
    np.save(tmp_path / "x_train.npy", np.stack(small + turned))
    np.save(tmp_path / "y_train.npy", np.arange(40) % 2)
    data = prepare(DataConfig.model_validate({"source": "arrays", "root": str(tmp_path)}), tmp_path / "cache")
    assert any(note.startswith("40 images are near copies") for note in data.notes)


def test_pictures_of_a_fixed_camera_are_split_as_ever_and_that_is_said(tmp_path: Path) -> None:
    scene = np.asarray(photographs(1)[0].resize((64, 64))).astype(int)
    rng = np.random.default_rng(0)
    for number in range(60):
        path = tmp_path / "set" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.normal(0, 6, scene.shape)
        Image.fromarray(np.clip(scene + noise, 0, 255).astype(np.uint8)).save(path)
    data = prepared(tmp_path / "set")
    assert data.num_images == {"train": 36, "val": 12, "test": 12}
    assert "60 images look too much alike to tell a copy from another picture" in "".join(data.notes)


def test_stated_splits_that_keep_copies_together_are_said_to(tmp_path: Path) -> None:
    write_augmented(tmp_path / "all")
    for path in sorted((tmp_path / "all").rglob("*.jpg")):
        split = {"0": "test", "1": "val"}.get(path.name[0], "train") if int(path.name[:2]) % 5 < 2 else "train"
        place = tmp_path / "set" / split / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    assert (
        prepared(tmp_path / "set").notes[-1].endswith("The data's own splits have each in one split with its copies.")
    )
