"""A patch set as training reads it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.config import DataConfig
from resnet_tl.data.patches.make import make_patches
from resnet_tl.data.prepare import prepare
from resnet_tl.data.sources import source_of
from resnet_tl.errors import DataError
from tests.resnet_tl.data.patches.conftest import noise, options, save, spot, write_marked


def config(folder: Path, **changes: object) -> DataConfig:
    return DataConfig.model_validate({"source": "patches", "root": str(folder / "out")} | changes)


def test_stated_splits_are_taken_and_grey_stays_grey(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    made = make_patches(options(root))
    data = prepare(config(root), tmp_path / "cache")
    assert data.channels == 1
    assert data.size == (16, 16)
    assert data.num_images == {split: sum(row.split == split for row in made.rows) for split in data.num_images}
    images = data.load()
    for index, name in enumerate(images.names):
        assert np.array_equal(images.pixels_NCHW[index, 0], np.asarray(Image.open(name)))


def test_groups_of_the_manifest_are_groups_of_splits_and_clusters(tmp_path: Path) -> None:
    root = write_marked(tmp_path, count=20)
    made = make_patches(options(root, split=False, group_key=r"^(\d+)_"))
    data = prepare(config(root), tmp_path / "cache")
    assert "in whole groups (as the source names them)" in data.how_cut
    images = data.load()
    group_of = {str(root / "out" / row.path): row.group for row in made.rows}
    split_of = {int(index): split for split, found in images.splits.items() for index in found}
    sides: dict[str, set[str]] = {}
    clusters: dict[str, set[int]] = {}
    for index, name in enumerate(images.names):
        sides.setdefault(group_of[name], set()).add(split_of[index])
        clusters.setdefault(group_of[name], set()).add(int(images.clusters_N[index]))
    assert len(sides) == 20
    assert all(len(found) == 1 for found in [*sides.values(), *clusters.values()])
    assert len(set().union(*clusters.values())) == 20


def test_flagged_patches_are_left_out_on_demand_and_counted(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    for name in ("000_0", "000_1", "001_2"):
        save(root / "masks" / "benign" / f"{name}.png", spot(1, 1) * 0)
    make_patches(options(root, split=False))
    whole = prepare(config(root), tmp_path / "cache")
    assert any("3 of 20 patches are flagged" in note for note in whole.notes)
    without = prepare(config(root, skip_flagged=True), tmp_path / "cache")
    assert sum(whole.num_images.values()) == 20
    assert sum(without.num_images.values()) == 17
    assert any("3 of 20 patches are flagged" in note and "are left out" in note for note in without.notes)
    assert without.fingerprint != whole.fingerprint
    assert not any("000_0" in name for name in without.load().names)


def test_skipping_where_nothing_is_flagged_renames_nothing(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    make_patches(options(root))
    names = {prepare(config(root, **asked), tmp_path / "cache").fingerprint for asked in ({}, {"skip_flagged": True})}
    assert len(names) == 1


def test_a_class_of_flagged_patches_alone_is_told_and_two_classes_must_be_left(tmp_path: Path) -> None:
    root = write_marked(tmp_path, classes=("benign", "malignant", "normal"))
    for path in (root / "masks" / "normal").iterdir():
        path.unlink()
    make_patches(options(root, negative="normal"))
    listing = source_of(config(root)).list(config(root, skip_flagged=True))
    assert listing.classes == ("benign", "malignant")
    assert any("No patch is left of normal" in sentence for sentence in listing.said)
    for path in (root / "masks" / "malignant").iterdir():
        path.unlink()
    make_patches(options(root, negative="normal", out=str(root / "other" / "out")))
    with pytest.raises(DataError, match="two classes at least"):
        prepare(config(root / "other", skip_flagged=True), tmp_path / "cache")


def test_files_that_differ_from_the_manifest_are_all_named(tmp_path: Path) -> None:
    root = write_marked(tmp_path)
    rows = make_patches(options(root)).rows
    (root / "out" / ".DS_Store").write_bytes(b"left by a file manager")
    prepare(config(root), tmp_path / "cache")
    gone, changed = rows[0].path, rows[1].path
    (root / "out" / gone).unlink()
    save(root / "out" / changed, noise(99, width=16, height=16))
    save(root / "out" / "train" / "benign" / "more.png", noise(98, width=16, height=16))
    with pytest.raises(DataError) as caught:
        prepare(config(root, skip_bad=True), tmp_path / "cache")
    said = str(caught.value)
    assert f"1 patches of the manifest are missing:\n  {gone}" in said
    assert (
        f"1 patches differ from the sha256 that the manifest states: they were changed or damaged:\n  {changed}" in said
    )
    assert "1 files are not in the manifest:\n  train/benign/more.png" in said
