"""What the trained part of a network is fed: images through its frozen front, or what is stored of that.

The two agree to the last bit, which is all that reuse rests on: the same samples in the same order with the same
faces, in the same memory layout.

Axes: B images of a batch, K classes.
"""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from resnet_tl.config import TrialConfig
from resnet_tl.data.augment import views_B
from resnet_tl.data.batches import Batch, cut_batches, epoch_order, eval_batches, train_batches
from resnet_tl.data.views import finite_views
from resnet_tl.features import Features, as_stored
from resnet_tl.front import EVAL_BATCH
from resnet_tl.model.network import Network
from resnet_tl.model.runtime import computing
from resnet_tl.seeding import derive
from resnet_tl.start import Start


class Inputs(Protocol):
    """Batches for training and for scoring."""

    def train(self, seed: int, epoch: int) -> Iterator[Batch]:
        """One epoch, counted from 1, in the order that the seed gives."""

    def evaluate(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels [B] of a split, in stored order, never augmented."""


class ThroughFront:
    """Images, decoded once, through the front of a network, each time anew.

    Args:
        threads: with which the front runs, whatever the rest has: heads side by side have one.
    """

    def __init__(
        self, start: Start, trial: TrialConfig, network: Network, device: torch.device, *, threads: int
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
            yield Batch(inputs_B=self._front(batch.inputs_B), targets_BK=batch.targets_BK, samples_B=batch.samples_B)

    def evaluate(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Inputs`."""
        start = self._start
        for images_BCHW, labels_B in eval_batches(
            start.images, split, normalisation=start.normalisation, crop=start.data.crop, device=self._device
        ):
            yield self._front(images_BCHW), labels_B

    def _front(self, images_BCHW: Tensor) -> Tensor:
        if self._network.cut == 0:
            return images_BCHW
        with (
            computing(device=str(self._device), threads=self._threads),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._trial.precision == "bf16"),
        ):
            return as_stored(self._network.front(images_BCHW), self._last)


class FromStore:
    """Outputs of the front that were computed before."""

    def __init__(self, features: Features, start: Start, trial: TrialConfig, device: torch.device) -> None:
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
            part = index[first : first + EVAL_BATCH]
            labels_B = torch.from_numpy(images.labels_N[part]).to(self._device)
            yield self._features.of_view(part).to(self._device), labels_B
