"""Classifies images with a stored network.

Axes: N images, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_tl.batching import EVAL_BATCH
from resnet_tl.data.batches import centre, to_unit
from resnet_tl.data.decode import BadImage, Rules, decode_file
from resnet_tl.data.depth import settled_bits
from resnet_tl.data.finder import Found, images_below, printable, told
from resnet_tl.errors import DataError, shown
from resnet_tl.inference.ensemble import is_ensemble, read_ensemble
from resnet_tl.inference.export import normalisation_of, rebuild
from resnet_tl.model.head_module import class_logits
from resnet_tl.model.runtime import computing
from resnet_tl.option_text import expand, load_yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class Classified:
    """What a network says of images, as far as they could be read."""

    classes: tuple[str, ...]
    paths: list[Path]
    """The N images that were read."""
    probabilities_NK: NDArray[np.float64]
    bad: dict[Path, str]
    """The others, with the reason."""


def find_images(images: str) -> Found:
    """The image files that a path, a folder or a `[…]` list names, and what a folder holds beside them.

    Raises:
        DataError: there is none, or a named file does not exist.
    """
    path = expand(images, "images")
    if path.is_dir():
        found = images_below(path)
        if not found.files:
            raise DataError(f"{path} holds no images." + (f" {told(found.passed_over)}" if found.passed_over else ""))
        return found
    if not path.exists() and images.startswith("["):
        listed = load_yaml(images, "`images`")
        paths = [Path(str(item)).expanduser() for item in listed]
    else:
        paths = [path]
    absent = [printable(p) for p in paths if not p.is_file()]
    if absent or not paths:
        raise DataError(f"`images` must name files that exist, but these do not:\n{shown(absent)}")
    return Found(files=paths)


def classify(folder: Path, paths: Sequence[Path], *, device: str = "cpu") -> Classified:
    """Class probabilities of all images that can be read.

    Grey values of more than 8 bits are read by the bits that the network was trained with. A network that saw none
    reads them by the rule of training, over all images of the call: as 16 bits, if they use as many.

    Args:
        folder: of the checkpoint, or of an ensemble of them.
        paths: image files.

    Raises:
        CheckpointError: the network cannot be rebuilt.
    """
    if is_ensemble(folder):
        return _classify_together(folder, paths, device)
    with computing(device=device):
        network, card = rebuild(folder)
        network.to(device)
    normalise = normalisation_of(card)
    rules = Rules(
        channels=card.channels,
        size=card.size[0] if card.resized else None,
        resize=card.resize,
        bits=card.bits or 16,
        max_pixels=card.max_pixels,
    )
    deep: dict[Path, int] = {}  # the largest value in each file that stores more than 8 bits
    good: list[Path] = []
    bad: dict[Path, str] = {}
    probabilities = [np.empty((0, len(card.classes)))]
    for start in range(0, len(paths), EVAL_BATCH):
        pixels = []
        for path in paths[start : start + EVAL_BATCH]:
            try:
                decoded = decode_file(path, rules)
            except BadImage as error:
                bad[path] = str(error)
                continue
            image = decoded.pixels
            if card.bits is not None and decoded.largest is not None and decoded.largest >= 2**card.bits:
                bad[path] = (
                    f"has values up to {decoded.largest}, but the network was trained on images of {card.bits} bits"
                )
                continue
            if image.shape[1:] != card.size:
                bad[path] = f"is {image.shape[1]}×{image.shape[2]}, but must be {card.size[0]}×{card.size[1]}"
                continue
            if decoded.largest is not None:
                deep[path] = decoded.largest
            good.append(path)
            pixels.append(image)
        if not pixels:
            continue
        with computing(device=device), torch.inference_mode():
            images_BCHW = normalise(centre(to_unit(np.stack(pixels)), card.crop).to(device))
            probabilities.append(class_logits(network(images_BCHW)).double().softmax(1).cpu().numpy())
    probabilities_NK = np.concatenate(probabilities)
    if card.bits is None and not _use_16_bits(deep):
        most = max(deep.values())
        bad |= dict.fromkeys(
            deep,
            "stores 16 bits, which the network was not trained on, and would come out nearly black: the largest value "
            f"of all such images here is {most} of 65535; convert them to 8 bits",
        )
        kept = [index for index, path in enumerate(good) if path not in deep]
        good, probabilities_NK = [good[index] for index in kept], probabilities_NK[kept]
    return Classified(classes=card.classes, paths=good, probabilities_NK=probabilities_NK, bad=bad)


def _classify_together(folder: Path, paths: Sequence[Path], device: str) -> Classified:
    """What an ensemble says of the images that all of its members can read."""
    ensemble = read_ensemble(folder)
    parts = [classify(member, paths, device=device) for member in ensemble.folders]
    bad = {path: reason for part in parts for path, reason in part.bad.items()}
    good = [path for path in paths if path not in bad]
    said = []
    for part in parts:
        place = {path: index for index, path in enumerate(part.paths)}
        said.append(part.probabilities_NK[[place[path] for path in good]])
    return Classified(
        classes=ensemble.card.classes, paths=good, probabilities_NK=ensemble.rule.combine(np.stack(said)), bad=bad
    )


def _use_16_bits(deep: Mapping[Path, int]) -> bool:
    """Whether training would take values as large as these for 16 bits without being told."""
    try:
        settled_bits(None, max(deep.values(), default=None))
    except DataError:
        return False
    return True


def predict(folder: Path, paths: Sequence[Path], *, device: str = "cpu") -> tuple[tuple[str, ...], NDArray[np.float64]]:
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
