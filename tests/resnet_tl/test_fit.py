"""The command line that fits one network."""

import errno
import os
import runpy
import sys
from pathlib import Path

import pytest

from resnet_tl.errors import CheckpointError
from tests.conftest import write_images

WORDS = (
    "trial.backbone=resnet18 trial.weights=none trial.freeze=all trial.optimizer=sgd trial.lr=1e-2 trial.epochs=2 "
    "trial.batch_size=8 data.source=image_folder data.root=images data.size=32 cache=cache"
)


@pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")
def test_a_full_disk_leaves_the_scores_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fit", *WORDS.split()])
    fsync = os.fsync

    def full(number: int) -> None:
        if str(tmp_path / "run") in str(Path(f"/proc/self/fd/{number}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("resnet_tl.model.runtime.own_process", lambda: None)
    main = runpy.run_module("resnet_tl.fit")["main"]  # an import would hide the function `resnet_tl.fit`
    with pytest.raises(CheckpointError, match="must have room for .* the scores are all that is left of the fit"):
        main()
    assert "test/accuracy" in capsys.readouterr().out
    assert not list((tmp_path / "run").iterdir())

    monkeypatch.setattr(os, "fsync", fsync)
    assert main() == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "result.json", "predictions.safetensors", "checkpoint",
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")
def test_generated_images_are_made_first_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resnet_tl.model.runtime.own_process", lambda: None)
    main = runpy.run_module("resnet_tl.fit")["main"]
    said = []
    for out in ("first", "second"):
        words = [*WORDS.split(), "data.synthetic={share: 0.5, steps: 1}", f"out={out}"]
        monkeypatch.setattr(sys, "argv", ["fit", *words])
        assert main() == 0
        said.append(capsys.readouterr().out)
    (folder,) = (tmp_path / "cache" / "synthetic").iterdir()
    for text in said:
        assert f"Generated images beside real ones: {folder / 'sheet.png'}" in text
        assert "images       24        6        6         24" in text
    assert [text.count("Training a generator on 24 train images of 3 classes") for text in said] == [1, 0]
