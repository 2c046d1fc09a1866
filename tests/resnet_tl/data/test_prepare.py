import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import BadImage, Decoded, Rules, decode_file
from resnet_tl.data.prepare import prepare, verify
from resnet_tl.errors import DataError
from tests.conftest import write_images


def config(root: Path, **changes: object) -> DataConfig:
    return DataConfig.model_validate({"source": "image_folder", "root": str(root), "size": 32} | changes)


def test_missing_splits_are_cut_stratified_by_a_fixed_seed(folder: Path, tmp_path: Path) -> None:
    data = prepare(config(folder), tmp_path / "cache")
    assert data.num_images == {"train": 24, "val": 6, "test": 6}
    images = data.load()
    for split, count in (("train", 8), ("val", 2), ("test", 2)):
        assert np.bincount(images.labels_N[images.splits[split]]).tolist() == [count] * 3
    again = prepare(config(folder), tmp_path / "other cache")
    assert again.fingerprint == data.fingerprint
    assert prepare(config(folder, split_seed=1), tmp_path / "cache").fingerprint != data.fingerprint


def test_given_splits_are_kept_and_only_missing_ones_cut(tmp_path: Path) -> None:
    write_images(tmp_path / "images" / "train")
    write_images(tmp_path / "images" / "test", count=3)
    data = prepare(config(tmp_path / "images"), tmp_path / "cache")
    assert data.num_images == {"train": 30, "val": 6, "test": 9}
    images = data.load()
    assert all("/test/" in images.names[index] for index in images.splits["test"])


def test_moved_data_is_the_same_and_a_changed_pixel_is_not(folder: Path, tmp_path: Path) -> None:
    before = prepare(config(folder), tmp_path / "cache").fingerprint
    moved = folder.rename(tmp_path / "elsewhere, (really)=#&")
    assert prepare(config(moved), tmp_path / "cache").fingerprint == before
    path = moved / "dots" / "03.png"
    image = Image.open(path)
    image.putpixel((0, 0), (1, 2, 3))
    image.save(path)
    assert prepare(config(moved), tmp_path / "cache").fingerprint != before


@pytest.mark.parametrize("option", [{"crop": 24}, {"balanced": "oversample"}, {"size": 24}, {"channels": 1}])
def test_options_that_change_what_is_learnt_change_the_fingerprint(
    folder: Path, tmp_path: Path, option: dict[str, object]
) -> None:
    cache = tmp_path / "cache"
    assert prepare(config(folder, **option), cache).fingerprint != prepare(config(folder), cache).fingerprint


def test_a_flipped_byte_in_the_cache_is_found_and_the_copy_removed(folder: Path, tmp_path: Path) -> None:
    data = prepare(config(folder), tmp_path / "cache")
    verify(data)
    path = Path(data.folder) / "images.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="must have sha256"):
        verify(data)
    verify(prepare(config(folder), tmp_path / "cache"))


def test_every_broken_file_is_named_and_may_be_skipped(folder: Path, tmp_path: Path) -> None:
    (folder / "bars" / "empty.png").write_bytes(b"")
    (folder / "dots" / "notes.txt").write_text("hello")
    (folder / "dots" / "fake.png").write_text("hello")
    (folder / "rings" / "cut.png").write_bytes((folder / "rings" / "00.png").read_bytes()[:500])
    (folder / "stray.png").write_bytes((folder / "rings" / "00.png").read_bytes())
    (folder / "bars" / ".DS_Store").write_text("ignored")
    with pytest.raises(DataError) as caught:
        prepare(config(folder), tmp_path / "cache")
    for name in ("empty.png", "notes.txt", "fake.png", "cut.png", "stray.png", "skip_bad"):
        assert name in str(caught.value)
    data = prepare(config(folder, skip_bad=True), tmp_path / "cache")
    assert sorted(Path(name).name for name in data.skipped) == [
        "cut.png",
        "empty.png",
        "fake.png",
        "notes.txt",
        "stray.png",
    ]
    assert sum(data.num_images.values()) == 36


def test_an_empty_class_and_broken_files_are_reported_together(folder: Path, tmp_path: Path) -> None:
    (folder / "void").mkdir()
    (folder / "dots" / "fake.png").write_text("hello")
    with pytest.raises(DataError) as caught:
        prepare(config(folder), tmp_path / "cache")
    assert "void" in str(caught.value)
    assert "fake.png" in str(caught.value)


def test_an_image_in_two_classes_is_counted(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "dots" / "03.png", folder / "bars" / "also.png")
    assert prepare(config(folder), tmp_path / "cache").num_contradicting == 2


def test_what_was_left_out_belongs_to_the_request(folder: Path, tmp_path: Path) -> None:
    clean = prepare(config(folder, size=None), tmp_path / "cache")
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "dots" / "empty.png").write_bytes(b"")
    for _ in range(2):
        broken = prepare(config(copy, skip_bad=True), tmp_path / "cache")
        assert broken.fingerprint == clean.fingerprint
        assert [Path(name).name for name in broken.skipped] == ["empty.png"]
        assert (broken.resized, clean.resized) == (True, False)


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match="`data.root` must be a folder, but .* does not exist"):
        prepare(config(tmp_path / "nowhere"), cache)
    root = write_images(tmp_path / "a")
    (root / "empty").mkdir()
    with pytest.raises(DataError, match="these are empty:\n.*empty"):
        prepare(config(root), cache)
    write_images(tmp_path / "b" / "train")
    write_images(tmp_path / "b" / "test", classes=("bars", "dots", "stars"))
    with pytest.raises(DataError, match="Every class of `test` must be in `train` too, but these are not:\n  stars"):
        prepare(config(tmp_path / "b"), cache)
    write_images(tmp_path / "c" / "test")
    with pytest.raises(DataError, match="no `train` folder"):
        prepare(config(tmp_path / "c"), cache)
    write_images(tmp_path / "d", count=2)
    with pytest.raises(DataError, match="Every class must have an image to learn from"):
        prepare(config(tmp_path / "d"), cache)
    write_images(tmp_path / "e", classes=("one",))
    with pytest.raises(DataError, match="At least two class folders"):
        prepare(config(tmp_path / "e"), cache)
    with pytest.raises(DataError, match=r"`data.root` must be given"):
        prepare(DataConfig(source="image_folder"), cache)
    with pytest.raises(DataError, match="did you mean `image_folder`"):
        prepare(DataConfig(source="imagefolder"), cache)


def test_a_stated_split_may_lack_classes_and_that_is_said(tmp_path: Path) -> None:
    write_images(tmp_path / "images" / "train")
    write_images(tmp_path / "images" / "val", classes=("bars", "dots"))
    write_images(tmp_path / "images" / "test", classes=("dots",))
    data = prepare(config(tmp_path / "images"), tmp_path / "cache")
    assert data.notes[-2:] == (
        "1 of 3 classes have no image in val: rings. Averages over classes there are over the 2 others.",
        "2 of 3 classes have no image in test: bars, rings. Precision, recall and F1 there are those of the one other "
        "class, and there is no AUROC.",
    )
    assert [data.num_classes_in(split) for split in ("train", "val", "test")] == [3, 2, 1]
    (tmp_path / "images" / "val" / "rings").mkdir()
    with pytest.raises(DataError, match=r"these are empty:\n.*rings"):
        prepare(config(tmp_path / "images"), tmp_path / "cache")


def test_twelve_bits_in_files_of_sixteen_are_not_nearly_black(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(6):
            values = draws.integers(0, 4096, (16, 16)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / "images" / name / f"{index}.{'png' if index % 2 else 'tif'}")
    asked = config(tmp_path / "images", size=None, channels=1)
    with pytest.raises(DataError, match=r"largest value of the whole set is 40\d\d of 65535"):
        prepare(asked, tmp_path / "cache")
    data = prepare(asked.model_copy(update={"bits": "auto"}), tmp_path / "cache")
    assert data.load().pixels_NCHW.max() == 255
    with pytest.raises(DataError, match="no image stores more than 8 bits"):
        prepare(DataConfig(source="image_folder", root=str(write_images(tmp_path / "c")), bits=12), tmp_path / "cache")


def test_a_folder_that_is_linked_or_added_or_removed_is_noticed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "bars", tmp_path / "more")
    for path in (tmp_path / "more").iterdir():
        Image.new("RGB", (32, 32), (int(path.stem), 0, 0)).save(path)
    (folder / "linked").symlink_to(folder / "bars", target_is_directory=True)
    (folder / "zinked").symlink_to(tmp_path / "more", target_is_directory=True)
    with_both = prepare(config(folder), tmp_path / "cache")
    (folder / "linked").unlink()
    without = prepare(config(folder), tmp_path / "cache")
    assert len(without.classes) == len(with_both.classes) - 1
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="these are empty"):
        prepare(config(folder), tmp_path / "cache")


def test_names_belong_to_the_files_and_not_to_their_pixels(folder: Path, tmp_path: Path) -> None:
    """Files of two formats may hold equal pixels."""
    plain = prepare(config(folder), tmp_path / "cache")
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    for path in sorted(other.rglob("*.png")):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    alone = prepare(config(other), tmp_path / "another cache")
    for _ in range(2):
        again = prepare(config(other), tmp_path / "cache")
        assert (again.folder, again.fingerprint) == (plain.folder, plain.fingerprint)
        assert (again.test_name, again.images_name) == (alone.test_name, alone.images_name)
        assert again.test_name != plain.test_name
        assert again.load().names == alone.load().names
    assert all(Path(name).is_file() for name in [*plain.load().names, *again.load().names])


def test_what_decides_how_new_images_are_read_names_the_data(folder: Path, tmp_path: Path) -> None:
    """Of square images all ways to fit them are equal, and yet the card of a network says which it was."""
    made = [prepare(config(folder, resize=resize), tmp_path / "cache") for resize in ("crop", "pad", "squash")]
    assert len({data.fingerprint for data in made}) == 3
    assert len({data.images_name for data in made}) == 1
    assert [data.resize for data in made] == ["crop", "pad", "squash"]
    deep, shallow = tmp_path / "deep", tmp_path / "shallow"
    for name in ("a", "b"):
        for root in (deep, shallow):
            (root / name).mkdir(parents=True)
        for index in range(6):
            values = np.full((16, 16), 4095 if index % 2 else 0, np.uint16)
            values[: index + 1] = 4095 - values[0, 0]
            Image.fromarray(values).save(deep / name / f"{index}.png")
            Image.fromarray((values // 16).astype(np.uint8)).save(shallow / name / f"{index}.png")
    twelve = prepare(config(deep, size=None, channels=1, bits=12), tmp_path / "cache")
    eight = prepare(config(shallow, size=None, channels=1), tmp_path / "cache")
    assert np.array_equal(twelve.load().pixels_NCHW, eight.load().pixels_NCHW)
    assert (twelve.bits, eight.bits) == (12, None)
    assert twelve.fingerprint != eight.fingerprint


@pytest.mark.parametrize("resize", ["pad", "squash"])
def test_the_whole_picture_is_other_data(tmp_path: Path, resize: str) -> None:
    root = write_images(tmp_path / "images")
    for path in root.rglob("*.png"):
        Image.open(path).resize((48, 32)).save(path)
    data = prepare(config(root, resize=resize), tmp_path / "cache")
    assert data.resize == resize
    assert data.fingerprint != prepare(config(root), tmp_path / "cache").fingerprint


def test_images_of_different_sizes_need_a_size(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(folder / "bars" / "large.png")
    with pytest.raises(DataError, match=r"`data.size`.*32×32 \(36\), 40×40 \(1\)"):
        prepare(config(folder, size=None), tmp_path / "cache")
    (folder / "bars" / "large.png").unlink()
    with pytest.raises(DataError, match="`data.crop` must be at most"):
        prepare(config(folder, size=None, crop=64), tmp_path / "cache")


def test_no_object_stands_in_two_splits(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", count=24)
    for path in sorted(root.rglob("*.png")):
        number = int(path.stem)
        path.rename(path.with_name(f"{path.parent.name}_patient{number // 3:02}_{number % 3}.png"))
    data = prepare(config(root, group_key=r"(\w+patient\d+)_"), tmp_path / "cache")
    images = data.load()
    sides: dict[str, set[str]] = {}
    for split, members in images.splits.items():
        for index in members:
            path = Path(images.names[index])
            sides.setdefault(path.stem.rpartition("_")[0], set()).add(split)
    assert len(sides) == 24
    assert all(len(found) == 1 for found in sides.values())
    with pytest.raises(DataError, match="at least 7 groups"):
        prepare(config(root, group_key=r"(bars|dots|rings)_"), tmp_path / "cache")
    with pytest.raises(DataError, match="must be found in every path below its class folder"):
        prepare(config(root, group_key=r"(bars|dots|rings)/"), tmp_path / "cache")
    with pytest.raises(DataError, match="must be found in every path"):
        prepare(config(root, group_key=r"(person\d+)"), tmp_path / "cache")
    with pytest.raises(DataError, match="regular expression"):
        prepare(config(root, group_key=r"(person"), tmp_path / "cache")


def test_images_without_a_group_may_be_groups_of_their_own(tmp_path: Path) -> None:
    """As in a set of X-rays, where one class comes from a collection that numbers no patients."""
    root = write_images(tmp_path / "images", count=24)
    for path in sorted(root.rglob("*.png")):
        number = int(path.stem)
        if path.parent.name != "rings":
            path.rename(path.with_name(f"{path.parent.name[0]}{number // 2}_{number}.png"))
    (root / "bars" / "b0_0.png").rename(root / "dots" / "b0_0.png")
    asked = config(root, group_key=r"/([a-z]\d+)_")
    with pytest.raises(DataError, match=r"is not in 24 of 72\.(.|\n)*data.group_missing=own makes each"):
        prepare(asked, tmp_path / "cache")
    data = prepare(asked.model_copy(update={"group_missing": "own"}), tmp_path / "cache")
    assert data.notes == (
        "data.group_key is not found in the paths of 24 of 72 images; each is a group of its own.",
        "1 of 48 groups have images in two classes or more; each of these groups stands on one side of the splits all "
        "the same. Check that data.group_key names one patient or object in each, and that both labels are meant: b0 "
        "(bars, dots).",
    )
    images = data.load()
    sides: dict[str, set[str]] = {}
    for split, members in images.splits.items():
        for index in members:
            if (name := Path(images.names[index]).name.partition("_"))[1]:
                sides.setdefault(name[0], set()).add(split)
    assert len(sides) == 24
    assert all(len(found) == 1 for found in sides.values())
    assert min(data.table[split]["rings"] for split in ("train", "val", "test")) > 0
    with pytest.raises(DataError, match=r"is in none of 72\.\n"):  # a pattern that finds nothing is a mistake
        prepare(config(root, group_key="(nobody)", group_missing="own"), tmp_path / "cache")


def test_groups_are_searched_below_the_class_alone(tmp_path: Path) -> None:
    """`site1/bars2/p03_0.png` with numbers in every folder: those of classes and splits are no patients."""
    root = tmp_path / "images"
    for number, split in enumerate(("train", "test")):
        write_images(root / f"{split}{number}", classes=("bars2", "dots2"), count=24 if split == "train" else 6)
        for path in sorted((root / f"{split}{number}").rglob("*.png")):
            start = 10 * number + (100 if path.parent.name == "bars2" else 200)
            path.rename(path.with_name(f"{start + int(path.stem) // 3}_{path.stem}.png"))
    for key in (r"(\d+)", r"/(\d+)_", r"^(\d+)", r"^(\d{3})"):
        data = prepare(config(root, group_key=key), tmp_path / "cache")
        images = data.load()
        groups = {s: {Path(images.names[i]).name[:3] for i in images.splits[s]} for s in ("train", "val", "test")}
        assert sum(map(len, groups.values())) == len(set().union(*groups.values())) == 20, key


def test_files_that_are_left_out_need_no_group(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", classes=("a", "b"), count=24)
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_name(f"{path.parent.name}p{int(path.stem) // 2}_{path.name}"))
    (root / "a" / "notes.txt").touch()
    data = prepare(config(root, group_key=r"(p\d+)_", skip_bad=True), tmp_path / "cache")
    assert [Path(name).name for name in data.skipped] == ["notes.txt"]
    assert sum(data.num_images.values()) == 48


def test_a_split_folder_without_images_is_said(tmp_path: Path) -> None:
    write_images(tmp_path / "images" / "train")
    (tmp_path / "images" / "test").mkdir()
    (tmp_path / "images" / "test" / "about.txt").touch()
    data = prepare(config(tmp_path / "images"), tmp_path / "cache")
    (note,) = data.notes
    assert note == f"{tmp_path}/images/test holds no images and is passed over; test is cut from train."
    assert data.num_images["test"] > 0


def test_given_splits_that_share_an_object_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "images" / "train")
    write_images(tmp_path / "images" / "test")
    with pytest.raises(DataError, match="must stand in one split only"):
        prepare(config(tmp_path / "images", group_key=r"(\d+)\.png"), tmp_path / "cache")


def test_classes_are_counted_in_each_split(folder: Path, tmp_path: Path) -> None:
    counts = {"bars": 2, "dots": 2, "rings": 2}
    for _ in range(2):
        data = prepare(config(folder), tmp_path / "cache")
        assert data.table == {"train": dict.fromkeys(counts, 8), "val": counts, "test": counts}


def test_thumbnails_and_leftovers_are_no_images(folder: Path, tmp_path: Path) -> None:
    before = prepare(config(folder), tmp_path / "cache")
    thumbs = folder / "dots" / "@eaDir" / "03.png"
    thumbs.mkdir(parents=True)
    shutil.copy(folder / "dots" / "03.png", thumbs / "SYNOPHOTO_THUMB_M.png")
    (folder / "__MACOSX" / "dots").mkdir(parents=True)
    shutil.copy(folder / "dots" / "03.png", folder / "__MACOSX" / "dots" / "._03.png")
    for name in ("THUMBS.DB", "Desktop.ini", "Icon\r", ".hidden.png"):
        (folder / "bars" / name).write_bytes(b"x")
    (folder / "README.md").write_text("about")
    after = prepare(config(folder), tmp_path / "cache")
    assert after.fingerprint == before.fingerprint
    assert before.notes == ()
    (note,) = after.notes
    assert note.startswith("7 files and folders are no samples and are passed over: ")
    for name in ("@eaDir", "__MACOSX", "THUMBS.DB", "Desktop.ini", r"Icon\r", ".hidden.png", "README.md"):
        assert repr(name).replace("\\\\", "\\") in note


def test_names_that_are_no_text_are_refused(folder: Path, tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(folder) + b"/bars/caf\xe9.png")).write_bytes(b"broken, too")
    with pytest.raises(DataError, match=r"must be UTF-8 text.*\n.*caf\\xe9.png"):
        prepare(config(folder, skip_bad=True), tmp_path / "cache")


def test_images_that_leaked_into_another_split_are_counted(tmp_path: Path) -> None:
    write_images(tmp_path / "images" / "train")
    (tmp_path / "images" / "test").mkdir()
    for name in ("bars", "dots", "rings"):
        (tmp_path / "images" / "test" / name).mkdir()
        source = tmp_path / "images" / "train" / name / "00.png"
        shutil.copy(source, tmp_path / "images" / "test" / name / "copy.png")
    data = prepare(config(tmp_path / "images", val_fraction=0.1), tmp_path / "cache")
    images = data.load()
    learnt = {images.pixels_NCHW[i].tobytes() for i in images.splits["train"]}
    others = [i for split in ("val", "test") for i in images.splits[split]]
    assert data.num_leaked == sum(images.pixels_NCHW[i].tobytes() in learnt for i in others) > 0


@pytest.mark.parametrize("group_key", [None, r"/([a-z]+\d\d)[^/]*$"])
def test_copies_of_an_image_are_cut_to_the_same_side(tmp_path: Path, group_key: str | None) -> None:
    root = write_images(tmp_path / "images", count=20)
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_name(f"{path.parent.name}{path.name}"))
    for path in sorted(root.rglob("*.png")):
        shutil.copy(path, path.with_name(f"copy{path.stem[-2:]}_of_{path.name}"))
    data = prepare(config(root, group_key=group_key), tmp_path / "cache")
    assert data.num_leaked == 0
    assert sum(data.num_images.values()) == 120
    assert min(data.num_images.values()) >= 12


def test_a_linked_folder_that_leads_back_up_does_not_hang(folder: Path, tmp_path: Path) -> None:
    (folder / "bars" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "dots" / "loop").symlink_to(folder / "dots", target_is_directory=True)
    data = prepare(config(folder), tmp_path / "cache")
    assert sum(data.num_images.values()) == 36
    assert data.notes == ("2 files and folders are no samples and are passed over: 'loop' (2 times).",)


class TestArrays:
    def write(self, root: Path, **changes: np.ndarray) -> DataConfig:
        root.mkdir(exist_ok=True)
        draws = np.random.default_rng(0)
        arrays = {
            "x_train": draws.integers(0, 256, (30, 20, 20, 3), dtype=np.uint8), "y_train": np.arange(30) % 3,
            "x_test": draws.integers(0, 256, (9, 20, 20, 3), dtype=np.uint8), "y_test": np.arange(9) % 3,
        }  # fmt: skip
        for name, array in (arrays | changes).items():
            np.save(root / f"{name}.npy", array)
        return DataConfig(source="arrays", root=str(root))

    def test_colour_grey_and_float_are_read(self, tmp_path: Path) -> None:
        data = prepare(self.write(tmp_path / "a"), tmp_path / "cache")
        assert (data.channels, data.size, data.num_images["test"]) == (3, (20, 20), 9)
        stored = data.load().pixels_NCHW
        original = np.load(tmp_path / "a" / "x_train.npy")
        assert np.array_equal(stored[4], original[4].transpose(2, 0, 1))
        draws = np.random.default_rng(1)
        grey = self.write(
            tmp_path / "b",
            x_train=draws.random((30, 20, 20)).astype("f8"),
            x_test=draws.random((9, 20, 20)).astype("f8"),
        )
        data = prepare(grey, tmp_path / "cache")
        assert data.channels == 1
        assert data.load().pixels_NCHW.dtype == np.float32
        larger = prepare(grey.model_copy(update={"size": 32}), tmp_path / "cache")
        assert larger.load().pixels_NCHW.shape == (39, 1, 32, 32)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"y_train": np.arange(29) % 3}, "must be of equal length, but got 30 and 29"),
            ({"y_train": np.arange(30) % 3 + 1}, "must be 0 … K-1"),
            ({"y_train": np.zeros(30, dtype=int)}, "K at least 2"),
            ({"y_test": np.arange(9) % 3 + 1}, r"must be in y_train.npy too, but these are not: \[3\]"),
            ({"y_train": np.linspace(0, 1, 30)}, "labels must be integers"),
            ({"x_train": np.zeros((30, 20), dtype=np.uint8)}, r"images must be \[N, H, W\]"),
            ({"x_train": np.zeros((30, 20, 20, 3), dtype=np.int32)}, "one image shape and type"),
            ({"x_train": np.zeros((30, 20, 20, 3), dtype=bool)}, "pixels must be whole numbers"),
            ({"x_train": np.full((30, 20, 20), 255.0)}, r"they go from 255 to 255, in 30 of 30 .*; divide by 255"),
            ({"y_train": np.arange(30) % 3 + 0.0}, r"labels must be integers .* such as \[0.0, 1.0, 2.0\]; store y.as"),
            ({"y_train": np.array(["a", "b", "c"] * 10)}, r"such as \['a', 'b', 'c'\]; number them from 0"),
            ({"y_train": np.full(30, 2**31, np.uint32).view("<U1")}, "of which some are no text; the file is damaged"),
            ({"y_train": np.eye(3)[np.arange(30) % 3]}, r"one column for each class, store y.argmax\(1\)"),
            ({"x_test": np.zeros((9, 20, 21, 3), dtype=np.uint8)}, "one image shape and type"),
            ({"x_val": np.zeros((0, 8, 8)), "y_val": np.zeros(0, int)}, r"an image at least.*; remove x_val.npy and y"),
            ({"x_test": np.zeros((0, 20, 20, 3), np.uint8), "y_test": np.zeros(0, int)}, r"an image at least.*x_test"),
            ({"x_train": np.zeros((30, 0, 0))}, r"of a pixel at least, but got \[30, 0, 0\]\."),
            ({"x_train": np.zeros(())}, r"images must be \[N, H, W\].*but got \[\]"),
            ({"x_train": np.zeros((), np.uint8), "y_train": np.zeros((), int)}, r"images must be \[N, H, W\]"),
            ({"y_train": np.array([*np.arange(29) % 3, 10**15])}, r"must be 0 … K-1 .* to 1000000000000000;"),
            ({"y_train": np.array([{"a": 1}] * 30, dtype=object)}, "without pickle"),
        ],
    )
    def test_wrong_arrays_are_refused(self, tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
        with pytest.raises(DataError, match=message):
            prepare(self.write(tmp_path / "a", **changes), tmp_path / "cache")

    @pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
    def test_whole_numbers_of_any_type_are_scaled_by_their_bits(self, tmp_path: Path, dtype: type) -> None:
        draws = np.random.default_rng(0)
        x = {name: draws.integers(0, 4096, (n, 20, 20)).astype(dtype) for name, n in (("x_train", 30), ("x_test", 9))}
        x["x_test"][0, 0, 0] = 4095
        made = self.write(tmp_path / "a", **x)
        with pytest.raises(DataError, match="largest value of the whole set is 4095 .* data.bits=12"):
            prepare(made, tmp_path / "cache")
        stated, auto, full = (
            prepare(made.model_copy(update={"bits": bits}), tmp_path / "cache") for bits in (12, "auto", 16)
        )
        assert stated.fingerprint == auto.fingerprint != full.fingerprint
        assert (stated.bits, auto.bits, full.bits) == (12, 12, 16)
        assert auto.notes == ("Grey values are taken to use 12 bits: the largest is 4095.",)
        expected = np.round(x["x_train"] * (255 / 4095)).astype(np.uint8)
        assert np.array_equal(stated.load().pixels_NCHW[:30, 0], expected)
        with pytest.raises(DataError, match="the whole set, 4095, but got 10; give data.bits=12"):
            prepare(made.model_copy(update={"bits": 10}), tmp_path / "cache")

    def test_float_pixels_out_of_range_are_refused(self, tmp_path: Path) -> None:
        for value, message in ((2.0, "outside"), (np.nan, "not finite")):
            x = np.zeros((30, 20, 20), dtype=np.float32)
            x[7, 0, 0] = value
            made = self.write(tmp_path / "a", x_train=x, x_test=np.zeros((9, 20, 20), dtype=np.float32))
            with pytest.raises(DataError, match=rf"x_train.npy\[7\] has .*{message}"):
                prepare(made, tmp_path / "cache")

    @pytest.mark.parametrize("name", ["valid", "validation", "dev", "Val"])
    def test_val_may_be_called_otherwise(self, tmp_path: Path, name: str) -> None:
        draws = np.random.default_rng(0)
        made = self.write(
            tmp_path / "a",
            **{f"x_{name}": draws.integers(0, 256, (9, 20, 20, 3), dtype=np.uint8), f"y_{name}": np.arange(9) % 3},
        )
        data = prepare(made, tmp_path / "cache")
        assert data.num_images == {"train": 30, "val": 9, "test": 9}
        assert data.notes == (f"val is x_{name}.npy.",)
        for other in ("val_2", "extra", "train_small"):
            np.save(tmp_path / "a" / f"x_{other}.npy", np.zeros((9, 20, 20, 3), np.uint8))
        with pytest.raises(DataError, match="must hold one array for `val`, but .*; rename the right one to x_val.npy"):
            prepare(made, tmp_path / "cache")
        for kind in ("x", "y"):
            (tmp_path / "a" / f"{kind}_{name}.npy").rename(tmp_path / "a" / f"{kind}_val.npy")
        again = prepare(made, tmp_path / "cache")
        assert again.fingerprint == data.fingerprint
        assert again.notes == tuple(f"x_{other}.npy is passed over." for other in ("extra", "train_small", "val_2"))

    def test_missing_files_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        with pytest.raises(DataError, match=r"must hold x_train.npy"):
            prepare(DataConfig(source="arrays", root=str(tmp_path / "a")), tmp_path / "cache")
        np.save(tmp_path / "a" / "x_train.npy", np.zeros((3, 8, 8), np.uint8))
        with pytest.raises(DataError, match=r"y_train.npy is missing"):
            prepare(DataConfig(source="arrays", root=str(tmp_path / "a")), tmp_path / "cache")


def test_torchvision_sets_are_read_by_name(tmp_path: Path) -> None:
    """FakeData needs no files; a real set differs in where its images come from."""
    with pytest.raises(DataError, match="did you mean `CIFAR10`"):
        prepare(DataConfig(source="torchvision.CIFAR11", root=str(tmp_path)), tmp_path / "cache")
    folder = tmp_path / "mnist" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 20)):
        images = draws.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        header = np.array([0x803, count, 28, 28], dtype=">i4").tobytes()
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            np.array([0x801, count], dtype=">i4").tobytes() + labels.tobytes()
        )
    data = prepare(DataConfig(source="torchvision.MNIST", root=str(tmp_path / "mnist")), tmp_path / "cache")
    assert data.num_images == {"train": 50, "val": 10, "test": 20}
    assert (data.channels, data.size) == (1, (28, 28))
    assert data.classes[0] == "0 - zero"


def test_the_bundled_digits_are_cut_by_name(tmp_path: Path) -> None:
    whole = prepare(DataConfig(source="digits", size=16), tmp_path / "cache")
    part = prepare(DataConfig(source="digits_5_9", size=16), tmp_path / "cache")
    assert sum(whole.num_images.values()) == 1797
    assert part.classes == ("5", "6", "7", "8", "9")
    assert sum(part.num_images.values()) == 896


class TestThreeNames:
    """Of the test images, of all images with their splits, and of how they are presented."""

    def names(self, root: Path, cache: Path, **options: object) -> tuple[str, str, str, str]:
        config = DataConfig.model_validate({"source": "image_folder", "root": str(root), "size": 32} | options)
        made = prepare(config, cache)
        return made.test_name, made.images_name, made.presentation_name, made.fingerprint

    @pytest.mark.parametrize(
        ("options", "same"),
        [
            ({"size": 24}, (True, True, False, False)),
            ({"crop": 24}, (True, True, False, False)),
            ({"channels": 1}, (True, True, False, False)),
            ({"balanced": "oversample"}, (True, True, False, False)),
            ({"split_seed": 1}, (False, False, True, False)),
            ({"val_fraction": 0.3}, (True, False, True, False)),
            ({"max_pixels": 10_000}, (True, True, True, True)),
        ],
    )
    def test_an_option_changes_the_names_of_what_it_changes(
        self, folder: Path, tmp_path: Path, options: dict[str, object], same: tuple[bool, ...]
    ) -> None:
        plain = self.names(folder, tmp_path / "cache")
        changed = self.names(folder, tmp_path / "cache", **options)
        assert tuple(a == b for a, b in zip(plain, changed, strict=True)) == same

    def test_moved_images_keep_all_names_and_another_picture_changes_them(self, folder: Path, tmp_path: Path) -> None:
        plain = self.names(folder, tmp_path / "cache")
        moved = folder.rename(folder.with_name("elsewhere"))
        assert self.names(moved, tmp_path / "cache") == plain
        Image.new("RGB", (32, 32), "red").save(moved / "bars" / "00.png")
        assert all(a != b for a, b in zip(self.names(moved, tmp_path / "cache")[1:], plain[1:], strict=True))


@pytest.mark.parametrize("progressive", [False, True])
def test_truncated_jpegs_are_used_on_request_as_far_as_they_go(tmp_path: Path, progressive: bool) -> None:
    root = write_images(tmp_path / "images")
    whole = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    path = root / "dots" / "cut.jpg"
    Image.fromarray(whole).save(path, quality=95, progressive=progressive)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    (root / "dots" / "header.jpg").write_bytes(content[:40])
    with pytest.raises(DataError, match=r"(?s)2 of .*cut.jpg cannot be decoded.*truncated"):
        prepare(config(root), tmp_path / "cache")
    with pytest.raises(DataError, match=r"(?s)1 of .*header.jpg"):
        prepare(config(root, truncated="fill"), tmp_path / "cache")
    (root / "dots" / "header.jpg").unlink()
    data = prepare(config(root, truncated="fill", size=48), tmp_path / "cache")
    assert "1 JPEG files end too early and are used as far as they go." in data.notes
    images = data.load()
    pixels_CHW = images.pixels_NCHW[[name.endswith("cut.jpg") for name in images.names].index(True)]
    assert pixels_CHW[:, :16].std() > 40
    if not progressive:
        assert pixels_CHW[:, -4:, 32:].std() < 1


def test_a_file_that_could_not_be_read_is_tried_again_when_its_rights_have_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = config(folder, skip_bad=True)
    closed = folder / "bars" / "00.png"

    def refused(path: Path, rules: Rules) -> Decoded:
        if path == closed:
            raise BadImage("cannot be decoded: Permission denied")
        return decode_file(path, rules)

    # root may read everything, so that rights alone would show nothing
    with monkeypatch.context() as patch:
        patch.setattr("resnet_tl.data.sources.image_folder.decode_file", refused)
        patch.setattr("os.access", lambda path, mode: Path(path) != closed)
        assert list(prepare(asked, tmp_path / "cache").skipped) == [str(closed)]
    assert prepare(asked, tmp_path / "cache").skipped == {}


def test_another_presentation_takes_over_splits_and_clusters(folder: Path, tmp_path: Path) -> None:
    # at 32 pixels these two differ, at 8 they are one: a cut of its own would put them together
    shutil.copy(folder / "dots" / "00.png", folder / "dots" / "copy.png")
    image = Image.open(folder / "dots" / "copy.png")
    image.putpixel((0, 0), tuple(255 - value for value in image.getpixel((0, 0))))
    image.save(folder / "dots" / "copy.png")
    cache = tmp_path / "cache"
    for folds in (0, 3):
        base = prepare(config(folder), cache, folds=folds)
        for change in ({"size": 8}, {"crop": 24}, {"balanced": "oversample"}, {"size": 8, "balanced": "class_weights"}):
            other = prepare(config(folder, **change), cache, folds=folds, like=base)
            assert other.fingerprint != base.fingerprint
            assert (other.test_name, other.images_name) == (base.test_name, base.images_name)
            a, b = base.load(), other.load()
            assert a.names == b.names
            assert a.clusters_N.tolist() == b.clusters_N.tolist()
            assert all(a.splits[split].tolist() == b.splits[split].tolist() for split in a.splits)
        assert prepare(config(folder), cache, folds=folds, like=base).fingerprint == base.fingerprint


def test_what_is_said_of_a_cut_is_true_of_every_presentation(folder: Path, tmp_path: Path) -> None:
    for index in range(12):  # one drawing twice, which at 8 pixels is one more copy than at 32
        shutil.copy(folder / "dots" / f"{index:02}.png", folder / "dots" / f"{index:02}b.png")
    cache = tmp_path / "cache"
    base = prepare(config(folder, group_key=r"(\d\d)"), cache)
    other = prepare(config(folder, size=8, group_key=r"(\d\d)"), cache, like=base)
    assert "in whole groups" in base.how_cut
    assert other.how_cut == base.how_cut
    assert not any("-" in note.split(" images")[0] for note in other.notes), "a negative count"


def test_copies_are_known_whatever_groups_there_are_and_taken_over(folder: Path, tmp_path: Path) -> None:
    for index in range(3):
        shutil.copy(folder / "dots" / f"{index:02}.png", folder / "dots" / f"{index:02}b.png")
    cache = tmp_path / "cache"
    base = prepare(config(folder, group_key=r"(\d\d)"), cache)
    images = base.load()
    names = [[Path(images.names[index]).name for index in found] for found in images.copies]
    assert names == [["00.png", "00b.png"], ["01.png", "01b.png"], ["02.png", "02b.png"]]
    assert prepare(config(folder, size=8, group_key=r"(\d\d)"), cache, like=base).load().copies == images.copies


def test_a_split_that_was_cut_elsewhere_is_not_cut_again(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    base = prepare(config(folder, split_seed=1), cache)
    taken = prepare(config(folder, size=24), cache, like=base)
    own = prepare(config(folder, size=24), cache)
    assert taken.load().splits["test"].tolist() == base.load().splits["test"].tolist()
    assert own.load().splits["test"].tolist() != base.load().splits["test"].tolist()


def test_images_that_one_presentation_lacks_are_named(folder: Path, tmp_path: Path) -> None:
    base = prepare(config(folder), tmp_path / "cache")
    (folder / "dots" / "03.png").unlink()
    with pytest.raises(DataError, match=r"1 can be used at one size alone:\n.*03.png"):
        prepare(config(folder, size=24), tmp_path / "cache", like=base)
