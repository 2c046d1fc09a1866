"""A stored network as an ONNX file, with how images become its input, and the proof that it computes the same.

    NAME.onnx        input `images` [B, C, H, W] float32, normalised; output `logits` [B, K]; any number of images
    NAME.onnx.json   classes, how images become the input, how closely the file agrees

Axes: B images, C channels, H W pixels, K classes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_tl.errors import CheckpointError, ConfigError
from resnet_tl.files import replacing, write_text
from resnet_tl.inference.export import rebuild
from resnet_tl.inference.predictor import OneNetwork
from resnet_tl.model.head_module import class_logits
from resnet_tl.model.network import Network
from resnet_tl.model.runtime import computing


def described_in(path: Path) -> Path:
    """The file beside an ONNX file that says how images become its input: no name that a checkpoint has."""
    return path.with_name(f"{path.name}.json")


TOLERANCE = 1e-4
"""Largest difference of two logits, as a share of the largest logit where that is above 1. ONNX Runtime folds BatchNorm
into convolutions and adds in another order, so last digits differ.
"""
OPSET = 18


class _Logits(nn.Module):
    """A network with one logit for each class, of two classes too."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return class_logits(self.network(images))


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How closely the logits of an exported network are those of the stored one."""

    largest_difference: float
    largest_logit: float
    num_images: int

    @property
    def holds(self) -> bool:
        """Whether it is within `TOLERANCE`."""
        return self.largest_difference <= TOLERANCE * max(1.0, self.largest_logit)


def agreement(expected_BK: NDArray[np.float32], found_BK: NDArray[np.float32]) -> Agreement:
    """Compares logits.

    Raises:
        CheckpointError: they differ by more than `TOLERANCE`, or are not finite.
    """
    difference = float(np.abs(expected_BK - found_BK).max())
    found = Agreement(
        largest_difference=difference, largest_logit=float(np.abs(expected_BK).max()), num_images=len(expected_BK)
    )
    if not found.holds:  # a difference that is NaN does not hold either
        raise CheckpointError(
            f"The exported network must give the stored one's logits to {TOLERANCE:g} of the largest or of 1, but they "
            f"differ by {difference:.3g}, with the largest {found.largest_logit:.3g}; nothing is written."
        )
    return found


def logits_of(network: OneNetwork, pixels_BCHW: NDArray[np.generic]) -> NDArray[np.float32]:
    """Class logits of a stored network."""
    with computing(device=network.device), torch.inference_mode():
        logits_BK: NDArray[np.float32] = class_logits(network.network(network.inputs_BCHW(pixels_BCHW))).cpu().numpy()
    return logits_BK


def write(network: OneNetwork, path: Path, pixels_BCHW: NDArray[np.generic]) -> Agreement:
    """Writes the ONNX file and its description, if it computes the same.

    Args:
        path: ends with `.onnx`.
        pixels_BCHW: two images or more, as they are decoded, to compare logits on.

    Raises:
        ConfigError: the libraries of the extra `onnx` are not installed.
        CheckpointError: the logits differ.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"format=onnx needs the extra `onnx`, but {error.name} is not installed; pip install 'resnet-sweeps[onnx]'."
        ) from None
    images_BCHW = network.inputs_BCHW(pixels_BCHW)
    plain, card = rebuild(network.folder, plain=True)
    with computing(device="cpu"):
        program: Any = torch.onnx.export(
            _Logits(plain).eval(),
            (images_BCHW[:2],),
            input_names=["images"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    content: bytes = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    expected_BK = logits_of(network, pixels_BCHW)
    batches = [images_BCHW, images_BCHW[:1]]  # another number of images, too
    found = [session.run(["logits"], {"images": batch.numpy()})[0] for batch in batches]
    result = agreement(np.concatenate([expected_BK, expected_BK[:1]]), np.concatenate(found))
    with replacing(path) as stream:
        stream.write(content)
    about = {
        "input": {"name": "images", "type": "float32", "shape": ["batch", *images_BCHW.shape[1:]]},
        "output": {"name": "logits", "type": "float32", "shape": ["batch", len(card.classes)]},
        "classes": list(card.classes),
        "probabilities": "softmax over the logits of an image",
        "preprocessing": {
            "channels": "RGB" if card.channels == 3 else "grey: 0.299 R + 0.587 G + 0.114 B",
            "bits": card.bits or 8,
            "resize": {"how": card.resize, "size": list(card.size)} if card.resized else None,
            "must_have_size": None if card.resized else list(card.size),
            "interpolation": "bilinear with antialiasing",
            "centre_crop": card.crop,
            "scale": "grey values of more than 8 bits are brought to 8 and rounded, then divided by 255",
            "mean": list(card.mean),
            "std": list(card.std),
        },
        "weights_sha256": [card.tensors_sha256, *([card.base["sha256"]] if card.base else [])],
        "opset": OPSET,
        "largest_difference_of_logits": result.largest_difference,
        "compared_on_images": len(pixels_BCHW),
    }
    write_text(described_in(path), json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    return result
