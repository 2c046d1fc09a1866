"""What a network said about each image of val and test: all of it in a file, and a compact form that is quick to read.

The file holds class logits: float32 [N, K] up to `MOST_EXACT_CLASSES`, above that float16, clipped to its range.

The compact form says of each image whether its class was found, and the probability that its true class got, as the
negative logarithm of that in float16. Stored so, a probability near 0 keeps its relative precision, and the number is
the image's loss itself. It is made from the logits before they are rounded.

Axes: K classes, N images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_tl.errors import CheckpointError
from resnet_tl.files import replacing
from resnet_tl.metrics import confusion_MKK, log_softmax, reliability_MR3

FILE = "predictions.safetensors"
"""Its name, wherever it lies."""

MOST_EXACT_CLASSES = 100

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def write(path: Path, logits: Mapping[str, NDArray[np.floating]]) -> None:
    """Stores class logits [N, K] of each split; a reader finds the old file or the new one."""
    from safetensors.numpy import save

    tensors = {}
    for split, logits_NK in logits.items():
        if logits_NK.shape[1] <= MOST_EXACT_CLASSES:
            tensors[split] = np.ascontiguousarray(logits_NK, dtype=np.float32)
        else:
            most = np.finfo(np.float16).max
            tensors[split] = np.ascontiguousarray(logits_NK.clip(-most, most), dtype=np.float16)
    with replacing(path) as stream:
        stream.write(save(tensors))


def read(path: Path) -> dict[str, Floats]:
    """Class logits float64 [N, K] by split.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} must hold predictions, but cannot be read: {error}.") from None
    wrong = [split for split, logits_NK in stored.items() if logits_NK.ndim != 2 or not np.isfinite(logits_NK).all()]
    if wrong or set(stored) != {"val", "test"}:
        raise CheckpointError(f"{path} must hold finite logits [N, K] of val and test, but does not; it is damaged.")
    return {split: logits_NK.astype(np.float64) for split, logits_NK in stored.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Compact:
    """What a network said about each image, in short."""

    right_N: NDArray[np.bool_]
    """Whether the class with the largest logit is the true one."""
    loss_N: Floats
    """Negative logarithm of the probability of the true class."""

    @property
    def probability_N(self) -> Floats:
        """Of the true class."""
        return np.exp(-self.loss_N)


def pack(logits_NK: NDArray[np.floating], labels_N: Ints) -> bytes:
    """The compact form of one split: bits, filled up to whole bytes, then float16."""
    exact_NK: Floats = logits_NK.astype(np.float64)
    right_N = exact_NK.argmax(-1) == labels_N
    loss_N = -log_softmax(exact_NK)[np.arange(len(labels_N)), labels_N]
    halves_N = loss_N.clip(0, np.finfo(np.float16).max).astype("<f2")
    return np.packbits(right_N).tobytes() + halves_N.tobytes()


def unpack(blob: bytes, count: int) -> Compact:
    """The other way round.

    Args:
        count: N.

    Raises:
        CheckpointError: the blob is of another number of images.
    """
    bits = -(-count // 8)
    if len(blob) != bits + 2 * count:
        raise CheckpointError(
            f"Compact predictions of {count} images must be {bits + 2 * count} bytes, but are {len(blob)}."
        )
    right_N = np.unpackbits(np.frombuffer(blob[:bits], dtype=np.uint8), count=count).astype(bool)
    loss_N = np.frombuffer(blob[bits:], dtype="<f2").astype(np.float64)
    return Compact(right_N=right_N, loss_N=loss_N)


def confusion_KK(logits_NK: Floats, labels_N: Ints) -> Ints:
    """Counts [K, K]: row = true class, column = predicted class."""
    counts_KK: Ints = confusion_MKK(logits_NK.argmax(-1)[None], labels_N, logits_NK.shape[1])[0]
    return counts_KK


def reliability_R3(logits_NK: Floats, labels_N: Ints) -> Floats:
    """How sure a network is, and how often right; see `metrics.reliability_MR3`."""
    bins_R3: Floats = reliability_MR3(log_softmax(logits_NK)[None], labels_N)[0]
    return bins_R3
