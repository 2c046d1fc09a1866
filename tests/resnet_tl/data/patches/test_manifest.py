from pathlib import Path

import pytest

from resnet_tl.data.patches.manifest import MANIFEST, Row, manifest_text, read_manifest
from resnet_tl.errors import DataError

SHA = "0" * 64


def row(path: str = "a/1.png", **changes: object) -> Row:
    values = {"source": "a/1.jpg", "x": 1, "y": 2, "width": 8, "height": 8, "label": "a", "flag": False, "group": "",
              "sha256": SHA}  # fmt: skip
    return Row(path=path, **values | changes)  # type: ignore[arg-type]


def test_what_is_written_is_read_again_whatever_names_hold(tmp_path: Path) -> None:
    rows = [
        row('a/1,"x"\n é.png', source='a/1,"x"\n é.jpg', group="p,1"),
        row("b/2.png", label="b", flag=True, group="=2"),
    ]
    (tmp_path / MANIFEST).write_text(manifest_text(rows), encoding="utf-8", newline="")
    assert read_manifest(tmp_path) == rows
    assert rows[1].split is None
    assert row("val/a/1.png").split == "val"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("../a/1.png")], "must lead to a file below"),
        ([row("/a/1.png")], "must lead to a file below"),
        ([row("b/1.png")], "through the folder of its class 'a'"),
        ([row("train/1.png")], "through the folder of its class 'a'"),
        ([row(x=-1)], "`x` must be a whole number from 0 on"),
        ([row(width=0)], "`width` must be a whole number from 1 on"),
        ([row(sha256="abc")], "64 hexadecimal digits"),
        ([row(), row()], "a/1.png stands in several rows"),
        ([row(), row("a/2.png", group="p")], "`group` must be given in every row or in none"),
        ([row(), row("train/a/2.png")], "must all stand in folders of splits, or none"),
        ([], "there must be a patch at least"),
    ],
)
def test_a_row_that_is_not_as_it_must_be_is_named(tmp_path: Path, rows: list[Row], said: str) -> None:
    (tmp_path / MANIFEST).write_text(manifest_text(rows))
    with pytest.raises(DataError, match=said):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("false", "no", "line 2: `flag` must be true or false, but got 'no'"),
        ("path,source", "source,path", "must have the columns path, source, x"),
        (f",{SHA}", "", "line 2: 10 values must stand there, but got 9"),
        ("a/1.jpg", '"a/1.jpg', "no CSV that can be read"),
    ],
)
def test_a_manifest_that_was_spoilt_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / MANIFEST).write_text(manifest_text([row()]).replace(old, new))
    with pytest.raises(DataError, match=said):
        read_manifest(tmp_path)


def test_a_folder_without_manifest_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no manifest.csv.*resnet_tl.patches"):
        read_manifest(tmp_path)
