"""Near copies are found whatever was done to them, and pictures that are merely alike are none."""

import io
import shutil
import time
import tracemalloc
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


def frames(picture: np.ndarray, count: int, *, deviation: float, seed: int = 0) -> list[np.ndarray]:
    """Takes of one scene, which differ in noise."""
    rng = np.random.default_rng(seed)
    return [np.clip(picture + rng.normal(0, deviation, picture.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def moving(picture: np.ndarray, count: int) -> list[np.ndarray]:
    """Frames in which one cell differs strongly, so that most are no copies of each other."""
    rng = np.random.default_rng(0)
    found = frames(picture, count, deviation=2)
    for frame in found:
        row, column = rng.integers(0, 16, 2)
        frame[row, column] = rng.integers(0, 255, 3)
    return found


@pytest.mark.parametrize("kind", ["identical", "noise", "moving"])
def test_crowds_of_alike_images_take_time_and_memory_in_proportion_to_them(kind: str) -> None:
    (scene,) = (thumbnail(image) for image in photographs(1))
    assert scene is not None
    count = 4000
    crowd = {
        "identical": lambda: [scene.copy() for _ in range(count)],
        "noise": lambda: frames(scene, count, deviation=3),
        "moving": lambda: moving(scene, count),
    }[kind]()
    near_copies(crowd[:100])  # what is imported is not measured
    tracemalloc.start()
    started = time.process_time()
    found = near_copies(crowd)
    took_s = time.process_time() - started
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) < count, "each image is connected with the first of its set alone"
    assert kind == "moving" or {first for first, _ in found} == {0}
    # all 8 million pairs took minutes and a gigabyte; most of the time here is that of measuring memory
    assert took_s < 60
    assert most_bytes < 200e6


def test_a_copy_is_found_in_a_crowd() -> None:
    (scene,) = (thumbnail(image) for image in photographs(1))
    assert scene is not None
    crowd = moving(scene, 600)
    crowd[70][3, 3], crowd[70][12, 12] = (255, 0, 0), (0, 0, 255)
    copy = np.rot90(crowd[70]).astype(int) + np.random.default_rng(0).integers(-1, 2, scene.shape)
    found = near_copies([*crowd, np.clip(copy, 0, 255).astype(np.uint8)])
    assert (70, 600) in found


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


def write_frames(folder: Path, count: int) -> None:
    """A class of a fixed camera's pictures."""
    folder.mkdir(parents=True)
    scene = np.asarray(photographs(2)[1].resize((64, 64))).astype(int)
    for number, frame in enumerate(frames(scene, count, deviation=6)):
        Image.fromarray(frame).save(folder / f"{number}.png")


def write_varied(folder: Path, count: int) -> None:
    """A class of pictures of nothing in common."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        cells = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        cells.resize((48, 48), Image.Resampling.BICUBIC).save(folder / f"{number}.png")


@pytest.mark.parametrize(
    ("count", "splits", "said"),
    [
        (28, (16, 6, 6), "28 images look too much alike"),
        (10, (6, 2, 2), "The images of empty_belt are near copies of too few pictures for every split to get one"),
    ],
)
def test_a_small_class_of_one_scene_is_split_as_ever_and_that_is_said(
    tmp_path: Path, count: int, splits: tuple[int, ...], said: str
) -> None:
    write_varied(tmp_path / "set" / "full", 300)
    write_frames(tmp_path / "set" / "empty_belt", count)
    data = prepared(tmp_path / "set")
    assert tuple(data.table[split]["empty_belt"] for split in ("train", "val", "test")) == splits
    assert said in "".join(data.notes)


def test_a_small_class_of_one_scene_in_stated_splits_is_still_looked_at(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_varied(tmp_path / "set" / split / "full", 60 if split == "train" else 10)
        write_frames(tmp_path / "set" / split / "empty_belt", 5)
    for path in (tmp_path / "set" / "test" / "empty_belt").iterdir():
        Image.open(path).resize((80, 80)).save(path)
    data = prepared(tmp_path / "set")
    assert "The images of empty_belt" in "".join(data.notes), "val is cut out of train, whose frames are of one scene"
    shutil.copytree(tmp_path / "set" / "test", tmp_path / "set" / "val")
    notes = "".join(prepared(tmp_path / "set").notes)
    assert "The images of empty_belt" not in notes
    assert "10 images of val and test are near copies of images of train." in notes


def test_exact_copies_of_one_picture_do_not_make_a_crowd_of_its_near_copies(tmp_path: Path) -> None:
    write_varied(tmp_path / "set" / "a", 60)
    picture = photographs(1)[0]
    (tmp_path / "set" / "b").mkdir()
    for number, image in enumerate(photographs(40)[2:]):
        image.save(tmp_path / "set" / "b" / f"other {number}.png")
    for number in range(17):
        picture.save(tmp_path / "set" / "b" / f"exact {number}.png")
    for quality in (40, 50, 60, 70, 80, 90):
        picture.save(tmp_path / "set" / "b" / f"near {quality}.jpg", quality=quality)
    data = prepared(tmp_path / "set")
    images = data.load()
    sides = {
        split
        for split, numbers in images.splits.items()
        for number in numbers
        if Path(images.names[number]).name.startswith(("exact", "near"))
    }
    assert len(sides) == 1
    assert "look too much alike" not in "".join(data.notes)


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
