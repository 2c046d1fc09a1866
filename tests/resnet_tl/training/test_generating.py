"""Generated images are made once, from train alone, and stand behind the real ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.config import DataConfig, SyntheticConfig
from resnet_tl.data.prepare import Prepared, prepare, verify
from resnet_tl.data.synthetic import sheet_of, with_generated
from resnet_tl.errors import DataError
from resnet_tl.training import generating
from resnet_tl.training.generating import make_generated
from tests.conftest import CPU, write_images


def named(real: Prepared, cache: Path, **options: object) -> Prepared:
    config = SyntheticConfig.model_validate({"share": 0.5, "steps": 2} | options)
    return with_generated(real, config, environment=CPU, cache=cache)


def test_they_stand_behind_the_real_ones(prepared: Prepared, tmp_path: Path) -> None:
    data = named(prepared, tmp_path)
    make_generated(data, device="cpu")
    assert data.is_made
    real, images = prepared.load(), data.load()
    N, n = len(real.labels_N), len(real.splits["train"])
    assert images.pixels_NCHW.shape == (N + n, *real.pixels_NCHW.shape[1:])
    assert images.pixels_NCHW.dtype == real.pixels_NCHW.dtype
    assert np.array_equal(images.pixels_NCHW[:N], real.pixels_NCHW)
    assert images.splits["synthetic"].tolist() == list(range(N, N + n))
    for split in ("train", "val", "test"):
        assert np.array_equal(images.splits[split], real.splits[split])
    assert images.learnable.tolist() == [*real.splits["train"], *images.splits["synthetic"]]
    made = images.labels_N[images.splits["synthetic"]]
    assert np.array_equal(np.bincount(made), np.bincount(real.labels_N[real.splits["train"]]))
    assert images.names[N] == "synthetic/bars/0000"
    assert len(images.names) == len(set(images.names)) == N + n
    assert np.array_equal(images.clusters_N[:N], real.clusters_N)
    assert len(set(images.clusters_N[N:]) - set(real.clusters_N)) == n, "each depends on no other image"
    assert images.share == 0.5
    assert real.share == 0
    verify(data)
    assert sorted(path.name for path in Path(data.folder).iterdir()) == [
        "data.json", "images.npy", "lock", "sheet.png",
    ]  # fmt: skip


def test_another_size_and_type_is_that_of_the_stored_images(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    np.save(tmp_path / "x" / "x_train.npy", np.random.default_rng(0).random((12, 20, 24), dtype=np.float32))
    np.save(tmp_path / "x" / "y_train.npy", np.arange(12) % 2)
    config = DataConfig.model_validate({"source": "arrays", "root": str(tmp_path / "x")})
    real = prepare(config, tmp_path)
    data = named(real, tmp_path)
    make_generated(data, device="cpu")
    images = data.load()
    made = images.pixels_NCHW[images.splits["synthetic"]]
    assert made.shape[1:] == (1, 20, 24)
    assert made.dtype == real.load().pixels_NCHW.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 1
    assert 0.2 < made.mean() < 0.8


def test_the_generator_meets_the_images_of_train_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "val", "test"):
        write_images(tmp_path / "x" / name, count=4, size=32)
    for path in sorted((tmp_path / "x").rglob("*.png")):  # no copies between splits
        shade = {"train": 0, "val": 90, "test": 160}[path.parts[-3]]
        Image.fromarray((np.asarray(Image.open(path)) // 3 + shade).astype(np.uint8)).save(path)
    config = DataConfig.model_validate({"source": "image_folder", "root": str(tmp_path / "x"), "size": 32})
    met: list[np.ndarray] = []
    train = generating.train_generator

    def spying(images_NCHW: np.ndarray, *args: object, **kwargs: object) -> object:
        met.append(images_NCHW)
        return train(images_NCHW, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(generating, "train_generator", spying)
    first = named(prepare(config, tmp_path), tmp_path)
    make_generated(first, device="cpu")
    one = first.load()
    assert np.array_equal(met[0], one.pixels_NCHW[one.splits["train"]])

    for path in sorted((tmp_path / "x").rglob("*.png")):
        if path.parts[-3] != "train":
            Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    second = named(prepare(config, tmp_path), tmp_path)
    make_generated(second, device="cpu")
    other = second.load()
    assert second.folder != first.folder
    assert not np.array_equal(one.pixels_NCHW[one.splits["val"]], other.pixels_NCHW[other.splits["val"]])
    made = [images.pixels_NCHW[images.splits["synthetic"]] for images in (one, other)]
    assert np.array_equal(*made)


def test_they_are_made_once_and_begun_again_after_a_kill(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = named(prepared, tmp_path)
    work = Path(data.folder) / "work"
    work.mkdir(parents=True)
    (work / "raw").write_bytes(b"half")
    (Path(data.folder) / "images.npy").write_bytes(b"half")  # killed before data.json came
    assert not data.is_made
    make_generated(data, device="cpu")
    verify(data)
    assert not work.exists()
    again = named(prepared, tmp_path / "elsewhere")
    make_generated(again, device="cpu")
    assert (Path(data.folder) / "images.npy").read_bytes() == (Path(again.folder) / "images.npy").read_bytes()

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(generating, "train_generator", never)
    make_generated(data, device="cpu")
    make_generated(named(prepared, tmp_path, share=0.3), device="cpu")


def test_a_damaged_copy_is_removed(prepared: Prepared, tmp_path: Path) -> None:
    data = named(prepared, tmp_path)
    make_generated(data, device="cpu")
    path = Path(data.folder) / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="They were removed"):
        verify(data)
    assert not data.is_made


def test_the_sheet_shows_both_kinds_of_each_class(prepared: Prepared, tmp_path: Path) -> None:
    data = named(prepared, tmp_path)
    make_generated(data, device="cpu")
    page = np.asarray(Image.open(sheet_of(data)).convert("RGB"))
    images = data.load()
    side, gap, line = generating.CELL, generating.GAP, generating.LINE
    for label in range(3):
        for row, split in enumerate(("train", "synthetic")):
            number = next(n for n in images.splits[split] if images.labels_N[n] == label)
            top = gap + label * (2 * (side + gap) + line) + line + row * (side + gap)
            expected = Image.fromarray(np.ascontiguousarray(images.pixels_NCHW[number].transpose(1, 2, 0)))
            cell = np.asarray(expected.resize((side, side), Image.Resampling.BILINEAR))
            assert np.array_equal(page[top : top + side, gap : gap + side], cell)
