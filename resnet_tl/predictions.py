"""What a network said about each image: logits on disk, and a compact form of them that fits a database.

    FOLDER/predictions.safetensors   for each split its class logits [N, K], images in the stored order of the data

Logits are kept as float32 up to `FULL_CLASSES` classes. Above that they are float16, less the largest of their image,
since logits up to a constant are the same prediction: clipped to the range of the type, and with one class alone on
top. The compact form says of each image whether it was classified right and how probable its true class was. Needs no
torch.

Axes: K classes, N images, R bins of probability.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from resnet_tl import metrics
from resnet_tl.errors import CheckpointError
from resnet_tl.files import replacing
from resnet_tl.metrics import Floats, Ints, log_softmax

FILE = "predictions.safetensors"
SPLITS = ("val", "test")
"""Those that every file has; sets of images under other conditions may stand beside them."""
FULL_CLASSES = 100
"""The most classes whose logits are kept in float32: of 1,000 classes and 50,000 images they would take 200 MB."""

_HEADER = struct.Struct("<4sI")
_MAGIC = b"pre1"
LARGEST_LOSS = float(np.finfo(np.float16).max)
"""Of an image, in the compact form."""

Logits = NDArray[np.float32] | NDArray[np.float16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compact:
    """What is left of the logits of a split in their compact form."""

    right_N: NDArray[np.bool_]
    """Whether the class with the largest logit is the true one."""
    loss_N: NDArray[np.float32]
    """Negative logarithm of the probability of the true class, to three significant digits."""


def write(folder: Path, logits: Mapping[str, Floats]) -> None:
    """Stores class logits [N, K] of each split; a reader finds the old file or the new one."""
    assert set(logits) >= set(SPLITS)
    with replacing(folder / FILE) as stream:
        stream.write(save({split: _as_stored(logits_NK) for split, logits_NK in logits.items()}))


def _as_stored(logits_NK: Floats) -> Logits:
    if logits_NK.shape[1] <= FULL_CLASSES:
        return np.ascontiguousarray(logits_NK, dtype=np.float32)
    shifted_NK = logits_NK.astype(np.float64)
    shifted_NK -= shifted_NK.max(-1, keepdims=True)
    stored_NK = np.maximum(shifted_NK, -LARGEST_LOSS).astype(np.float16)
    # a class that rounding has made equal to the predicted one would be predicted in its place, were it before it
    ties_NK = stored_NK == 0
    ties_NK[np.arange(len(stored_NK)), logits_NK.argmax(-1)] = False
    stored_NK[ties_NK] = -np.finfo(np.float16).smallest_subnormal
    return stored_NK


def read(folder: Path) -> dict[str, Logits]:
    """Reads the class logits [N, K] of each split.

    Raises:
        CheckpointError: they are missing, damaged, or no logits.
    """
    path = folder / FILE
    try:
        found = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; a seed run that is complete writes it into its folder.") from None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from None
    if not set(found) >= set(SPLITS):
        raise CheckpointError(f"{path} must hold the logits of {' and '.join(SPLITS)}, but holds {sorted(found)}.")
    num_classes = found[SPLITS[0]].shape[-1:]
    for split, logits_NK in found.items():
        kind = np.float32 if num_classes and num_classes[0] <= FULL_CLASSES else np.float16
        if logits_NK.ndim != 2 or logits_NK.shape[1:] != num_classes or logits_NK.dtype != kind:
            raise CheckpointError(
                f"{path} must hold an array [images, classes] of {kind.__name__} for {split}, with the same classes "
                f"for each split, but holds {list(logits_NK.shape)} of {logits_NK.dtype}."
            )
        if not np.isfinite(logits_NK).all():
            raise CheckpointError(f"{path} must hold finite logits, but those of {split} are not: it is damaged.")
    return {split: found[split] for split in (*SPLITS, *sorted(set(found) - set(SPLITS)))}


def read_said(folder: Path, split: str, places: Sequence[int]) -> list[int]:
    """The classes that were predicted for some images of a split, without reading the others.

    Raises:
        CheckpointError: the file is missing or damaged, or has no such images.
    """
    path = folder / FILE
    try:
        with safe_open(path, framework="numpy") as file:
            logits_NK = file.get_slice(split)
            rows = [logits_NK[place : place + 1] for place in places]
        return [int(row_1K.argmax(-1).item()) for row_1K in rows]
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} must hold what was predicted for {split}, but does not: {error}.") from None


def pack(logits_NK: Floats, labels_N: Ints) -> bytes:
    """The compact form of a split: N, a bit for each image that is right, and a float16 for each true class.

    Stored is the negative logarithm of the probability of the true class, and not that probability. A float16 has
    three significant digits and nothing below 6e-8, while a network that is wrong and sure gives probabilities of
    1e-30, whose logarithm is then good to 0.05%. That number is moreover the image's own loss, so that their mean is
    the loss of the split. Losses above 65,504 are stored as that.
    """
    N = len(labels_N)
    log_p_N = log_softmax(logits_NK)[np.arange(N), labels_N]
    right_N = logits_NK.argmax(-1) == labels_N
    loss_N = np.clip(-log_p_N, 0.0, LARGEST_LOSS).astype("<f2")
    return _HEADER.pack(_MAGIC, N) + np.packbits(right_N).tobytes() + loss_N.tobytes()


def unpack(blob: bytes) -> Compact:
    """Reads what `pack` made.

    Raises:
        CheckpointError: it is something else, or damaged.
    """
    right_N = right_in(blob)
    N = len(right_N)
    loss_N = np.frombuffer(blob, "<f2", N, len(blob) - 2 * N).astype(np.float32)
    if not np.isfinite(loss_N).all() or (loss_N < 0).any():
        raise CheckpointError("Compact predictions must have finite losses from 0 up, but have others: damaged.")
    return Compact(right_N=right_N, loss_N=loss_N)


def right_in(blob: bytes) -> NDArray[np.bool_]:
    """Of what `pack` made, whether each image was classified right, [N].

    Raises:
        CheckpointError: it is something else, or damaged.
    """
    if len(blob) < _HEADER.size or not blob.startswith(_MAGIC):
        raise CheckpointError(f"Compact predictions must begin with {_MAGIC!r}, but got {blob[:4]!r}.")
    N = _HEADER.unpack_from(blob)[1]
    num_bytes = _HEADER.size + -(-N // 8) + 2 * N
    if len(blob) != num_bytes:
        raise CheckpointError(f"Compact predictions of {N} images must have {num_bytes} bytes, but got {len(blob)}.")
    return np.unpackbits(np.frombuffer(blob, np.uint8, -(-N // 8), _HEADER.size), count=N).astype(bool)


def of_images(name: str, logits_NK: Floats | Logits, labels_N: Ints) -> Floats:
    """What each image brings to a metric, [N]; see `metrics.Metric.of_images`."""
    log_p_NK = np.concatenate(list(_log_p_in_parts(logits_NK)))
    return metrics.of_images(name, log_p_NK, logits_NK.argmax(-1), labels_N)


def confusion_KK(logits_NK: Floats | Logits, labels_N: Ints) -> Ints:
    """Counts [K, K]: row = true class, column = predicted class."""
    K = logits_NK.shape[1]
    return np.bincount(labels_N * K + logits_NK.argmax(-1), minlength=K * K).reshape(K, K)


def reliability_R3(logits_NK: Floats | Logits, labels_N: Ints) -> Floats:
    """How sure the network is, and how often right; see `metrics.reliability_R3`."""
    sure_N = np.concatenate([np.exp(log_p_NK.max(-1)) for log_p_NK in _log_p_in_parts(logits_NK)])
    return metrics.reliability_R3(sure_N, logits_NK.argmax(-1) == labels_N)


def by_class(logits_NK: Floats | Logits, labels_N: Ints) -> dict[str, Floats]:
    """The metrics of each class, [K]; see `metrics.by_class`."""
    # where the logits were rounded for storing, more digits of their logarithms would say nothing
    kind = np.float64 if logits_NK.shape[1] <= FULL_CLASSES else np.float32
    log_p_NK = np.concatenate([part_NK.astype(kind) for part_NK in _log_p_in_parts(logits_NK)])
    return metrics.by_class(log_p_NK, logits_NK.argmax(-1), labels_N)


def _log_p_in_parts(logits_NK: Floats | Logits) -> Iterator[Floats]:
    """Log probabilities of some images at a time: of 50,000 and 1,000 classes they take 400 MB."""
    for part_NK in np.array_split(logits_NK, max(logits_NK.size // metrics.AT_ONCE, 1)):
        yield log_softmax(part_NK.astype(np.float64))
