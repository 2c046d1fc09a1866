from pathlib import Path

import pytest

from resnet_tl.config import DataConfig
from resnet_tl.data.prepare import prepare
from resnet_tl.errors import DataError
from tests.conftest import write_images


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """The drawings in one folder, without class folders."""
    sorted_by_class = write_images(tmp_path / "sorted")
    root = tmp_path / "flat"
    root.mkdir()
    for path in sorted(sorted_by_class.rglob("*.png")):
        path.rename(root / f"{path.parent.name}{path.name}")
    return root


def write(root: Path, text: str | None = None, head: str = "file,label") -> DataConfig:
    rows = [f"{path.name},{path.name[:-6]}" for path in sorted(root.glob("*.png"))]
    (root / "labels.csv").write_text(text or "\n".join([head, *rows]), encoding="utf-8-sig")
    return DataConfig(source="image_folder", root=str(root), labels="labels.csv")


def test_a_table_says_what_folders_would(flat: Path, tmp_path: Path) -> None:
    asked = write(flat)
    data = prepare(asked, tmp_path / "cache")
    images = data.load()
    assert data.classes == ("bars", "dots", "rings")
    for name, label in zip(images.names, images.labels_N, strict=True):
        assert Path(name).name.startswith(data.classes[label])
    folders = write_images(tmp_path / "again")
    assert (
        data.fingerprint
        == prepare(DataConfig(source="image_folder", root=str(folders)), tmp_path / "cache").fingerprint
    )
    text = (flat / "labels.csv").read_text(encoding="utf-8-sig")
    for other in (
        text.replace(",", ";"),
        text.replace(".png", ""),
        text.replace("file", "File"),
        text.replace("\n", "\r\n"),
    ):
        assert prepare(write(flat, other), tmp_path / "cache").fingerprint == data.fingerprint


def test_a_table_may_state_the_splits(flat: Path, tmp_path: Path) -> None:
    rows = [
        f"{path.name},{path.name[:-6]},{'valid' if path.stem.endswith('1') else 'Train'}"
        for path in sorted(flat.glob("*"))
    ]
    data = prepare(write(flat, "\n".join(["file,label,split", *rows])), tmp_path / "cache")
    images = data.load()
    assert {Path(images.names[index]).stem[-1] for index in images.splits["val"]} == {"1"}
    assert data.num_images == {"train": 24, "val": 6, "test": 6}
    with pytest.raises(DataError, match="in every row or in none, but is empty in 1"):
        prepare(write(flat, "\n".join(["file,label,split", *rows]).replace(",Train", ",", 1)), tmp_path / "cache")


def test_images_and_rows_without_the_other_are_named(flat: Path, tmp_path: Path) -> None:
    asked = write(flat)
    (flat / "dots03.png").rename(flat / "extra.png")
    with pytest.raises(DataError, match=r"dots03.png has a row in labels.csv, but is not there"):
        prepare(asked, tmp_path / "cache")
    data = prepare(asked.model_copy(update={"skip_bad": True}), tmp_path / "cache")
    assert [Path(name).name for name in data.skipped] == ["dots03.png"]
    assert data.notes[0].endswith("have no row in labels.csv and are passed over: extra.png.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,class\nbars00.png,a", r"must have the columns `file` and `label` .*but has:\n  name\n  class"),
        ("file,label\nbars00.png,", "line 2: `file` and `label` must not be empty"),
        ("file,label\nbars00.png,a\nbars00.png,b", "line 3: bars00.png has a label already, in line 2"),
        (
            "file,label,split\nbars00.png,a,holdout",
            "line 2: `split` must be one of train, val, test, but got 'holdout'",
        ),
        ("file,label\nbars00.png,a", "At least two classes"),
        ("file,label,split\nbars00.png,a,train\nbars01.png,b,train\nbars02.png,c,test", "in `train`.*:\n  c"),
    ],
)
def test_wrong_tables_are_refused(flat: Path, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(write(flat, text), tmp_path / "cache")


def test_rows_that_name_no_image_say_why(flat: Path, tmp_path: Path) -> None:
    asked = write(flat)
    for name in ("one", "two"):
        (flat / name).mkdir()
        (flat / name / "same.png").write_bytes((flat / "bars00.png").read_bytes())
    (flat / "scan.xyz").touch()
    with (flat / "labels.csv").open("a", encoding="utf-8") as stream:
        stream.write("\nsame.png,bars\nscan.xyz,bars\nnobody.png,bars")
    with pytest.raises(DataError) as caught:
        prepare(asked, tmp_path / "cache")
    text = str(caught.value)
    assert "that is the name of 2 files (one/same.png, two/same.png); give the path below" in text
    assert "scan.xyz has a row in labels.csv, but is no image by its name" in text
    assert "nobody.png has a row in labels.csv, but is not there" in text


@pytest.mark.parametrize("group_key", [None, r"(\w+)\.png"])
def test_absolute_paths_are_taken_below_the_root_and_refused_elsewhere(
    flat: Path, tmp_path: Path, group_key: str | None
) -> None:
    plain = prepare(write(flat).model_copy(update={"group_key": group_key}), tmp_path / "cache")
    rows = [f"{path},{path.name[:-6]}" for path in sorted(flat.glob("*.png"))]
    asked = write(flat, "\n".join(["file,label", *rows])).model_copy(update={"group_key": group_key})
    assert prepare(asked, tmp_path / "cache").fingerprint == plain.fingerprint
    (tmp_path / "link").symlink_to(flat, target_is_directory=True)
    linked = asked.model_copy(update={"root": str(tmp_path / "link")})
    assert prepare(linked, tmp_path / "cache").fingerprint == plain.fingerprint
    for elsewhere in ("/nowhere/a.png", "../a.png"):
        other = write(flat, "\n".join(["file,label", *rows, f"{elsewhere},bars"])).model_copy(
            update={"group_key": group_key}
        )
        with pytest.raises(DataError, match=f"line 38: `file` must be a path below .*, but got {elsewhere}"):
            prepare(other, tmp_path / "cache")


def test_a_missing_table_is_a_clear_error(flat: Path, tmp_path: Path) -> None:
    asked = DataConfig(source="image_folder", root=str(flat), labels="nowhere.csv")
    with pytest.raises(DataError, match="`data.labels` must be a CSV in UTF-8, but .*nowhere.csv cannot be read"):
        prepare(asked, tmp_path / "cache")
