"""Small images with marked regions."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_tl.data.patches.options import PatchOptions


def save(path: Path, pixels: NDArray[np.generic]) -> Path:
    """Writes an image or a mask, in folders that are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def noise(seed: int, width: int = 48, height: int = 40) -> NDArray[np.uint8]:
    """A grey image like no other, in blocks, so that small versions differ too."""
    draws = np.random.default_rng(seed)
    blocks = draws.integers(0, 256, (height // 4, width // 4), dtype=np.uint8)
    return np.repeat(np.repeat(blocks, 4, axis=0), 4, axis=1)


def spot(x: int, y: int, side: int = 3, width: int = 48, height: int = 40) -> NDArray[np.uint8]:
    """A mask of one square region."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[y : y + side, x : x + side] = 255
    return mask


def write_marked(root: Path, *, count: int = 10, classes: tuple[str, ...] = ("benign", "malignant")) -> Path:
    """`images` and `masks` with class folders; names begin with a patient, who has two images of a class."""
    for label, name in enumerate(classes):
        for index in range(count):
            seed = label * count + index
            stem = f"{name}/{seed // 2:03}_{index}"
            save(root / "images" / f"{stem}.png", noise(seed))
            save(root / "masks" / f"{stem}.png", spot(10 + seed % 25, 5 + seed % 20))
    return root


def options(root: Path, **changes: object) -> PatchOptions:
    """Of a set from the folders that `write_marked` makes."""
    values = {name: str(root / name) for name in ("images", "masks", "out")} | {"size": 16}
    return PatchOptions.model_validate(values | changes)
