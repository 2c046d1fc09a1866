"""Random changes of training images; every draw belongs to (seed, epoch, sample).

Applied in this order: random_crop or five_crop, hflip, vflip, rotation; then mixup or cutmix across the batch.

Axes: B images of a batch, C channels, H W pixels, K classes.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from resnet_tl.data.views import PLACES, View
from resnet_tl.seeding import uniforms_BW

MAX_ROTATION_DEG = 15.0
MIXUP_ALPHA = 0.2
"""Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", section 4.1: alpha in [0.1, 0.4] for ImageNet."""

# columns of the table of draws; a new augmentation takes a new column, so that the others keep theirs
_TOP, _LEFT, _HFLIP, _VFLIP, _ANGLE, _SHARE, _ROW, _COLUMN, _WHICH, _PLACE = range(10)
_WIDTH = 16


def augment_BCHW(
    images_BCHW: Tensor, samples_B: NDArray[np.int64], *, key: int, names: tuple[str, ...], crop: int | None
) -> Tensor:
    """Crops, flips and rotates each image on its own.

    Args:
        images_BCHW: float pixels.
        samples_B: sample numbers.
        key: of the epoch, from `seeding.derive`.
        names: augmentations to apply.
        crop: pixels of the square to cut out, at random places under `random_crop`, else from the centre.
    """
    draws_BW = uniforms_BW(key, samples_B, _WIDTH)
    if crop is not None:
        room_h, room_w = images_BCHW.shape[2] - crop, images_BCHW.shape[3] - crop
        if "random_crop" in names:
            tops = np.floor(draws_BW[:, _TOP] * (room_h + 1)).astype(int)
            lefts = np.floor(draws_BW[:, _LEFT] * (room_w + 1)).astype(int)
        else:
            place_B = _place(draws_BW) if "five_crop" in names else np.zeros(len(samples_B), dtype=int)
            corners = np.array([_corner(place, room_h, room_w) for place in PLACES])
            tops, lefts = corners[place_B].T
        images_BCHW = torch.stack(
            [
                image[:, top : top + crop, left : left + crop]
                for image, top, left in zip(images_BCHW, tops.tolist(), lefts.tolist(), strict=True)
            ]
        )
    if "hflip" in names:
        images_BCHW = _flip(images_BCHW, draws_BW[:, _HFLIP] < 0.5, dim=3)
    if "vflip" in names:
        images_BCHW = _flip(images_BCHW, draws_BW[:, _VFLIP] < 0.5, dim=2)
    if "rotation" in names:
        images_BCHW = _rotate(images_BCHW, (2 * draws_BW[:, _ANGLE] - 1) * MAX_ROTATION_DEG)
    return images_BCHW


def _place(draws_BW: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(draws_BW[:, _PLACE] * len(PLACES)).astype(np.int64)


def _corner(place: str, room_h: int, room_w: int) -> tuple[int, int]:
    if place == "centre":
        return room_h // 2, room_w // 2
    return (room_h if place.startswith("bottom") else 0), (room_w if place.endswith("right") else 0)


def views_B(samples_B: NDArray[np.int64], *, key: int, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Which of `finite_views(names)` each sample gets: the one that `augment_BCHW` would give it."""
    draws_BW = uniforms_BW(key, samples_B, _WIDTH)
    number_B = _place(draws_BW) if "five_crop" in names else np.zeros(len(samples_B), dtype=np.int64)
    for name, column in (("hflip", _HFLIP), ("vflip", _VFLIP)):
        if name in names:
            number_B = 2 * number_B + (draws_BW[:, column] < 0.5)
    return number_B


def render(images_BCHW: Tensor, view: View, crop: int | None) -> Tensor:
    """Every image under the same view."""
    if crop is not None:
        top, left = _corner(view.place, images_BCHW.shape[2] - crop, images_BCHW.shape[3] - crop)
        images_BCHW = images_BCHW[:, :, top : top + crop, left : left + crop]
    flipped = [dim for dim, wanted in ((3, view.hflip), (2, view.vflip)) if wanted]
    return images_BCHW.flip(flipped) if flipped else images_BCHW


def _flip(images_BCHW: Tensor, chosen_B: NDArray[np.bool_], dim: int) -> Tensor:
    mask = torch.from_numpy(chosen_B).to(images_BCHW.device).view(-1, 1, 1, 1)
    return torch.where(mask, images_BCHW.flip(dim), images_BCHW)


def _rotate(images_BCHW: Tensor, degrees_B: NDArray[np.float64]) -> Tensor:
    radians = np.deg2rad(degrees_B)
    height, width = images_BCHW.shape[2:]
    cos, sin = np.cos(radians), np.sin(radians)
    zero = np.zeros_like(cos)
    # affine_grid works in units of half the side, which differ for H and W
    theta = np.stack([cos, -sin * height / width, zero, sin * width / height, cos, zero], axis=1).reshape(-1, 2, 3)
    matrix = torch.from_numpy(theta.astype(np.float32)).to(images_BCHW.device)
    grid = affine_grid(matrix, list(images_BCHW.shape), align_corners=False)
    return grid_sample(images_BCHW, grid, mode="bilinear", padding_mode="border", align_corners=False)


def mix(
    images_BCHW: Tensor, targets_BK: Tensor, samples_B: NDArray[np.int64], *, key: int, names: tuple[str, ...]
) -> tuple[Tensor, Tensor]:
    """Blends each image with the next of its batch (mixup), or pastes a rectangle of it (cutmix).

    With both named, half of the images get either.

    Returns:
        Images [B, C, H, W] and class shares [B, K].
    """
    if "mixup" not in names and "cutmix" not in names:
        return images_BCHW, targets_BK
    draws_BW = uniforms_BW(key, samples_B, _WIDTH)
    both = "mixup" in names and "cutmix" in names
    pasted_B = draws_BW[:, _WHICH] < (0.5 if both else float("cutmix" in names))
    keep_B = np.ones(len(samples_B))
    partner_BCHW, partner_BK = images_BCHW.roll(-1, 0), targets_BK.roll(-1, 0)
    mixed_BCHW = images_BCHW.clone()
    if not pasted_B.all():
        from scipy.special import betaincinv

        share = betaincinv(MIXUP_ALPHA, MIXUP_ALPHA, draws_BW[:, _SHARE])
        keep_B = np.where(pasted_B, keep_B, share)
        weight = torch.from_numpy(keep_B.astype(np.float32)).to(images_BCHW.device).view(-1, 1, 1, 1)
        mixed_BCHW = weight * images_BCHW + (1 - weight) * partner_BCHW
    height, width = images_BCHW.shape[2:]
    for index in np.flatnonzero(pasted_B).tolist():
        side = math.sqrt(1 - draws_BW[index, _SHARE])  # the share is uniform: Yun et al. 2019, "CutMix", 3.1
        row, column = draws_BW[index, _ROW] * height, draws_BW[index, _COLUMN] * width
        top, bottom = (int(np.clip(round(row + s * side * height / 2), 0, height)) for s in (-1, 1))
        left, right = (int(np.clip(round(column + s * side * width / 2), 0, width)) for s in (-1, 1))
        mixed_BCHW[index, :, top:bottom, left:right] = partner_BCHW[index, :, top:bottom, left:right]
        keep_B[index] = 1 - (bottom - top) * (right - left) / (height * width)
    share_B1 = torch.from_numpy(keep_B.astype(np.float32)).to(targets_BK.device).view(-1, 1)
    return mixed_BCHW, share_B1 * targets_BK + (1 - share_B1) * partner_BK
