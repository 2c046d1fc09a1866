import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.patches.make import make_patches
from resnet_tl.data.patches.manifest import COLUMNS, read_manifest
from resnet_tl.errors import DataError
from tests.resnet_tl.data.patches.conftest import noise, options, save, spot, write_marked


def test_patches_are_the_pixels_around_the_region_and_the_manifest_says_where(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    made = make_patches(options(root))
    with (root / "out" / "manifest.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == 20
    num_clamped = 0
    for line in lines:
        path = root / "out" / line["path"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == line["sha256"]
        source = np.asarray(Image.open(root / "images" / line["source"]))
        x, y = int(line["x"]), int(line["y"])
        assert (line["width"], line["height"], line["flag"], line["group"]) == ("16", "16", "false", "")
        assert np.array_equal(np.asarray(Image.open(path)), source[y : y + 16, x : x + 16])
        _, label, name = line["path"].split("/")
        assert (label, f"{label}/{name}") == (line["label"], line["source"])
        mask = np.asarray(Image.open(root / "masks" / line["source"]))
        centre_y, centre_x = (int(places.mean()) for places in np.nonzero(mask))
        assert (x, y) == (min(max(centre_x - 8, 0), 32), min(max(centre_y - 8, 0), 24))
        num_clamped += (x, y) != (centre_x - 8, centre_y - 8)
    assert {line["path"].partition("/")[0] for line in lines} == {"train", "val", "test"}
    assert sum(made.clamped) == num_clamped > 0


def test_sixteen_bits_and_colours_come_out_as_they_were(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    deep = noise(50).astype(np.uint16) * 250
    save(root / "images" / "benign" / "000_0.png", deep)
    colour = np.stack([noise(51), noise(52), noise(53)], axis=2)
    save(root / "images" / "benign" / "000_1.png", colour)
    make_patches(options(root, split=False))
    for row, source in zip(read_manifest(root / "out"), (deep, colour), strict=False):
        patch = np.asarray(Image.open(root / "out" / row.path))
        assert patch.dtype == source.dtype
        assert np.array_equal(patch, source[row.y : row.y + 16, row.x : row.x + 16])


def test_an_image_without_a_region_gives_its_centre_the_negative_class_and_a_flag(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    save(root / "masks" / "benign" / "000_0.png", spot(1, 1) * 0)
    (root / "masks" / "malignant" / "005_0.png").unlink()
    save(root / "images" / "benign" / "malignant" / "005_0.png", noise(77))  # its name is taken by the other
    made = make_patches(options(root, negative="benign", split=False))
    flagged = {row.source: row for row in made.rows if row.flag}
    assert {name: (row.label, row.x, row.y) for name, row in flagged.items()} == {
        "benign/000_0.png": ("benign", 16, 12),
        "benign/malignant/005_0.png": ("benign", 16, 12),
        "malignant/005_0.png": ("benign", 16, 12),
    }
    assert len({row.path for row in made.rows}) == 21
    assert (made.num_without_mask, made.num_relabelled) == (2, 1)
    assert read_manifest(root / "out") == made.rows


def test_each_region_gives_a_patch_and_those_of_an_image_stay_together(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    for path in sorted((root / "masks").rglob("*.png")):
        first = np.asarray(Image.open(path))
        save(path, np.maximum(first, spot(44, 36)))
    whole = make_patches(options(root, out=str(root / "whole")))
    assert len(whole.rows) == 20
    assert whole.num_missed > 0, "the centroid of two spots lies between them"
    made = make_patches(options(root, per_region=True))
    assert len(made.rows) == 40
    assert made.num_missed == 0
    assert sum(made.clamped) >= 20
    splits: dict[str, set[str | None]] = {}
    for row in made.rows:
        assert row.group == row.source
        splits.setdefault(row.source, set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {row.split for row in made.rows} == {"train", "val", "test"}


def test_a_patient_stands_in_one_split(tmp_path: Path) -> None:
    root = write_marked(tmp_path, count=20)
    made = make_patches(options(root, group_key=r"^(\d+)_"))
    splits: dict[str, set[str | None]] = {}
    for row in made.rows:
        splits.setdefault(row.group, set()).add(row.split)
    assert len(splits) == 20
    assert all(len(found) == 1 for found in splits.values())
    for split in ("val", "test"):
        assert {row.label for row in made.rows if row.split == split} == {"benign", "malignant"}


def test_copies_of_an_image_stand_together_though_their_masks_differ(tmp_path: Path) -> None:
    root = write_marked(tmp_path, count=8)
    for index in range(3):
        picture = Image.fromarray(noise(90 + index, width=96, height=80))
        picture.save(root / "images" / "benign" / f"a{index}.png")
        picture.resize((48, 40)).save(root / "images" / "benign" / f"b{index}.png")
        save(root / "masks" / "benign" / f"a{index}.png", spot(70, 60, width=96, height=80))
        save(root / "masks" / "benign" / f"b{index}.png", spot(5, 5))
    for seed in range(8):
        made = make_patches(options(root, split_seed=seed, out=str(root / f"out{seed}")))
        split_of = {row.source: row.split for row in made.rows}
        for index in range(3):
            assert split_of[f"benign/a{index}.png"] == split_of[f"benign/b{index}.png"]


def test_all_images_and_masks_that_cannot_be_used_are_named_at_once_and_nothing_is_left(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    (root / "images" / "benign" / "000_0.png").write_bytes(b"no image")
    save(root / "masks" / "benign" / "000_1.png", spot(1, 1, width=50))
    save(root / "masks" / "benign" / "001_2.png", np.maximum(spot(1, 1), spot(9, 9) // 2))
    save(root / "images" / "benign" / "001_3.png", noise(1, width=12))
    save(root / "masks" / "benign" / "001_3.png", spot(1, 1, width=12))
    with pytest.raises(DataError) as caught:
        make_patches(options(root))
    said = str(caught.value)
    for words in (
        "benign/000_0.png is not an image",
        "000_1.png has 50 × 40 pixels, benign/000_1.png 48 × 40",
        "001_2.png must hold 0 and one other value",
        "threshold=N",
        "size=16 must fit into its image, but these are smaller:\n  benign/001_3.png has 12 × 40 pixels",
    ):
        assert words in said
    assert sorted(path.name for path in root.iterdir()) == ["images", "masks"]


def test_patches_of_one_class_alone_are_refused(tmp_path: Path) -> None:
    root = write_marked(tmp_path, count=2)
    for path in (root / "masks" / "malignant").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="all would be of benign"):
        make_patches(options(root))


def test_the_same_request_makes_the_same_bytes(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    for name in ("one", "two"):
        make_patches(options(root, out=str(root / name)))
    one, two = (
        {path.relative_to(root / name): path.read_bytes() for path in (root / name).rglob("*") if path.is_file()}
        for name in ("one", "two")
    )
    assert one == two


def test_the_sheet_has_every_image_on_pages_of_eighty(tmp_path: Path) -> None:
    root = write_marked(tmp_path, count=41)
    made = make_patches(options(root, split=False))
    assert made.pages == ["contact-1.png", "contact-2.png"]
    first, second = (Image.open(root / "out" / name) for name in made.pages)
    assert first.height > 5 * second.height
    assert (np.asarray(first) == (60, 220, 90)).all(axis=2).sum() > 1000, "squares are drawn"
