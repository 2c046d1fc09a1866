"""Classifies images with a stored network.

    python -m resnet_tl.predict checkpoint=FOLDER images=FILE_OR_FOLDER [out=predictions.csv] [device=cpu]
    python -m resnet_tl.predict checkpoint=FOLDER images=[a.png,b.png]

Prints a table, and writes `out` with the probability of every class. Images that cannot be read are named, and the exit
status is 1; the others have their results all the same.

Axes: N images, K classes.
"""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_tl import rebuild
from resnet_tl.data.batches import centre, to_unit
from resnet_tl.data.decode import BadImage, Rules, decode_file
from resnet_tl.data.finder import Found, images_below, printable, told
from resnet_tl.errors import DataError, shown
from resnet_tl.front import EVAL_BATCH
from resnet_tl.options import expand, load_yaml
from resnet_tl.training.objective import class_logits


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

    Args:
        folder: of the checkpoint.
        paths: image files.

    Raises:
        CheckpointError: the network cannot be rebuilt.
    """
    network, card = rebuild.rebuild(folder)
    network.to(device)
    normalise = rebuild.normalisation_of(card)
    rules = Rules(
        channels=card.channels,
        size=card.size[0] if card.resized else None,
        resize=card.resize,
        bits=card.bits,
    )
    good: list[Path] = []
    bad: dict[Path, str] = {}
    probabilities = [np.empty((0, len(card.classes)))]
    for start in range(0, len(paths), EVAL_BATCH):
        pixels = []
        for path in paths[start : start + EVAL_BATCH]:
            try:
                image = decode_file(path, rules).pixels
            except BadImage as error:
                bad[path] = str(error)
                continue
            if image.shape[1:] != card.size:
                bad[path] = f"is {image.shape[1]}×{image.shape[2]}, but must be {card.size[0]}×{card.size[1]}"
                continue
            good.append(path)
            pixels.append(image)
        if not pixels:
            continue
        with torch.inference_mode():
            images_BCHW = normalise(centre(to_unit(np.stack(pixels)), card.crop).to(device))
            probabilities.append(class_logits(network(images_BCHW)).double().softmax(1).cpu().numpy())
    return Classified(classes=card.classes, paths=good, probabilities_NK=np.concatenate(probabilities), bad=bad)


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


def main() -> int:
    """`python -m resnet_tl.predict`."""
    from resnet_tl import cli
    from resnet_tl.options import parse_words

    words = sys.argv[1:]
    if not words or "--help" in words or "-h" in words:
        print((__doc__ or "").strip())
        return 0
    values = parse_words(words, literal=cli.LITERAL)
    cli.require(values, ("checkpoint", "images", "out", "device"), ("checkpoint", "images"))
    device = str(values.get("device", "cpu"))
    cli.check_device(device)
    if "out" in values and not Path(values["out"]).absolute().parent.is_dir():
        raise DataError(f"`out` must be in a folder that exists, but got {values['out']}.")
    given = expand(values["checkpoint"], "checkpoint")
    folder = given.parent if given.suffix in (".json", ".safetensors") else given
    images = find_images(values["images"])
    found = classify(folder, images.files, device=device)
    width = max((len(str(path)) for path in found.paths), default=0)
    for path, row in zip(found.paths, found.probabilities_NK, strict=True):
        best = int(row.argmax())
        print(f"{path!s:{width}}  {found.classes[best]}  {row[best]:.1%}")
    if out := values.get("out"):
        with Path(out).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["image", "class", *(f"p({name})" for name in found.classes)])
            for path, row in zip(found.paths, found.probabilities_NK, strict=True):
                writer.writerow([str(path), found.classes[int(row.argmax())], *(f"{p:.6g}" for p in row)])
        print(f"Probabilities are in {out}.")
    if images.passed_over:
        print(told(images.passed_over))
    if found.bad:
        print(f"{len(found.bad)} of {len(images.files)} images cannot be classified:", file=sys.stderr)
        print("\n".join(f"  {path} {reason}" for path, reason in found.bad.items()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    from resnet_tl.cli import entry

    entry(main)
