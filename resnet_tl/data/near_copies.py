"""Finds images that are copies of each other though not pixel by pixel: resized, recompressed, mirrored or turned.

Every image leaves a thumbnail of the whole picture as it came, so that neither size nor crop decide what is a copy.
Two images are near copies where, under one of the eight ways to mirror and turn a square, their thumbnails agree up to
brightness and contrast: in correlation, and in the place where they differ most, so that a picture with another detail
is none.

Candidates are found without comparing all pairs: means over the cells that the eight ways exchange are the same for all
of them, and an orthogonal projection, so two thumbnails that agree are close there.

Axes: N images, P pairs, H W cells of a thumbnail, C colours, D dimensions.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
"""Cells of a thumbnail along each side."""

LEAST_SIDE = 24
"""Pixels of the short side below which an image says too little to tell a copy from another of its kind: of 1,797
digits of 8 × 8 pixels, 6 pairs would be taken for copies."""

LEAST_CORRELATION = 0.985
"""Of two copies. Measured on 1,124 X-rays, the alike of which are hard to tell apart, two pairs are above it (0.996 and
0.999: one picture twice, in other shades), the next is at 0.977; resized to a quarter or recompressed at quality 30,
98 to 100 of 100 copies are above it."""

MOST_DIFFERENCE = 0.5
"""Of two copies in any one cell, in standard deviations of the picture; the X-rays' next pair has 0.70, drawings that
differ in one detail mostly 0.5 to 1.5."""

_LEAST_DEVIATION = 2.0
"""Standard deviation, of 255, below which a picture is a plain area, whose rest is noise of its compression."""

_DIMENSIONS = 12
"""That candidates are searched in."""

_REACH = 0.12
"""How far apart candidates may be there. Of resized, recompressed and turned copies of photographs, X-rays and drawings
none of 4,000 was farther than 0.09; of the pairs of X-rays, 0.2% are as near."""

_PAIRS_AT_ONCE = 20_000


def thumbnail(image: Image.Image) -> NDArray[np.uint8] | None:
    """The whole picture in a few cells, uint8 [H, W, C]; None for an image too small to be compared."""
    if min(image.size) < LEAST_SIDE:
        return None
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.HAMMING))


def near_copies(thumbnails: Sequence[NDArray[np.uint8] | None]) -> list[tuple[int, int]]:
    """Pairs of images that are copies of each other, exact ones among them.

    Args:
        thumbnails: of N images, each [H, W, C]; None is a copy of nothing.

    Returns:
        Pairs of their numbers, the lower one first.
    """
    told = [(n, small) for n, small in enumerate(thumbnails) if small is not None and not _is_plain(small)]
    if len(told) < 2:
        return []
    number_N = np.array([number for number, _ in told])
    cells_NHWC = np.stack([small for _, small in told])
    found: list[tuple[int, int]] = []
    for first_P, second_P in _candidates(_projected(cells_NHWC)):
        good_P = _agree(_standard(cells_NHWC[first_P]), _standard(cells_NHWC[second_P]))
        found += zip(number_N[first_P[good_P]].tolist(), number_N[second_P[good_P]].tolist(), strict=True)
    return sorted(found)


def _is_plain(cells_HWC: NDArray[np.uint8]) -> bool:
    return bool(np.sqrt(cells_HWC.var((0, 1)).mean()) < _LEAST_DEVIATION)


def _standard(cells_PHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Thumbnails without their brightness, cast of colour and contrast."""
    centred = cells_PHWC - cells_PHWC.mean((1, 2), keepdims=True, dtype=np.float32)
    standard: NDArray[np.float32] = centred / np.sqrt((centred**2).mean((1, 2, 3), keepdims=True))
    return standard


def _ways(cells: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The eight ways to mirror and turn pictures; [P, H, W, C]."""
    for turns in range(4):
        turned = np.rot90(cells, turns, axes=(1, 2))
        yield turned
        yield turned[:, :, ::-1]


def _projected(cells_NHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What no way changes, in a few dimensions; distances [N, D] are at most those of the whole thumbnails."""
    rows, columns = np.triu_indices(SIDE // 2)  # one cell of each set that the ways exchange, of 4 or of 8
    share_O = np.where(rows == columns, 4, 8) / (SIDE * SIDE)
    parts = []
    for start in range(0, len(cells_NHWC), _PAIRS_AT_ONCE):
        standard_PHWC = _standard(cells_NHWC[start : start + _PAIRS_AT_ONCE])
        mean_POC = np.mean([way[:, rows, columns] for way in _ways(standard_PHWC)], axis=0)
        weighted = mean_POC * np.sqrt(share_O / standard_PHWC.shape[3])[:, None]
        parts.append(weighted.reshape(len(standard_PHWC), -1).astype(np.float64))
    flat_NF = np.concatenate(parts)
    flat_NF -= flat_NF.mean(0)
    _, axes_FF = np.linalg.eigh(flat_NF.T @ flat_NF)
    projected: NDArray[np.float64] = flat_NF @ axes_FF[:, -_DIMENSIONS:]
    return projected


def _candidates(points_ND: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of points as close as those of two copies, some at a time."""
    from scipy.spatial import cKDTree

    tree = cKDTree(points_ND)
    first: list[int] = []
    second: list[int] = []
    for number in range(len(points_ND)):
        near = [other for other in tree.query_ball_point(points_ND[number], _REACH) if other > number]
        first += [number] * len(near)
        second += near
        while len(first) >= _PAIRS_AT_ONCE:
            yield np.array(first[:_PAIRS_AT_ONCE]), np.array(second[:_PAIRS_AT_ONCE])
            del first[:_PAIRS_AT_ONCE], second[:_PAIRS_AT_ONCE]
    if first:
        yield np.array(first), np.array(second)


def _agree(one_PHWC: NDArray[np.float32], other_PHWC: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether pairs of standardised thumbnails show the same under any of the eight ways; [P]."""
    agree_P = np.zeros(len(one_PHWC), dtype=bool)
    for way in _ways(other_PHWC):
        correlation_P = np.einsum("phwc,phwc->p", one_PHWC, way) / one_PHWC[0].size
        close = np.flatnonzero(correlation_P >= LEAST_CORRELATION)
        apart_P = np.abs(one_PHWC[close] - way[close]).mean(3).max((1, 2))
        agree_P[close[apart_P <= MOST_DIFFERENCE]] = True
    return agree_P
