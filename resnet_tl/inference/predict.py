"""Classifies images with a stored network.

Axes: N images, K classes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_tl.batching import EVAL_BATCH
from resnet_tl.data.batches import centre, to_unit
from resnet_tl.data.decode import IMAGE_SUFFIXES, BadImage, decode_file, fit_square
from resnet_tl.errors import DataError, shown
from resnet_tl.inference.export import normalisation_of, rebuild
from resnet_tl.model.runtime import computing
from resnet_tl.options import expand, load_yaml
from resnet_tl.training.objective import class_logits


def find_images(images: str) -> list[Path]:
    """The image files that a path, a folder or a `[…]` list names.

    Raises:
        DataError: there is none, or a named file does not exist.
    """
    path = expand(images, "images")
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise DataError(f"{path} holds no images.")
        return found
    if not path.exists() and images.startswith("["):
        listed = load_yaml(images, "`images`")
        paths = [Path(str(item)).expanduser() for item in listed]
    else:
        paths = [path]
    absent = [str(p) for p in paths if not p.is_file()]
    if absent or not paths:
        raise DataError(f"`images` must name files that exist, but these do not:\n{shown(absent)}")
    return paths


def predict(folder: Path, paths: Sequence[Path], *, device: str = "cpu") -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Class probabilities of images.

    Args:
        folder: of the checkpoint.
        paths: N image files.

    Returns:
        The K class names, and probabilities float64 [N, K].

    Raises:
        CheckpointError: the network cannot be rebuilt.
        DataError: images cannot be read or have another size than the network was trained on; names all of them.
    """
    network, card = rebuild(folder)
    network.to(device)
    normalise = normalisation_of(card)
    bad = []
    probabilities = []
    for start in range(0, len(paths), EVAL_BATCH):
        pixels = []
        for path in paths[start : start + EVAL_BATCH]:
            try:
                image = fit_square(decode_file(path, card.channels), card.size[0] if card.resized else None)
            except BadImage as error:
                bad.append(f"{path} {error}")
                continue
            if image.shape[1:] != card.size:
                bad.append(f"{path} is {image.shape[1]}×{image.shape[2]}, but must be {card.size[0]}×{card.size[1]}")
                continue
            pixels.append(image)
        if bad:
            continue
        with computing(device=device), torch.inference_mode():
            images_BCHW = normalise(centre(to_unit(np.stack(pixels)), card.crop).to(device))
            probabilities.append(class_logits(network(images_BCHW)).double().softmax(1).cpu().numpy())
    if bad:
        raise DataError(f"These images cannot be classified:\n{shown(bad)}")
    return card.classes, np.concatenate(probabilities)
