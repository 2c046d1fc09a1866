"""Shows photographs under other conditions: `python docs/examples/conditions.py SOURCE OUT`.

SOURCE is a folder of class folders, of images that nothing is trained on. OUT/plain has them as they are, OUT/dark at a
quarter of their brightness, OUT/blurred out of focus; sets for `data.shifted`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter

BLUR = 0.02
"""Radius of the blur, as a share of the short side."""

CONDITIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "plain": lambda image: image,
    "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.25),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(BLUR * min(image.size))),
}


def main() -> None:
    """Makes the sets."""
    source, out = map(Path, sys.argv[1:3])
    for path in sorted(source.glob("*/*")):
        image = Image.open(path).convert("RGB")
        for name, shown in CONDITIONS.items():
            target = out / name / path.parent.name / f"{path.stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shown(image).save(target)


if __name__ == "__main__":
    main()
