"""Where patches are cut: connected regions of a mask, and the square around each.

Axes: H W pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """Pixels of a mask that one patch is for; sums are of whole numbers, so that centroids are exact."""

    num_pixels: int
    sum_x: int
    sum_y: int
    width: int
    """Pixels from the leftmost to the rightmost."""
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Square:
    """Where a patch lies in its image, in pixels."""

    x: int
    """Of the leftmost column."""
    y: int
    """Of the topmost row."""
    size: int
    clamped: bool = False
    """Whether it was moved to lie inside of the image."""


def regions_of(mask_HW: NDArray[np.bool_], *, per_region: bool) -> list[Region]:
    """The regions that patches are cut around, from the top down; none for an empty mask.

    Args:
        per_region: each connected region alone (pixels that touch at a side or a corner); else all pixels are one.
    """
    y_P, x_P = np.nonzero(mask_HW)
    if not len(x_P):
        return []
    if per_region:
        from scipy import ndimage

        numbered_HW, count = ndimage.label(mask_HW, structure=np.ones((3, 3), dtype=bool))
        number_P = numbered_HW[y_P, x_P] - 1
    else:
        number_P, count = np.zeros(len(x_P), dtype=np.int64), 1
    num_pixels = np.bincount(number_P, minlength=count)
    # float64 holds these sums exactly: the largest image has 2^28 pixels in rows of 2^14
    sums = [np.bincount(number_P, weights=place_P, minlength=count) for place_P in (x_P, y_P)]
    lengths = []
    for place_P in (x_P, y_P):
        low, high = np.full(count, np.iinfo(np.int64).max), np.zeros(count, dtype=np.int64)
        np.minimum.at(low, number_P, place_P)
        np.maximum.at(high, number_P, place_P)
        lengths.append(high - low + 1)
    return [
        Region(
            num_pixels=int(num_pixels[index]),
            sum_x=int(sums[0][index]),
            sum_y=int(sums[1][index]),
            width=int(lengths[0][index]),
            height=int(lengths[1][index]),
        )
        for index in range(count)
    ]


def square_around(region: Region | None, *, width: int, height: int, size: int) -> Square:
    """The square centred on a region's centroid, or on the image; moved to lie inside.

    A centroid in pixel column `c` comes to lie in column `size // 2` of the patch.

    Args:
        region: None for the centre of the image.
        width: of the image, at least `size`.
        height: the same.
    """
    assert size <= min(width, height), "smaller images are refused before"
    if region is None:
        return Square(x=(width - size) // 2, y=(height - size) // 2, size=size)
    x, y = (_start(total, region.num_pixels, size) for total in (region.sum_x, region.sum_y))
    inside_x, inside_y = min(max(x, 0), width - size), min(max(y, 0), height - size)
    return Square(x=inside_x, y=inside_y, size=size, clamped=(inside_x, inside_y) != (x, y))


def _start(total: int, count: int, size: int) -> int:
    """The least whole number from `total / count - size / 2` on."""
    return -((size * count - 2 * total) // (2 * count))
