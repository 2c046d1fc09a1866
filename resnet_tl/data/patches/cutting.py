"""Reads each image once, with its mask, and cuts its patches into files.

Axes: H W pixels, C channels.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_tl.data.decode import BadImage, is_turned, to_8_bits
from resnet_tl.data.near_copies import thumbnail
from resnet_tl.data.patches.options import PatchOptions
from resnet_tl.data.patches.pairs import Pair
from resnet_tl.data.patches.reading import Pixels, read_mask, read_pixels
from resnet_tl.data.patches.regions import Square, regions_of, square_around
from resnet_tl.data.patches.sheet import drawn
from resnet_tl.errors import DataError, shown

_CHUNK = 64
"""Images whose small versions are held at once; whole ones only by the threads that cut them."""
_ADVICE = " (where one holds more than 0 and one other value, threshold=N says that the values above N are region)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """One patch, written under a number."""

    square: Square
    file: Path
    sha256: str
    thumbnail: NDArray[np.uint8] | None
    num_pixels: int | None
    """Of its region; None where there is none."""
    larger: bool
    """Whether its region is wider or higher than the patch."""
    missed: bool
    """Whether no pixel of its region is in it."""
    turned: bool
    """Whether EXIF turns the image and not its mask."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Problem:
    """Why an image gives no patch."""

    kind: str
    """A sentence for all of its kind."""
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CutImage:
    """What is kept of one image."""

    cuts: list[Cut]
    small: Image.Image
    """For the contact sheet."""
    thumbnail: NDArray[np.uint8] | None
    """What near copies of the image are told by."""


def cut_all(
    options: PatchOptions, pairs: Sequence[Pair], folder: Path, tell: Callable[[str], None]
) -> Iterator[CutImage]:
    """Cuts the patches of all images, in order, and names at the end all that cannot be used."""
    problems: dict[str, list[str]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(pairs), _CHUNK):
            part = range(start, min(start + _CHUNK, len(pairs)))
            found = pool.map(lambda n: _cut_one(options, pairs[n], folder / f"{n}"), part)
            for number, image in zip(part, found, strict=True):
                if isinstance(image, _Problem):
                    problems.setdefault(image.kind, []).append(image.text)
                elif not problems:
                    yield image
                if (number + 1) % 1000 == 0:
                    tell(f"{number + 1:,} of {len(pairs):,} images")
    if problems:
        raise DataError(*(f"{kind}:\n{shown(texts, most=1000)}" for kind, texts in problems.items()))


def _cut_one(options: PatchOptions, pair: Pair, stem: Path) -> "CutImage | _Problem":
    """Cuts the patches of one image.

    Args:
        stem: of the files that they are written to.
    """
    mask_HW = None
    try:
        pixels = read_pixels(pair.image, max_pixels=options.max_pixels)
    except BadImage as error:
        return _Problem(kind="These images cannot be used; repair or remove them", text=f"{pair.name} {error}")
    height, width = pixels.shape[:2]
    if pair.mask is not None:
        try:
            mask_HW = read_mask(pair.mask, threshold=options.threshold, max_pixels=options.max_pixels)
        except BadImage as error:
            advice = "" if options.threshold is not None else _ADVICE
            return _Problem(kind=f"These masks cannot be used{advice}", text=f"{pair.mask} {error}")
        if mask_HW.shape != (height, width):
            return _Problem(
                kind="A mask must be of its image's size, but these are not",
                text=f"{pair.mask} has {mask_HW.shape[1]} × {mask_HW.shape[0]} pixels, {pair.name} {width} × {height}",
            )
    if min(width, height) < options.size:
        return _Problem(
            kind=f"A patch of size={options.size} must fit into its image, but these are smaller",
            text=f"{pair.name} has {width} × {height} pixels",
        )
    turned = pair.mask is not None and is_turned(pair.image) and not is_turned(pair.mask)
    regions = [] if mask_HW is None else regions_of(mask_HW, per_region=options.per_region)
    cuts = []
    for number, region in enumerate(regions or [None]):
        square = square_around(region, width=width, height=height, size=options.size)
        rows, columns = slice(square.y, square.y + square.size), slice(square.x, square.x + square.size)
        patch = pixels[rows, columns]
        stream = io.BytesIO()
        image = Image.fromarray(np.ascontiguousarray(patch))
        image.save(stream, "PNG")
        file = stem.with_name(f"{stem.name}-{number}.png")
        file.write_bytes(stream.getvalue())
        cuts.append(
            Cut(
                square=square,
                file=file,
                sha256=hashlib.sha256(stream.getvalue()).hexdigest(),
                thumbnail=thumbnail(_in_8_bits(patch)),
                num_pixels=None if region is None else region.num_pixels,
                larger=region is not None and max(region.width, region.height) > options.size,
                missed=mask_HW is not None and region is not None and not mask_HW[rows, columns].any(),
                turned=turned,
            )
        )
    small = drawn(pixels, mask_HW, [made.square for made in cuts], flagged=not regions)
    return CutImage(cuts=cuts, small=small, thumbnail=thumbnail(_in_8_bits(pixels)))


def _in_8_bits(pixels: Pixels) -> Image.Image:
    """As near copies are told by, which depends on neither brightness nor contrast."""
    if pixels.dtype == np.uint16:
        return Image.fromarray(to_8_bits(pixels, max(8, int(pixels.max()).bit_length())))
    return Image.fromarray(np.ascontiguousarray(pixels))
