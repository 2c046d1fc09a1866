"""The command line that writes networks for use elsewhere."""

from pathlib import Path

import numpy as np

from resnet_tl.inference.predict import predict
from resnet_tl.model.checkpoint import read_card
from tests.conftest import Run
from tests.resnet_tl.trained import Trained, train


def test_a_checkpoint_that_needs_no_other_file(
    three: Trained, weights: dict[str, str], run: Run, tmp_path: Path
) -> None:
    part = train(tmp_path / "part", three.config, weights=weights["resnet18"], freeze="all")
    assert read_card(part.checkpoint).base is not None
    done = run("resnet_tl.export", f"checkpoint={part.checkpoint}", "format=safetensors", "out=whole")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Largest absolute difference of logits on 16 images of noise: 0 " in done.stdout
    assert read_card(tmp_path / "whole").base is None
    paths = sorted(Path(str(three.config.root)).rglob("*.png"))[::13]
    assert np.array_equal(predict(part.checkpoint, paths)[1], predict(tmp_path / "whole", paths)[1])
    again = run("resnet_tl.export", f"checkpoint={part.checkpoint}", "format=onx", "out=whole")
    assert again.returncode == 2
    assert "did you mean `onnx`?" in again.stderr
    again = run("resnet_tl.export", f"checkpoint={part.checkpoint}", "format=safetensors", "out=whole")
    assert "`out` must be a folder that does not exist yet, but whole does." in again.stderr
