"""A network in another format computes the same."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from resnet_tl.errors import CheckpointError
from resnet_tl.inference.onnx_file import agreement, logits_of, write
from resnet_tl.inference.predict import predict
from resnet_tl.inference.predictor import one_network
from resnet_tl.metrics import log_softmax
from tests.resnet_tl.trained import Trained


def test_what_the_description_says_of_images_gives_the_probabilities_of_predict(two: Trained, tmp_path: Path) -> None:
    network = one_network(two.checkpoint)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 32, 32), dtype=np.uint8)
    card = tmp_path / "network.json"  # a checkpoint's own file, say
    card.write_text("mine")
    found = write(network, tmp_path / "network.onnx", pixels)
    assert card.read_text() == "mine"
    assert found.largest_difference <= 1e-4 * max(1, found.largest_logit)
    about = json.loads((tmp_path / "network.onnx.json").read_text())
    steps = about["preprocessing"]
    paths = sorted(Path(str(two.config.root)).rglob("*.png"))[::13]
    assert (steps["resize"], steps["centre_crop"]) == ({"how": "crop", "size": [32, 32]}, None)
    unit_N1HW = np.stack([np.asarray(Image.open(path).convert("L"), dtype=np.float32)[None] / 255 for path in paths])
    images = (unit_N1HW - np.float32(steps["mean"][0])) / np.float32(steps["std"][0])
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    (logits_NK,) = session.run(["logits"], {"images": images})
    classes, expected_NK = predict(two.checkpoint, paths)
    assert about["classes"] == list(classes)
    assert np.allclose(np.exp(log_softmax(logits_NK.astype(np.float64))), expected_NK, atol=1e-5)


def test_another_network_is_refused_and_nothing_is_written(three: Trained, tmp_path: Path) -> None:
    network = one_network(three.checkpoint)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 36, 36), dtype=np.uint8)
    changed = replace(network, network=one_network(three.checkpoint).network)
    with torch.no_grad():
        changed.network.head.out.bias[0] += 0.1 * max(1, float(np.abs(logits_of(network, pixels)).max()))
    with pytest.raises(CheckpointError, match="to 0.0001 of the largest or of 1, but they differ by"):
        write(changed, tmp_path / "network.onnx", pixels)
    assert not list(tmp_path.iterdir())


def test_outputs_that_are_not_finite_do_not_agree() -> None:
    with pytest.raises(CheckpointError, match="differ by nan"):
        agreement(np.zeros((2, 2), np.float32), np.full((2, 2), np.nan, np.float32))
