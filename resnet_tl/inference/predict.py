"""Classifies images with a stored network, or with the mean of several.

Axes: N images, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_tl.errors import DataError, shown
from resnet_tl.inference.answers import answers
from resnet_tl.inference.pictures import of_files
from resnet_tl.inference.predictor import predictor_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Classified:
    """What a network says of images, as far as they could be read."""

    classes: tuple[str, ...]
    paths: list[Path]
    """The N images that were read."""
    probabilities_NK: NDArray[np.float64]
    bad: dict[Path, str]
    """The others, with the reason."""


def classify(folder: Path | Sequence[Path], paths: Sequence[Path], *, device: str = "cpu") -> Classified:
    """Class probabilities of all images that can be read; `answers.answers` says how deep grey values are read.

    Args:
        folder: of the checkpoint, or those of several, whose probabilities are averaged.
        paths: image files.

    Raises:
        CheckpointError: the network cannot be rebuilt.
    """
    predictor = predictor_of(folder, device=device)
    good: list[Path] = []
    bad: dict[Path, str] = {}
    rows = [np.empty((0, len(predictor.classes)))]
    for path, answer in zip(paths, answers(predictor, of_files(paths)), strict=True):
        if answer.log_p_K is None:
            bad[path] = str(answer.bad)
        else:
            good.append(path)
            rows.append(np.exp(answer.log_p_K)[None])
    return Classified(classes=predictor.classes, paths=good, probabilities_NK=np.concatenate(rows), bad=bad)


def predict(
    folder: Path | Sequence[Path], paths: Sequence[Path], *, device: str = "cpu"
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """As `classify`, where every image must be readable.

    Returns:
        The K class names, and probabilities float64 [N, K].

    Raises:
        CheckpointError: the network cannot be rebuilt.
        DataError: images cannot be read or have another size than the network was trained on; names all of them.
    """
    found = classify(folder, paths, device=device)
    if found.bad:
        lines = [f"{path} {reason}" for path, reason in found.bad.items()]
        raise DataError(f"These images cannot be classified:\n{shown(lines)}")
    return found.classes, found.probabilities_NK
