"""One network in two phases: its head alone on the backbone as it was loaded, then all that its trial trains.

Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution".

The first phase is the trial that `freezing.head_phase` says, to the last bit. The second begins with the head of its
last epoch, not of its best, so that no score steers what is trained; the selected epoch may be one of either phase.

Axes: K classes, M members (one), N images of a split.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.device import head_threads
from resnet_tl.features.store import Stored
from resnet_tl.freezing import head_phase
from resnet_tl.identity import Environment
from resnet_tl.model.runtime import computing
from resnet_tl.model.starting_point import StartingPoint
from resnet_tl.training.heads_learner import HeadsLearner
from resnet_tl.training.loop import EpochScores, State
from resnet_tl.training.member import Member
from resnet_tl.training.network_learner import NetworkLearner


class PhasedLearner:
    """See `loop.Learner`. One phase is in memory at a time.

    Args:
        member: the only one, number 0, with `head_epochs`.
        features: stored outputs of the frozen prefix; None computes them as they are needed.
        head_features: the same of the whole backbone, for the first phase.
    """

    def __init__(
        self,
        member: Member,
        start: StartingPoint,
        *,
        environment: Environment,
        device: torch.device,
        features: Stored | None,
        head_features: Stored | None,
    ) -> None:
        self._member, self._start, self._environment, self._device = member, start, environment, device
        self._features, self._head_features = features, head_features
        self._phase: HeadsLearner | NetworkLearner = self._first()
        self._kept_head: dict[str, Tensor] = {}
        """In the second phase the selected head, while it is one of the first."""

    def _first(self) -> HeadsLearner:
        trial = head_phase(self._member.trial)
        assert trial is not None
        with self._threads_of_heads():
            return HeadsLearner(
                [replace(self._member, trial=trial)],
                self._start,
                environment=self._environment,
                device=self._device,
                features=self._head_features,
            )

    def _second(self) -> NetworkLearner:
        return NetworkLearner(
            self._member, self._start, environment=self._environment, device=self._device, features=self._features
        )

    def _threads_of_heads(self) -> contextlib.AbstractContextManager[None]:
        threads = head_threads(self._environment.device, self._environment.threads)
        return computing(device=str(self._device), threads=threads)

    def _own_threads(self) -> contextlib.AbstractContextManager[None]:
        return self._threads_of_heads() if isinstance(self._phase, HeadsLearner) else contextlib.nullcontext()

    # -- training and scoring -----------------------------------------------------------------------------------------

    def train_epoch(self, epochs: Mapping[int, int]) -> EpochScores:
        """See `Learner`."""
        (epoch,) = epochs.values()
        if epoch > self._member.trial.head_epochs and isinstance(self._phase, HeadsLearner):
            head, self._kept_head = self._phase.trained(0), self._phase.kept(0)
            del self._phase  # what it holds of the images goes before the network comes
            self._phase = self._second()
            self._phase.put_head(head)
        with self._own_threads():
            return self._phase.train_epoch(epochs)

    def logits(self, split: str, members: Sequence[int]) -> NDArray[np.float64]:
        """See `Learner`."""
        with self._own_threads():
            return self._phase.logits(split, members)

    # -- remembering --------------------------------------------------------------------------------------------------

    def keep(self, members: Sequence[int]) -> None:
        """See `Learner`."""
        self._phase.keep(members)
        self._kept_head = {}

    def select(self, members: Sequence[int]) -> None:
        """See `Learner`."""
        if self._kept_head:  # it is scored in the way that selected it
            del self._phase
            self._phase = self._first()
            self._phase.remember(0, self._kept_head)
        with self._own_threads():
            self._phase.select(members)

    def tensors(self, member: int, *, whole: bool) -> dict[str, Tensor]:
        """See `Learner`."""
        if isinstance(self._phase, NetworkLearner):
            return self._phase.tensors(member, whole=whole)
        # whoever reads it looks for all that the trial trains, though none of it but the head has moved by then
        network = self._start.network(self._member.trial, self._member.seed, torch.device("cpu"))
        network.head.load_state_dict(self._phase.kept(member))
        return dict(network.state_dict()) if whole else dict(network.moving())

    def state(self, member: int) -> State:
        """See `Learner`."""
        return {
            "is_first": isinstance(self._phase, HeadsLearner),
            "phase": self._phase.state(member),
            "kept_head": self._kept_head,
        }

    def load(self, member: int, state: State) -> None:
        """See `Learner`."""
        if not state["is_first"]:
            del self._phase
            self._phase = self._second()
        self._kept_head = state["kept_head"]
        self._phase.load(member, state["phase"])
