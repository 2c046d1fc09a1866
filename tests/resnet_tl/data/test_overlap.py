"""Images that one set learns from and another one is scored on."""

import shutil
from pathlib import Path

from resnet_tl.config import DataConfig
from resnet_tl.data.overlap import num_scored_images_learnt
from resnet_tl.data.prepare import Prepared, prepare


def read(root: Path, cache: Path, **changes: object) -> tuple[DataConfig, Prepared]:
    config = DataConfig.model_validate({"source": "image_folder", "root": str(root), "size": 16} | changes)
    return config, prepare(config, cache)


def test_the_same_files_and_copies_of_them_are_counted(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    scored = read(folder, cache)
    assert num_scored_images_learnt(read(folder, cache, size=24), scored) == 0, "the same cut at another size"
    other = read(folder, cache, split_seed=1)
    names = {split: {scored[1].load().names[i] for i in scored[1].load().splits[split]} for split in ("val", "test")}
    learnt = {other[1].load().names[i] for i in other[1].load().splits["train"]}
    expected = len(learnt & (names["val"] | names["test"]))
    assert expected > 0
    assert num_scored_images_learnt(other, scored) == expected
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert num_scored_images_learnt(read(tmp_path / "elsewhere", cache, split_seed=1), scored) == expected
    beside = read(folder, cache, shifted={"night": str(tmp_path / "elsewhere")})
    assert num_scored_images_learnt(other, beside) == expected + len(learnt)


def test_images_of_a_library_are_told_by_name(tmp_path: Path) -> None:
    digits = [DataConfig.model_validate({"source": "digits", "split_seed": seed}) for seed in (0, 0, 1)]
    same, again, another = ((config, prepare(config, tmp_path)) for config in digits)
    assert num_scored_images_learnt(same, again) == 0
    assert num_scored_images_learnt(another, same) > 100
