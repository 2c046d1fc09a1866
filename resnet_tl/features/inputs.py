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
from resnet_tl.data.batches import Batch, cut_batches, epoch_order, eval_batches, train_batches
from resnet_tl.data.prepare import Images
from resnet_tl.data.views import PLAIN, View, finite_views
from resnet_tl.features.compute import as_stored
from resnet_tl.features.key import FrozenPrefix
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
        return _tensor(gathered, self._prefix)

    def of_view(self, index_B: NDArray[np.int64], view: View = PLAIN) -> Tensor:
        """Outputs [B, …] of images, all seen the same way."""
        return _tensor(self._arrays[view][self._rows(index_B, view)], self._prefix)

    def _rows(self, index_B: NDArray[np.int64], view: View) -> NDArray[np.int64]:
        return index_B if view == PLAIN else self._row_of_view[index_B]


def _tensor(rows: NDArray[Any], prefix: FrozenPrefix) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(rows))
    if prefix.precision == "bf16":
        tensor = tensor.view(torch.bfloat16)
    return tensor.permute(0, 3, 1, 2) if tensor.dim() == 4 and prefix.channels_last else tensor


class Inputs(Protocol):
    """Batches for training and for scoring."""

    def train(self, seed: int, epoch: int) -> Iterator[Batch]:
        """One epoch, counted from 1, in the order that the seed gives."""

    def evaluate(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels [B] of a split, in stored order, never augmented."""


class ThroughPrefix:
    """Images, decoded once, through the prefix of a network, each time anew.

    Args:
        threads: with which the prefix runs, whatever the rest has: heads side by side have one.
    """

    def __init__(
        self, start: StartingPoint, trial: TrialConfig, network: Network, device: torch.device, *, threads: int
    ) -> None:
        self._threads = threads
        self._start, self._trial, self._network, self._device = start, trial, network, device
        self._last = network.cut > 0 and network.channels_last[network.cut - 1]

    def train(self, seed: int, epoch: int) -> Iterator[Batch]:
        """See `Inputs`."""
        start, trial = self._start, self._trial
        for batch in train_batches(
            start.images,
            normalisation=start.normalisation,
            batch_size=trial.batch_size,
            augment=trial.augment,
            crop=start.data.crop,
            balanced=start.data.balanced,
            num_classes=len(start.data.classes),
            seed=seed,
            epoch=epoch,
            device=self._device,
        ):
            yield Batch(inputs_B=self._prefix(batch.inputs_B), targets_BK=batch.targets_BK, samples_B=batch.samples_B)

    def evaluate(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Inputs`."""
        start = self._start
        for images_BCHW, labels_B in eval_batches(
            start.images, split, normalisation=start.normalisation, crop=start.data.crop, device=self._device
        ):
            yield self._prefix(images_BCHW), labels_B

    def _prefix(self, images_BCHW: Tensor) -> Tensor:
        if self._network.cut == 0:
            return images_BCHW
        with (
            computing(device=str(self._device), threads=self._threads),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._trial.precision == "bf16"),
        ):
            return as_stored(self._network.prefix(images_BCHW), self._last)


class FromStore:
    """Outputs of the prefix that were computed before."""

    def __init__(self, features: Features, start: StartingPoint, trial: TrialConfig, device: torch.device) -> None:
        self._features, self._start, self._trial, self._device = features, start, trial, device
        views = finite_views(trial.augment)
        assert views is not None
        self._views = views

    def train(self, seed: int, epoch: int) -> Iterator[Batch]:
        """See `Inputs`."""
        images, data = self._start.images, self._start.data
        key = derive(seed, "augment", epoch)
        order = epoch_order(images, balanced=data.balanced, seed=seed, epoch=epoch)
        for samples_B in cut_batches(order, self._trial.batch_size):
            beat()
            index_B = samples_B % len(images.labels_N)
            view_B = views_B(samples_B, key=key, names=self._trial.augment)
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
            yield self._features.of_view(part).to(self._device), labels_B
