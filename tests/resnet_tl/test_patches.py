"""The command as people run it."""

from pathlib import Path

from resnet_tl.config import DataConfig
from resnet_tl.data.prepare import prepare
from tests.conftest import Run
from tests.resnet_tl.data.patches.conftest import save, spot, write_marked


def test_it_tells_what_it_made_and_how_to_train_on_it(tmp_path: Path, run: Run) -> None:
    root = write_marked(tmp_path)
    save(root / "masks" / "malignant" / "005_0.png", spot(1, 1) * 0)
    done = run("resnet_tl.patches", "images=images", "masks=masks", "out=the set", "size=16", "group_key=^(\\d+)_")
    assert done.returncode == 0, done.stderr
    assert "The negative class is benign, the first by name" in done.stdout
    assert "1 images have no region (0 no mask file, 1 an empty mask)" in done.stdout
    assert "1 of them stand under another class" in done.stdout
    assert "patches were moved to lie inside of their image" in done.stdout
    assert "in whole groups (group_key=^(\\d+)_)" in done.stdout
    header, *rows = (line.split() for line in done.stdout.splitlines()[:4])
    assert header == ["train", "val", "test", "flagged", "clamped"]
    assert [row[0] for row in rows] == ["benign", "malignant", "patches"]
    assert sum(map(int, rows[2][1:4])) == 20
    assert [row[4] for row in rows] == ["1", "0", "1"]
    assert (tmp_path / "the set" / "contact.png").exists()
    assert done.stdout.endswith("Train with: data.source=patches data.root=the set\n")
    data = prepare(DataConfig(source="patches", root=str(tmp_path / "the set")), tmp_path / "cache")
    assert sum(data.num_images.values()) == 20


def test_mistakes_are_told_with_exit_status_2(tmp_path: Path, run: Run) -> None:
    done = run("resnet_tl.patches", "images=nowhere", "masks=m", "out=o", "szie=16")
    assert done.returncode == 2
    assert "`szie` is not an option; did you mean `size`?" in done.stderr
    assert "`size` must be given" in done.stderr
    helped = run("resnet_tl.patches", "--help")
    assert helped.returncode == 0
    assert "per_region  (default False)" in helped.stdout
