"""What the trained part of a network is fed: images through its frozen prefix, or what is stored of that.

The two agree to the last bit, which is all that reuse rests on: the same samples in the same order with the same
views, in the same memory layout.

Axes: B images of a batch, K classes.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.batching import EVAL_BATCH
from resnet_tl.config import TrialConfig
from resnet_tl.data.augment import views_B
from resnet_tl.data.batches import (
    Batch,
    DeviceImages,
    cut_batches,
    epoch_order,
    eval_batches,
    parts,
    train_batches,
)
from resnet_tl.data.prepare import Images
from resnet_tl.data.views import PLAIN, View, finite_views
from resnet_tl.device import autocast, may_stay
from resnet_tl.features.compute import as_stored
from resnet_tl.features.store import Stored
from resnet_tl.heartbeat import beat
from resnet_tl.model.network import Network
from resnet_tl.model.runtime import computing
from resnet_tl.model.starting_point import StartingPoint
from resnet_tl.seeding import derive


class Features:
    """Stored outputs, mapped into memory."""

    def __init__(self, place: Stored, images: Images) -> None:
        self._prefix = place.prefix
        self._arrays: dict[View, NDArray[np.generic]] = {}
        self._row_of_view = np.full(len(images.labels_N), -1)
        self._row_of_view[images.learnable] = np.arange(len(images.learnable))
        for view, folder in place.folders.items():
            table = json.loads((Path(folder) / "features.json").read_text(encoding="utf-8"))
            self._arrays[view] = np.memmap(
                Path(folder) / "outputs.bin", dtype=table["dtype"], mode="r", shape=tuple(table["shape"])
            )

    def of_views(self, index_B: NDArray[np.int64], views: Sequence[View], view_B: NDArray[np.int64]) -> Tensor:
        """Outputs [B, …] of images, each seen as its own of `views`."""
        first = self._arrays[views[0]]
        gathered = np.empty((len(index_B), *first.shape[1:]), dtype=first.dtype)
        for number, view in enumerate(views):
            chosen_B = view_B == number
            rows = self._rows(index_B[chosen_B], view)
            gathered[chosen_B] = self._arrays[view][rows]
        return self.laid_out(self._numbers(gathered))

    def of_view(self, index_B: NDArray[np.int64], view: View = PLAIN) -> Tensor:
        """Outputs [B, …] of images, all seen the same way."""
        return self.laid_out(self._numbers(self._arrays[view][self._rows(index_B, view)]))

    def parts(self, view: View) -> Iterator[Tensor]:
        """All rows of a view, one after the other, as they lie in the file."""
        for part in parts(self._arrays[view]):
            yield self._numbers(part)

    def laid_out(self, rows: Tensor) -> Tensor:
        """Outputs [B, …] from rows as they lie in the file."""
        return rows.permute(0, 3, 1, 2) if rows.dim() == 4 and self._prefix.channels_last else rows

    def num_bytes(self, views: Sequence[View]) -> int:
        """Of all rows of some views."""
        return sum(self._arrays[view].nbytes for view in views)

    def rows_VN(self, views: Sequence[View]) -> NDArray[np.int64]:
        """Where each image stands in the rows of several views, one view behind the other; -1 where it has none."""
        every = np.arange(len(self._row_of_view))
        firsts = np.cumsum([0, *(len(self._arrays[view]) for view in views)])
        rows = [self._rows(every, view) for view in views]
        return np.stack(
            [np.where(of_view >= 0, of_view + first, -1) for of_view, first in zip(rows, firsts[:-1], strict=True)]
        )

    def _rows(self, index_B: NDArray[np.int64], view: View) -> NDArray[np.int64]:
        return index_B if view == PLAIN else self._row_of_view[index_B]

    def _numbers(self, rows: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(rows))
        return tensor.view(torch.bfloat16) if self._prefix.precision == "bf16" else tensor


class Rows:
    """Stored outputs of several views, all in the memory of a device: a row for each view of each image."""

    def __init__(self, features: Features, views: Sequence[View], device: torch.device) -> None:
        self._features, self._device = features, device
        self._row_VN = features.rows_VN(views)
        self._table = torch.empty(0)
        end = 0
        for view in views:
            for part in features.parts(view):  # part by part, so that nothing is in memory twice
                if not end:
                    self._table = torch.empty(
                        (self._row_VN.max() + 1, *part.shape[1:]), dtype=part.dtype, device=device
                    )
                self._table[end : end + len(part)] = part
                end += len(part)
        assert end == len(self._table)

    def numbers(self, index: NDArray[np.int64], view: NDArray[np.int64] | int = 0) -> Tensor:
        """The rows of images, each seen as one of the views (0 is the first), in the shape of `index`."""
        return torch.from_numpy(self._row_VN[view, index]).to(self._device)

    def __getitem__(self, numbers_B: Tensor) -> Tensor:
        """Outputs [B, …] of rows."""
        return self._features.laid_out(self._table.index_select(0, numbers_B))


class Inputs(Protocol):
    """Batches for training and for scoring."""

    def train(self, seed: int, epoch: int) -> Iterator[Batch]:
        """One epoch, counted from 1, in the order that the seed gives."""

    def evaluate(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels [B] of a split, in stored order, never augmented."""


class ThroughPrefix:
    """Images, decoded once, through the prefix of a network, each time anew.

    Args:
        pixels: of the images of `start`.
        threads: with which the prefix runs, whatever the rest has: heads side by side have one.
    """

    def __init__(
        self, start: StartingPoint, trial: TrialConfig, network: Network, pixels: DeviceImages, *, threads: int
    ) -> None:
        self._threads = threads
        self._start, self._trial, self._network, self._pixels = start, trial, network, pixels
        self._last = network.cut > 0 and network.channels_last[network.cut - 1]

    def train(self, seed: int, epoch: int) -> Iterator[Batch]:
        """See `Inputs`."""
        start, trial = self._start, self._trial
        for batch in train_batches(
            start.images,
            self._pixels,
            normalisation=start.normalisation,
            batch_size=trial.batch_size,
            augment=trial.augment,
            crop=start.data.crop,
            balanced=start.data.balanced,
            num_classes=len(start.data.classes),
            seed=seed,
            epoch=epoch,
        ):
            yield Batch(inputs_B=self._prefix(batch.inputs_B), targets_BK=batch.targets_BK, samples_B=batch.samples_B)

    def evaluate(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Inputs`."""
        start = self._start
        for images_BCHW, labels_B in eval_batches(
            start.images, self._pixels, split, normalisation=start.normalisation, crop=start.data.crop
        ):
            yield self._prefix(images_BCHW), labels_B

    def _prefix(self, images_BCHW: Tensor) -> Tensor:
        if self._network.cut == 0:
            return images_BCHW
        device = self._pixels.device
        with computing(device=str(device), threads=self._threads), autocast(device, self._trial.precision):
            return as_stored(self._network.prefix(images_BCHW), self._last)


class FromStore:
    """Outputs of the prefix that were computed before; on the device where it has room, else read as they are asked."""

    def __init__(self, features: Features, start: StartingPoint, trial: TrialConfig, device: torch.device) -> None:
        self._features, self._start, self._trial, self._device = features, start, trial, device
        views = finite_views(trial.augment)
        assert views is not None
        self._views = views
        self._resident = Rows(features, views, device) if may_stay(features.num_bytes(views), device) else None

    def train(self, seed: int, epoch: int) -> Iterator[Batch]:
        """See `Inputs`."""
        images, data = self._start.images, self._start.data
        key = derive(seed, "augment", epoch)
        order = epoch_order(images, balanced=data.balanced, seed=seed, epoch=epoch)
        for samples_B in cut_batches(order, self._trial.batch_size):
            beat()
            index_B = samples_B % len(images.labels_N)
            view_B = views_B(samples_B, key=key, names=self._trial.augment)
            if self._resident is not None:
                inputs_B = self._resident[self._resident.numbers(index_B, view_B)]
            else:
                inputs_B = self._features.of_views(index_B, self._views, view_B).to(self._device)
            labels_B = torch.from_numpy(images.labels_N[index_B]).to(self._device)
            targets_BK = torch.nn.functional.one_hot(labels_B, len(data.classes)).float()
            yield Batch(inputs_B=inputs_B, targets_BK=targets_BK, samples_B=samples_B)

    def evaluate(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Inputs`."""
        images = self._start.images
        index = images.splits[split]
        for first in range(0, len(index), EVAL_BATCH):
            beat()
            part = index[first : first + EVAL_BATCH]
            labels_B = torch.from_numpy(images.labels_N[part]).to(self._device)
            if self._resident is not None:
                yield self._resident[self._resident.numbers(part)], labels_B
            else:
                yield self._features.of_view(part).to(self._device), labels_B
