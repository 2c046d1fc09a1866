"""Batches for one epoch: order, augmentation, normalisation.

Axes: B images of a batch, C channels, H W pixels, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.batching import EVAL_BATCH
from resnet_tl.data.augment import augment_BCHW, mix
from resnet_tl.data.draws import read_draws
from resnet_tl.data.prepare import Images
from resnet_tl.data.splits import SYNTHETIC
from resnet_tl.device import may_stay
from resnet_tl.heartbeat import beat
from resnet_tl.seeding import derive, shuffled

AT_ONCE_BYTES = 32 << 20
"""Of images, or stored outputs, that are copied to a device at a time; one output of a first layer can have 3 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalisation:
    """Per-channel shift and scale of pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        mean = torch.tensor(self.mean, device=images_BCHW.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images_BCHW.device).view(1, -1, 1, 1)
        return (images_BCHW - mean) / std


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Training images with what the loss and the dropout need."""

    inputs_B: Tensor
    """Images [B, C, H, W], float32, normalised; or what a frozen prefix makes of them."""
    targets_BK: Tensor
    """Shares of each class; one-hot unless images were mixed."""
    samples_B: NDArray[np.int64]
    """Numbers that key the random draws; an oversampled image has one for each time it is drawn."""


def measured(images: Images) -> Normalisation:
    """Mean and standard deviation of the training pixels, for networks that start from nothing."""
    train = images.splits["train"]
    total, squares, count = torch.zeros(()), torch.zeros(()), 0
    for start in range(0, len(train), EVAL_BATCH):
        beat()
        part = to_unit(images.pixels_NCHW[train[start : start + EVAL_BATCH]]).double()
        total = total + part.sum((0, 2, 3))
        squares = squares + (part * part).sum((0, 2, 3))
        count += part.shape[0] * part.shape[2] * part.shape[3]
    mean = total / count
    std = (squares / count - mean**2).clamp_min(1e-4).sqrt()
    return Normalisation(mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def to_unit(pixels: NDArray[np.generic], device: torch.device | str = "cpu") -> Tensor:
    """Stored pixels as float32 in [0, 1], on a device; there they become so, since they are sent as bytes."""
    return _unit(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))


def _unit(pixels: Tensor) -> Tensor:
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels


class DeviceImages:
    """Images as they are stored, by number, for a device: in its memory once where it has room, else sent as asked.

    The two give the same bits, since both become floats on the device.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        self.device = device
        self._stored = images.pixels_NCHW
        self._resident: Tensor | None = None
        if may_stay(self._stored.nbytes, device):
            self._resident = resident(self._stored, device)

    def __getitem__(self, index_B: NDArray[np.int64]) -> Tensor:
        """Pixels [B, C, H, W], float32 in [0, 1]."""
        if self._resident is None:
            return to_unit(self._stored[index_B], self.device)
        return _unit(self._resident.index_select(0, torch.from_numpy(index_B).to(self.device)))


def resident(rows: NDArray[Any], device: torch.device) -> Tensor:
    """All rows on a device, copied part by part, so that a mapped file is not in memory as a whole."""
    first = torch.from_numpy(np.array(rows[:0]))
    whole = torch.empty(rows.shape, dtype=first.dtype, device=device)
    end = 0
    for part in parts(rows):
        whole[end : end + len(part)] = torch.from_numpy(part)
        end += len(part)
    return whole


def parts(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """All rows, one behind the other, in copies of no more than `AT_ONCE_BYTES`."""
    count = max(1, AT_ONCE_BYTES // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), count):
        beat()
        yield np.array(rows[start : start + count])


def centre(images_BCHW: Tensor, crop: int | None) -> Tensor:
    """Cuts the centre square out of each image."""
    if crop is None:
        return images_BCHW
    top, left = (images_BCHW.shape[2] - crop) // 2, (images_BCHW.shape[3] - crop) // 2
    return images_BCHW[:, :, top : top + crop, left : left + crop]


def epoch_order(images: Images, *, balanced: str | bool, seed: int, epoch: int) -> NDArray[np.int64]:
    """The samples of one epoch in random order.

    A sample number is `image + round * N`; `round` counts the repetitions of an image that is drawn several times, so
    that each has augmentation of its own. Under `oversample` every class is drawn as often as the largest of train.
    Of generated images, where there are any, a share comes in place of as many real ones: both are drawn anew in each
    epoch, none twice, so that an epoch is as long as without.
    """
    N = len(images.labels_N)
    if images.share:
        assert balanced != "oversample", "refused by DataConfig"
        assert not images.draws, "refused by with_generated"
        return _mixed(images, seed=seed, epoch=epoch)
    train = read_draws(images.draws[seed]) if images.draws else images.splits["train"]
    key = derive(seed, "order", epoch)
    if balanced != "oversample":
        return train[shuffled(key, len(train))]
    rounds = 1 + int(train.max()) // N
    labels = images.labels_N[train % N]
    counts = np.bincount(labels)
    most = np.bincount(images.labels_N[images.splits["train"]]).max()  # the same for all seeds, whatever they draw
    samples = []
    for label, count in enumerate(counts):
        members = train[labels == label]
        members = members[shuffled(derive(seed, "order", epoch, label), count)]
        repeats = np.arange(most)
        samples.append(members[repeats % count] + repeats // count * (N * rounds))
    joined = np.concatenate(samples)
    return joined[shuffled(key, len(joined))]


def _mixed(images: Images, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The samples of an epoch that has a share of generated images, in random order."""
    train, made = images.splits["train"], images.splits[SYNTHETIC]
    num_made = round(images.share * len(train))
    real = train[shuffled(derive(seed, "synthetic", epoch, 0), len(train))[: len(train) - num_made]]
    drawn = made[shuffled(derive(seed, "synthetic", epoch, 1), len(made))[:num_made]]
    joined = np.concatenate([real, drawn])
    return joined[shuffled(derive(seed, "order", epoch), len(joined))]


def cut_batches(samples: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Consecutive batches; a single left-over image joins the batch before it.

    BatchNorm cannot normalise one image by itself, and one image takes another numerical path on CPU.
    """
    starts = list(range(0, len(samples), batch_size))
    if len(starts) > 1 and batch_size > 1 and len(samples) - starts[-1] == 1:
        starts.pop()
    ends = [*starts[1:], len(samples)]
    return [samples[start:end] for start, end in zip(starts, ends, strict=True)]


def train_batches(
    images: Images,
    pixels: DeviceImages,
    *,
    normalisation: Normalisation,
    batch_size: int,
    augment: tuple[str, ...],
    crop: int | None,
    balanced: str | bool,
    num_classes: int,
    seed: int,
    epoch: int,
) -> Iterator[Batch]:
    """One epoch of training, counted from 1, on the device of the pixels."""
    key = derive(seed, "augment", epoch)
    for samples_B in cut_batches(epoch_order(images, balanced=balanced, seed=seed, epoch=epoch), batch_size):
        beat()
        index_B = samples_B % len(images.labels_N)
        labels_B = torch.from_numpy(images.labels_N[index_B]).to(pixels.device)
        images_BCHW = pixels[index_B]
        targets_BK = torch.nn.functional.one_hot(labels_B, num_classes).float()
        images_BCHW = augment_BCHW(images_BCHW, samples_B, key=key, names=augment, crop=crop)
        images_BCHW = normalisation(images_BCHW)
        images_BCHW, targets_BK = mix(images_BCHW, targets_BK, samples_B, key=key, names=augment)
        yield Batch(inputs_B=images_BCHW, targets_BK=targets_BK, samples_B=samples_B)


def eval_batches(
    images: Images, pixels: DeviceImages, split: str, *, normalisation: Normalisation, crop: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images [B, C, H, W] and labels [B] of a split, in stored order, never augmented."""
    index = images.splits[split]
    for start in range(0, len(index), EVAL_BATCH):
        beat()
        part = index[start : start + EVAL_BATCH]
        images_BCHW = centre(pixels[part], crop)
        yield normalisation(images_BCHW), torch.from_numpy(images.labels_N[part]).to(pixels.device)
