"""What heads side by side are fed: stored features, or images through the backbone.

Axes: B images of a batch, F features, K classes, M members, N samples of an epoch, V views of an image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.batching import EVAL_BATCH
from resnet_tl.config import TrialConfig
from resnet_tl.data.augment import views_B
from resnet_tl.data.batches import DeviceImages, cut_batches, epoch_order
from resnet_tl.data.views import finite_views
from resnet_tl.features.inputs import Features, Rows, ThroughPrefix
from resnet_tl.heartbeat import beat
from resnet_tl.model.network import Network
from resnet_tl.model.starting_point import StartingPoint
from resnet_tl.seeding import derive

Run = tuple[int, int, int]
"""A member's number, its seed and the epoch it is at."""


@dataclass(frozen=True, slots=True)
class Step:
    """One batch of every member."""

    features_MBF: Tensor
    targets_MBK: Tensor
    samples_MB: NDArray[np.int64]


class HeadInputs(Protocol):
    """Features for training and scoring."""

    shared: bool
    """Whether all members are scored on the same features."""

    def train(self, runs: Sequence[Run]) -> Iterator[Step]:
        """One epoch of several members."""

    def evaluate(self, member: int, split: str) -> Iterator[Tensor]:
        """Features [B, F] of a split, never augmented."""


class Table:
    """Stored features, all in memory."""

    def __init__(self, start: StartingPoint, trial: TrialConfig, features: Features, device: torch.device) -> None:
        self._start, self._trial, self._device = start, trial, device
        self.shared = True
        views = finite_views(trial.augment)
        assert views is not None
        self._rows = Rows(features, views, device)
        self._labels = torch.from_numpy(start.images.labels_N).to(device)

    def train(self, runs: Sequence[Run]) -> Iterator[Step]:
        """See `HeadInputs`."""
        images, data, trial = self._start.images, self._start.data, self._trial
        count = len(images.labels_N)
        orders: dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        for _, seed, epoch in runs:
            if (seed, epoch) not in orders:
                samples = epoch_order(images, balanced=data.balanced, seed=seed, epoch=epoch)
                view = views_B(samples, key=derive(seed, "augment", epoch), names=trial.augment)
                orders[seed, epoch] = samples, view
        samples_MN = np.stack([orders[seed, epoch][0] for _, seed, epoch in runs])
        view_MN = np.stack([orders[seed, epoch][1] for _, seed, epoch in runs])
        rows_MN = self._rows.numbers(samples_MN % count, view_MN)
        labels_MN = self._labels[torch.from_numpy(samples_MN % count).to(self._device)]
        first = 0
        for batch in cut_batches(samples_MN[0], trial.batch_size):
            beat()
            end = first + len(batch)
            rows_MB = rows_MN[:, first:end]
            features = self._rows[rows_MB.reshape(-1)].view(len(runs), len(batch), -1)
            targets_MBK = torch.nn.functional.one_hot(labels_MN[:, first:end], len(data.classes)).float()
            yield Step(features, targets_MBK, samples_MN[:, first:end])
            first = end

    def evaluate(self, member: int, split: str) -> Iterator[Tensor]:
        """See `HeadInputs`."""
        index = self._start.images.splits[split]
        for first in range(0, len(index), EVAL_BATCH):
            beat()
            yield self._rows[self._rows.numbers(index[first : first + EVAL_BATCH])]


class Computed:
    """Features through the backbone for every batch: endless augmentation, weights of the run's own, or no reuse."""

    def __init__(
        self,
        start: StartingPoint,
        fits: Sequence[tuple[TrialConfig, int]],
        device: torch.device,
        *,
        threads: int,
        network: Network | None = None,
    ) -> None:
        # members share a backbone unless each draws its own
        self.shared = start.state is not None
        pixels = DeviceImages(start.images, device)
        self._inputs = [
            ThroughPrefix(start, trial, (network or start.network(trial, seed, device)).eval(), pixels, threads=threads)
            for trial, seed in (fits[:1] if self.shared else fits)
        ]

    def _of(self, member: int) -> ThroughPrefix:
        return self._inputs[0 if self.shared else member]

    def train(self, runs: Sequence[Run]) -> Iterator[Step]:
        """See `HeadInputs`."""
        # a padded member comes twice; its images pass through the backbone once
        distinct = list(dict.fromkeys(runs))
        place = [distinct.index(run) for run in runs]
        for batches in zip(*(self._of(m).train(seed, epoch) for m, seed, epoch in distinct), strict=True):
            yield Step(
                torch.stack([batches[p].inputs_B for p in place]),
                torch.stack([batches[p].targets_BK for p in place]),
                np.stack([batches[p].samples_B for p in place]),
            )

    def evaluate(self, member: int, split: str) -> Iterator[Tensor]:
        """See `HeadInputs`."""
        for features_BF, _ in self._of(member).evaluate(split):
            yield features_BF
