"""Makes two sets of a folder of grey pictures in class folders: `python docs/examples/xray_sets.py SOURCE OUT`.

    OUT/arrays                     x_train.npy, y_train.npy: all pictures at 64 × 64, for the study grayscale_head
    OUT/whole, OUT/parts, OUT/masks  pictures of one half of the patients as they are; of the other half, with masks of
                                   their darkest parts, for resnet_tl.patches and the study patches_transfer

Patients are told apart by the number that a name begins with; a picture without one is a patient of its own. The masks
come from darkness alone, not from anybody who can read X-rays: the lungs, mostly, and what else is dark in the middle.
"""

import hashlib
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SIDE = 64
DARK = 0.3
"""Share of the pixels in the middle of a picture that its mask marks."""


def patient_of(path: Path) -> str:
    """What tells the patient of a picture."""
    found = re.match(r"\d+_", path.name)
    return found[0] if found else path.name


def mask_of(image: Image.Image) -> Image.Image:
    """The darkest parts of the middle of a picture, white on black."""
    grey = np.asarray(image.filter(ImageFilter.GaussianBlur(3)), dtype=float)
    height, width = grey.shape
    rows, columns = np.mgrid[0:height, 0:width]
    middle = (abs(rows / height - 0.5) < 0.35) & (abs(columns / width - 0.5) < 0.35)
    marked = middle & (grey <= np.quantile(grey[middle], DARK))
    return Image.fromarray((255 * marked).astype(np.uint8))


def main() -> None:
    """Makes the sets."""
    source, out = map(Path, sys.argv[1:3])
    classes = sorted(path.name for path in source.iterdir() if path.is_dir())
    pixels, labels = [], []
    for label, name in enumerate(classes):
        for path in sorted((source / name).iterdir()):
            image = Image.open(path).convert("L")
            pixels.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
            labels.append(label)
            odd = int(hashlib.sha256(patient_of(path).encode()).hexdigest(), 16) % 2
            target = out / ("parts" if odd else "whole") / name / f"{path.stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            image.save(target)
            if odd:
                mask = out / "masks" / name / f"{path.stem}.png"
                mask.parent.mkdir(parents=True, exist_ok=True)
                mask_of(image).save(mask)
    (out / "arrays").mkdir(parents=True, exist_ok=True)
    np.save(out / "arrays" / "x_train.npy", np.stack(pixels))
    np.save(out / "arrays" / "y_train.npy", np.array(labels))


if __name__ == "__main__":
    main()
