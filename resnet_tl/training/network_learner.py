"""One network: its trained part, its optimiser, and what both are fed.

Axes: B images of a batch, H hidden units, K classes, M members (one), N images of a split, S steps of an epoch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.data.batches import Batch, DeviceImages, cut_batches, epoch_order
from resnet_tl.device import autocast
from resnet_tl.features.inputs import Features, FromStore, Inputs, ThroughPrefix
from resnet_tl.features.store import Stored
from resnet_tl.heartbeat import beat
from resnet_tl.identity import Environment
from resnet_tl.model.head_module import class_logits
from resnet_tl.model.starting_point import StartingPoint
from resnet_tl.seeding import derive, uniforms_BW
from resnet_tl.training.loop import EpochScores, State
from resnet_tl.training.member import Member
from resnet_tl.training.objective import loss_of, lr_factor, optimizer_for, set_lr

CHECK_EVERY = 25
"""Steps between looks at the losses; each look makes a GPU wait."""


class NetworkLearner:
    """See `loop.Learner`.

    Args:
        member: the only one, number 0.
        features: stored outputs of the frozen prefix; None computes them as they are needed.
    """

    def __init__(
        self,
        member: Member,
        start: StartingPoint,
        *,
        environment: Environment,
        device: torch.device,
        features: Stored | None,
    ) -> None:
        self._trial, self._seed, self._start, self._device = member.trial, member.seed, start, device
        self.network = start.network(member.trial, member.seed, device)
        self.inputs: Inputs
        if features is None:
            pixels = DeviceImages(start.images, device)
            self.inputs = ThroughPrefix(start, member.trial, self.network, pixels, threads=environment.threads)
        else:
            assert features.prefix.cut == self.network.cut
            self.inputs = FromStore(Features(features, start.images), start, member.trial, device)
        self.optimizer = optimizer_for(self.network, member.trial)
        weights_K = start.class_weights_K()
        self._class_weights_K = None if weights_K is None else weights_K.to(device)
        self._kept: dict[str, Tensor] = {}

    # -- training -----------------------------------------------------------------------------------------------------

    def train_epoch(self, epochs: Mapping[int, int]) -> EpochScores:
        """See `Learner`."""
        (epoch,) = epochs.values()
        trial = self._trial
        self.network.train()
        order = epoch_order(self._start.images, balanced=self._start.data.balanced, seed=self._seed, epoch=epoch)
        num_steps = len(cut_batches(order, trial.batch_size))
        losses: list[Tensor] = []
        sizes: list[int] = []
        hits = torch.zeros((), dtype=torch.int64, device=self._device)
        factor = 1.0
        for step, batch in enumerate(self.inputs.train(self._seed, epoch)):
            factor = lr_factor(trial, epoch=epoch - trial.head_epochs, step=step, steps_per_epoch=num_steps)
            set_lr(self.optimizer, trial, factor)
            loss, outputs = self.step(batch, epoch)
            beat((step + 1) / num_steps)
            losses.append(loss)
            sizes.append(len(batch.samples_B))
            hits += (class_logits(outputs).argmax(1) == batch.targets_BK.argmax(1)).sum()
            if (step + 1) % CHECK_EVERY == 0 and not bool(torch.stack(losses[-CHECK_EVERY:]).isfinite().all()):
                break  # the loop takes it from here
        return EpochScores(
            losses_SM=torch.stack(losses).double().cpu().numpy()[:, None],
            sizes_S=np.array(sizes),
            accuracies_M=np.array([float(hits) / sum(sizes)]),
            lr_factors_M=np.array([factor]),
        )

    def step(self, batch: Batch, epoch: int) -> tuple[Tensor, Tensor]:
        """One step of the optimiser; returns the loss and the outputs [B, O]."""
        keep_BH = None
        head = self.network.head.spec
        if head.dropout:
            assert head.width is not None
            draws = uniforms_BW(derive(self._seed, "dropout", epoch), batch.samples_B, head.width)
            keep_BH = torch.from_numpy((draws >= head.dropout).astype(np.float32)).to(self._device)
        self.network.zero_grad(set_to_none=True)
        with autocast(self._device, self._trial.precision):
            outputs = self.network.tail(batch.inputs_B, keep_BH)
        loss = loss_of(
            outputs,
            batch.targets_BK,
            label_smoothing=self._trial.label_smoothing,
            class_weights_K=self._class_weights_K,
        )
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach(), outputs.detach()

    # -- scoring ------------------------------------------------------------------------------------------------------

    def logits(self, split: str, members: Sequence[int]) -> NDArray[np.float64]:
        """See `Learner`."""
        self.network.eval()
        with torch.inference_mode(), autocast(self._device, self._trial.precision):
            parts = [class_logits(self.network.tail(x_B)).float() for x_B, _ in self.inputs.evaluate(split)]
        logits_NK: NDArray[np.float64] = torch.cat(parts).double().cpu().numpy()
        return logits_NK[None]

    # -- remembering --------------------------------------------------------------------------------------------------

    def put_head(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts a head that was trained before in place of the new one."""
        self.network.head.load_state_dict(tensors)

    def keep(self, members: Sequence[int]) -> None:
        """See `Learner`."""
        self._kept = {name: tensor.detach().clone() for name, tensor in self.network.moving()}

    def select(self, members: Sequence[int]) -> None:
        """See `Learner`."""
        self._put(self._kept)

    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self.network.moving():
                tensor.copy_(tensors[name])

    def tensors(self, member: int, *, whole: bool) -> dict[str, Tensor]:
        """See `Learner`."""
        return dict(self.network.state_dict()) if whole else dict(self.network.moving())

    def state(self, member: int) -> State:
        """See `Learner`."""
        return {
            "moving": {name: tensor.detach() for name, tensor in self.network.moving()},
            "optimizer": self.optimizer.state_dict(),
            "kept": self._kept,
        }

    def load(self, member: int, state: State) -> None:
        """See `Learner`."""
        self._put(state["moving"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._kept = state["kept"]
