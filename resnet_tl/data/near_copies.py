"""Finds images that are copies of each other though not pixel by pixel: resized, recompressed, mirrored or turned.

Every image leaves a thumbnail of the whole picture as it came, so that neither size nor crop decide what is a copy.
Two images are near copies where, under one of the eight ways to mirror and turn a square, their thumbnails agree up to
brightness and contrast: in correlation, and in the place where they differ most, so that a picture with another detail
is none.

Candidates are found without comparing all pairs, of which alike images have too many: means over the cells that the
eight ways exchange are the same for all of them, and an orthogonal projection, so two thumbnails that agree are close
there.

Axes: N images, P of them, M nearest ones, H W cells of a thumbnail, C colours, D dimensions.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_tl.data.clusters import DisjointSets

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

_MOST_COMPARED = 128
"""Others that an image is compared with at most, the nearest: all frames of a fixed camera are candidates. A copy is
nearer than they are to each other."""

_POINTS_AT_ONCE = 20_000


def thumbnail(image: Image.Image) -> NDArray[np.uint8] | None:
    """The whole picture in a few cells, uint8 [H, W, C]; None for an image too small to be compared."""
    if min(image.size) < LEAST_SIDE:
        return None
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.HAMMING))


def near_copies(thumbnails: Sequence[NDArray[np.uint8] | None]) -> list[tuple[int, int]]:
    """Connects images that are copies of each other, exact ones among them.

    Args:
        thumbnails: of N images, each [H, W, C]; None is a copy of nothing.

    Returns:
        For each image that is a copy, the lowest number of those that it is a copy of, directly or by way of others,
        and its own. All pairs of a thousand alike images would be half a million.
    """
    sets = DisjointSets(len(thumbnails))
    first: dict[bytes, int] = {}
    for number, small in enumerate(thumbnails):
        if small is not None and not _is_plain(small):
            sets.unite(first.setdefault(small.tobytes(), number), number)
    if len(first) > 1:
        number_N = list(first.values())
        cells_NHWC = np.stack([small for number in number_N if (small := thumbnails[number]) is not None])
        for place, others in _candidates(_projected(cells_NHWC)):
            own = sets.first(number_N[place])
            strange = [other for other in others if sets.first(number_N[other]) != own]
            if strange:
                agree_P = _agree(_standard(cells_NHWC[[place]])[0], _standard(cells_NHWC[strange]))
                for index in np.flatnonzero(agree_P):
                    sets.unite(own, number_N[strange[index]])
    firsts = ((sets.first(number), number) for number in range(len(thumbnails)))
    return [pair for pair in firsts if pair[0] != pair[1]]


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
    for start in range(0, len(cells_NHWC), _POINTS_AT_ONCE):
        standard_PHWC = _standard(cells_NHWC[start : start + _POINTS_AT_ONCE])
        mean_POC = np.mean([way[:, rows, columns] for way in _ways(standard_PHWC)], axis=0)
        weighted = mean_POC * np.sqrt(share_O / standard_PHWC.shape[3])[:, None]
        parts.append(weighted.reshape(len(standard_PHWC), -1).astype(np.float64))
    flat_NF = np.concatenate(parts)
    flat_NF -= flat_NF.mean(0)
    _, axes_FF = np.linalg.eigh(flat_NF.T @ flat_NF)
    projected: NDArray[np.float64] = flat_NF @ axes_FF[:, -_DIMENSIONS:]
    return projected


def _candidates(points_ND: NDArray[np.float64]) -> Iterator[tuple[int, list[int]]]:
    """For each point, those as close as two copies may be, the nearest of them where there are many; each pair once."""
    from scipy.spatial import cKDTree

    tree = cKDTree(points_ND)
    most = min(_MOST_COMPARED + 1, len(points_ND))  # a point finds itself
    reach_N = np.full(len(points_ND), _REACH)
    """How far each point has looked."""
    for start in range(0, len(points_ND), _POINTS_AT_ONCE):
        part = points_ND[start : start + _POINTS_AT_ONCE]
        distance_PM, other_PM = tree.query(part, k=most, distance_upper_bound=_REACH)
        is_full_P = np.isfinite(distance_PM[:, -1])
        reach_N[start : start + len(part)][is_full_P] = distance_PM[is_full_P, -1]
        for place in np.flatnonzero(np.isfinite(distance_PM[:, 1])):
            number = start + int(place)
            found = np.isfinite(distance_PM[place])
            distance_M, other_M = distance_PM[place, found], other_PM[place, found]
            # a lower number has been compared with all within its own reach
            fresh_M = (other_M > number) | ((other_M < number) & (distance_M >= reach_N[other_M]))
            if fresh_M.any():
                yield number, other_M[fresh_M].tolist()


def _agree(one_HWC: NDArray[np.float32], others_PHWC: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether standardised thumbnails show the same as one does under any of the eight ways; [P]."""
    agree_P = np.zeros(len(others_PHWC), dtype=bool)
    flat_FP = others_PHWC.reshape(len(others_PHWC), -1).T
    for way_HWC in (way[0] for way in _ways(one_HWC[None])):
        correlation_P = way_HWC.reshape(-1) @ flat_FP / one_HWC.size
        close = np.flatnonzero((correlation_P >= LEAST_CORRELATION) & ~agree_P)
        apart_P = np.abs(way_HWC - others_PHWC[close]).mean(3).max((1, 2))
        agree_P[close[apart_P <= MOST_DIFFERENCE]] = True
    return agree_P
