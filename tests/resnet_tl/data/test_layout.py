"""What people call their folders, and what is made of it."""

from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.groups import GroupKey, group_key
from resnet_tl.data.layout import read_layout, split_of
from resnet_tl.errors import DataError


def made(root: Path, *names: str) -> Path:
    """Folders with an image each; those that end in `/` are empty."""
    for name in names:
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            Image.new("L", (8, 8)).save(folder / "a.png")
    return root


def places(root: Path, *names: str, key: GroupKey | None = None) -> dict[str | None, str]:
    layout = read_layout(made(root, *names), key)
    return {split: place.relative_to(root).as_posix() for split, place in layout.places}


def said(root: Path) -> str:
    return " ".join(read_layout(root).said)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("Train", "train"), ("TRAINING", "train"), ("training_set", "train"), ("trainset", "train"),
        ("TrainSet", "train"), ("train-images", "train"), ("train_small_2", "train"), ("images_train", "train"),
        ("valid", "val"), ("Validation", "val"), ("dev", "val"), ("val2017", "val"), ("valid-data", "val"),
        ("test", "test"), ("Testing", "test"), ("test_set", "test"), ("testset", "test"), ("Test Images", "test"),
    ],
)  # fmt: skip
def test_splits_are_known_in_any_spelling(name: str, split: str) -> None:
    assert split_of(name) == (split, True)


@pytest.mark.parametrize("name", ["train_station", "test_tube", "freight train", "flowers_val"])
def test_a_name_with_another_word_only_may_be_a_split(name: str) -> None:
    found, sure = split_of(name)
    assert found is not None
    assert not sure


@pytest.mark.parametrize("name", ["trainer", "contest", "invalid", "devil", "cats", "test_train", "12"])
def test_a_name_without_such_a_word_is_none(name: str) -> None:
    assert split_of(name) == (None, False)


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("training_set", "test_set", "test"), ("Train", "Test", "test"), ("training", "validation", "val"),
        ("train", "valid", "val"), ("trainset", "dev", "val"), ("train_images", "TestImages", "test"),
        ("flowers_train", "flowers_test", "test"), ("2019-train", "2019-val", "val"),
    ],
)  # fmt: skip
def test_outer_folders_that_are_splits_are_not_taken_for_classes(
    tmp_path: Path, train: str, other: str, split: str
) -> None:
    names = [f"{outer}/{inner}" for outer in (train, other) for inner in ("cat", "dog")]
    assert places(tmp_path, *names) == {"train": train, split: other}
    if train != "train":
        assert f"train is `{train}`" in said(tmp_path)


def test_class_names_that_sound_like_splits_stay_classes(tmp_path: Path) -> None:
    assert places(tmp_path / "a", "train_station", "test_tube", "bus") == {None: "."}
    assert places(tmp_path / "b", "valid", "invalid") == {None: "."}
    assert "`valid` is taken for a class" in said(tmp_path / "b")
    with pytest.raises(
        DataError, match="`train` is a class like `bus`, `plane` beside it, rename it, to `train_class`"
    ):
        places(tmp_path / "c", "train", "bus", "plane")
    with pytest.raises(DataError, match="no `train` folder to learn from. If `test` are classes, rename them"):
        places(tmp_path / "d", "test", "bus")


def test_splits_without_labels_are_refused_or_passed_over(tmp_path: Path) -> None:
    assert places(tmp_path / "d", "train/cat", "train/dog", "test/", "val/") == {"train": "train"}
    assert "d/test holds no images and is passed over; test is cut from train." in said(tmp_path / "d")
    assert places(tmp_path / "a", "train/cat", "train/dog", "test") == {"train": "train"}
    assert "holds images without class folders, so without labels, and is passed over; test is cut" in said(
        tmp_path / "a"
    )
    with pytest.raises(
        DataError, match="one folder of images for each class, but .*/train holds images directly. Sort"
    ):
        places(tmp_path / "b", "train", "test")
    with pytest.raises(DataError, match="holds images directly"):
        places(tmp_path / "c", "training", "testing")


def test_two_folders_for_one_split_are_refused_unless_one_is_empty(tmp_path: Path) -> None:
    inner = ("cat", "dog")
    names = [f"{outer}/{name}" for outer in ("train", "val") for name in inner]
    assert places(tmp_path, *names, "validation/") == {"train": "train", "val": "val"}
    assert "Folders without images beside the splits are passed over: `validation`" in said(tmp_path)
    with pytest.raises(DataError, match="One folder must be the split `val`, but .* holds `val`, `validation`; rename"):
        places(tmp_path, *(f"validation/{name}" for name in inner))


def test_folders_beside_the_splits(tmp_path: Path) -> None:
    splits = ["train/cat", "train/dog", "test/cat", "test/dog"]
    (made(tmp_path, *splits, "logs/") / "logs" / "run.txt").touch()
    assert places(tmp_path) == {"train": "train", "test": "test"}
    assert "passed over: `logs`" in said(tmp_path)
    with pytest.raises(DataError, match="others with images beside them; move these away.*\n  masks"):
        places(tmp_path, "masks")
    with pytest.raises(DataError, match=r"flowers_val \(rename it to `val`\?\)"):
        places(tmp_path, "flowers_val/cat", "flowers_val/dog")


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (["2019/cat", "2019/dog", "2020/cat", "2020/dog"], "If the inner ones are the classes"),
        (["cat/train", "cat/test", "dog/train", "dog/test"], "train/cat, not cat/train"),
        (["train/a/cat", "train/a/dog", "train/b/cat", "train/b/dog"], "If the inner ones are the classes"),
        (["ill/p1", "ill/p2", "well/p1"], "data.group_key"),
    ],
)
def test_a_hierarchy_is_no_list_of_classes(tmp_path: Path, names: list[str], advice: str) -> None:
    with pytest.raises(DataError, match=f"folders of the same name stand in several of them(.|\n)*{advice}"):
        places(tmp_path, *names)


def test_a_folder_of_data_sets_is_no_list_of_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pets holds splits \(train, val\)(.|\n)*data.root=.*pets\?"):
        places(tmp_path, "pets/train/cat", "pets/train/dog", "pets/val/cat", "rays")


@pytest.mark.parametrize(
    "names",
    [
        ("cat_train", "dog_train", "cat_test", "dog_test"), ("trainA", "trainB", "testA", "testB"),
        ("train-cat1", "train-cat2", "val-cat1", "val-cat2"), ("catTrain", "catTest_images"),
        ("train_cat", "dog", "valid_cat"), ("2019_cat_train/p1", "2019_cat_test/p2"),
    ],
)  # fmt: skip
def test_one_class_in_two_splits_is_not_two_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"one class in several splits(.|\n)*\(rename it to `train"):
        places(tmp_path, *names)


def test_classes_that_differ_by_more_than_a_split_stay_classes(tmp_path: Path) -> None:
    assert places(tmp_path / "a", "train_cat1", "test_cat2") == {None: "."}
    assert places(tmp_path / "b", "train_station", "train_ticket", "test_tube") == {None: "."}
    assert places(tmp_path / "c", "val_cat", "test_cat") == {None: "."}, "without train nothing is learnt twice"


def test_folders_that_hold_no_group_are_no_groups(tmp_path: Path) -> None:
    """Hospitals with the same classes inside, and patients in the names of files."""
    names = [f"{outer}/{inner}" for outer in ("hospitalA", "hospitalB") for inner in ("normal", "sick")]
    made(tmp_path, *names)
    for path in sorted(tmp_path.rglob("a.png")):
        path.rename(path.with_name("p1_1.png"))
    for key in (r"(p\d+)_", r".*/(p\d+)_", r"/normal/(p\d+)"):
        with pytest.raises(DataError, match=r"folders of the same name stand in several of them(.|\n)*normal: in hosp"):
            places(tmp_path, key=group_key(key))


@pytest.mark.parametrize("key", [r"(p\d+)", r"/p(\d+)/", r"^([^/]+)/", r"^(p)"])
def test_folders_of_groups_may_stand_in_several_classes(tmp_path: Path, key: str) -> None:
    assert places(tmp_path, "ill/p1", "ill/p2", "well/p1", key=group_key(key)) == {None: "."}


def test_folders_below_classes_may_be_groups_or_say_nothing(tmp_path: Path) -> None:
    assert places(tmp_path / "a", "ill/p1", "ill/p2", "well/p1", key=group_key(r"(p\d+)")) == {None: "."}
    assert places(tmp_path / "b", "cat/images", "dog/images") == {None: "."}
    assert places(tmp_path / "c", "cat/tabby", "dog/poodle") == {None: "."}


def test_a_folder_around_the_folder_is_pointed_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds photos alone.*did you mean data.root=.*/photos"):
        places(tmp_path, "photos/cat", "photos/dog")
