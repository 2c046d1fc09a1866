"""Networks that differ in their heads alone, on features that do not change: many heads side by side, or a single one.

Members may differ in their seeds and in what `member.PER_MEMBER` names. Each gets the bits that it would have alone.

Axes: B images of a batch, F features, H hidden units, K classes, M members, N images of a split, S steps of an epoch.
"""

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.architecture import BACKBONES
from resnet_tl.config import TrialConfig
from resnet_tl.data.batches import cut_batches, epoch_order
from resnet_tl.features.head_inputs import Computed, HeadInputs, Table
from resnet_tl.features.inputs import Features
from resnet_tl.features.store import Stored
from resnet_tl.head_spec import spec_of
from resnet_tl.identity import Environment
from resnet_tl.model.head_module import Head, class_logits, init_head
from resnet_tl.model.network import Network
from resnet_tl.model.starting_point import StartingPoint
from resnet_tl.seeding import derive, uniforms_BW
from resnet_tl.training.head_kernel import Heads, Optimizer, padded
from resnet_tl.training.loop import EpochScores, State
from resnet_tl.training.member import Member, head_group
from resnet_tl.training.objective import lr_factor


class HeadsLearner:
    """See `loop.Learner`.

    On a CPU it must run with one thread: only then are batched products the same bits in any company.

    Args:
        members: alike in `member.head_group`.
        features: stored outputs of the backbone; None computes them for each batch.
        network: whose backbone computes features that are not stored; None builds one.
        inputs: what they are fed in place of either.
    """

    def __init__(
        self,
        members: Sequence[Member],
        start: StartingPoint,
        *,
        environment: Environment,
        device: torch.device,
        features: Stored | None,
        network: Network | None = None,
        inputs: HeadInputs | None = None,
    ) -> None:
        assert len({head_group(member.trial) for member in members}) == 1
        self._members, self._start, self._device = list(members), start, device
        self._trial = members[0].trial
        self._inputs: HeadInputs
        if inputs is not None:
            self._inputs = inputs
        elif features is None:
            fits = [(member.trial, member.seed) for member in members]
            self._inputs = Computed(start, fits, device, threads=environment.threads, network=network)
        else:
            self._inputs = Table(start, self._trial, Features(features, start.images), device)
        order = epoch_order(start.images, balanced=start.data.balanced, seed=0, epoch=1)
        self._sizes = [len(batch) for batch in cut_batches(order, self._trial.batch_size)]  # of every seed and epoch
        self._fresh = [self._head(member) for member in members]
        self._kept: list[dict[str, Tensor]] = [{} for _ in members]
        weights_K = start.class_weights_K()
        self._class_weights_K = None if weights_K is None else weights_K.to(device)
        self._stack(range(len(members)))

    def _head(self, member: Member) -> Head:
        trial = member.trial
        head = Head(spec_of(trial), BACKBONES[trial.backbone].num_features, self._start.num_outputs)
        init_head(head, member.seed)
        return head

    def _stack(self, members: Sequence[int]) -> None:
        """Puts members side by side, as they begin; a single one twice."""
        self._stacked = padded(members)
        self.heads = Heads(
            [self._fresh[n] for n in self._stacked], bf16=self._trial.precision == "bf16", device=self._device
        )
        trials = [self._members[n].trial for n in self._stacked]
        self._optimizer = Optimizer(
            self._trial.optimizer,
            self.heads.parameters,
            momentum_M=[trial.momentum for trial in trials],
            weight_decay_M=[trial.weight_decay for trial in trials],
        )

    def _let_go(self, left: Sequence[int]) -> None:
        """Takes out all members but those named."""
        if padded(left) != self._stacked:
            places = torch.tensor([self._stacked.index(n) for n in padded(left)], device=self._device)
            self.heads.keep(places)
            self._optimizer.keep(places)
            self._stacked = padded(left)

    # -- training -----------------------------------------------------------------------------------------------------

    def train_epoch(self, epochs: Mapping[int, int]) -> EpochScores:
        """See `Learner`."""
        return self.train_steps(epochs, None)

    def train_steps(self, epochs: Mapping[int, int], most: int | None) -> EpochScores:
        """The first steps of an epoch; None is all of them."""
        self._let_go(list(epochs))
        trials = [self._members[n].trial for n in self._stacked]
        seeds = [self._members[n].seed for n in self._stacked]
        numbers = [epochs[n] for n in self._stacked]
        factors_SM = _lr_factors(trials, numbers, len(self._sizes))
        lr_SM = factors_SM * np.array([trial.lr for trial in trials])
        like = self.heads.parameters["out.bias"]
        smoothing_M11 = torch.tensor([t.label_smoothing for t in trials], dtype=like.dtype, device=self._device)
        smoothing_M11 = smoothing_M11.view(-1, 1, 1)
        smooth = bool(smoothing_M11.any())
        losses: list[Tensor] = []
        hits_M = torch.zeros(len(trials), dtype=torch.int64, device=self._device)
        steps = islice(self._inputs.train(list(zip(self._stacked, seeds, numbers, strict=True))), most)
        for s, step in enumerate(steps):
            targets_MBK = step.targets_MBK.to(like.dtype)
            features_MBF = step.features_MBF if self.heads.bf16 else step.features_MBF.to(like.dtype)
            smooth_MBK = targets_MBK
            if smooth:
                smooth_MBK = targets_MBK * (1 - smoothing_M11) + smoothing_M11 / targets_MBK.shape[-1]
            share_MB1, weight_MB = self._shares(targets_MBK)
            gradients, loss_MB, logits_MBK = self.heads.gradients(
                features_MBF, smooth_MBK, share_MB1, self._dropout_factors(step.samples_MB, seeds, numbers, trials)
            )
            self._optimizer.step(self.heads.parameters, gradients, lr_SM[s])
            losses.append(loss_MB if weight_MB is None else loss_MB * weight_MB)
            hits_M += (logits_MBK.argmax(-1) == targets_MBK.argmax(-1)).sum(-1)
        # sums over one member's own batch, in float64
        means = [np.ascontiguousarray(batch_MB.double().cpu().numpy()) for batch_MB in losses]
        weighted = self._class_weights_K is not None
        count = len(epochs)  # the second copy of a single member says nothing new
        return EpochScores(
            losses_SM=np.stack([batch_MB.sum(-1) if weighted else batch_MB.mean(-1) for batch_MB in means])[:, :count],
            sizes_S=np.array(self._sizes[:most]),
            accuracies_M=hits_M.double().cpu().numpy()[:count] / sum(self._sizes),
            lr_factors_M=factors_SM[-1, :count],
        )

    def _shares(self, targets_MBK: Tensor) -> tuple[Tensor, Tensor | None]:
        """What each image weighs in its batch's loss; with class weights also as [M, B]."""
        if self._class_weights_K is None:
            return targets_MBK.new_full((1, 1, 1), 1 / targets_MBK.shape[1]), None
        weight_MB = (targets_MBK * self._class_weights_K).sum(-1)
        total_M1 = np.ascontiguousarray(weight_MB.double().cpu().numpy()).sum(-1, keepdims=True)
        share_MB = weight_MB / torch.from_numpy(total_M1).to(weight_MB)
        return share_MB.unsqueeze(-1), share_MB

    def _dropout_factors(
        self,
        samples_MB: NDArray[np.int64],
        seeds: Sequence[int],
        epochs: Sequence[int],
        trials: Sequence[TrialConfig],
    ) -> Tensor | None:
        """Factors of the hidden units [M, B, H] under dropout, drawn for each seed, epoch and sample."""
        specs = [spec_of(trial) for trial in trials]
        width = specs[0].width
        if width is None or not any(spec.dropout for spec in specs):
            return None
        drawn: dict[tuple[int, int], NDArray[np.float64]] = {}
        factors = []
        for samples_B, seed, epoch, spec in zip(samples_MB, seeds, epochs, specs, strict=True):
            if (seed, epoch) not in drawn:
                drawn[seed, epoch] = uniforms_BW(derive(seed, "dropout", epoch), samples_B, width)
            factors.append((drawn[seed, epoch] >= spec.dropout) / (1 - spec.dropout))
        like = self.heads.parameters["out.bias"]
        return torch.from_numpy(np.stack(factors)).to(like.dtype).to(self._device)

    # -- scoring ------------------------------------------------------------------------------------------------------

    def logits(self, split: str, members: Sequence[int]) -> NDArray[np.float64]:
        """See `Learner`."""
        first = self._stacked.index(members[0])
        assert self._stacked[first : first + len(members)] == list(members)
        # never one member by itself: see `head_kernel`
        count = max(len(members), 2)
        begin = min(first, len(self._stacked) - count)
        places = range(begin, begin + count)
        like = self.heads.parameters["out.bias"]
        heads = self.heads.part(places)
        if self._inputs.shared:
            batches = (b_BF.expand(count, -1, -1) for b_BF in self._inputs.evaluate(0, split))
        else:
            of_each = (self._inputs.evaluate(self._stacked[place], split) for place in places)
            batches = (torch.stack(b) for b in zip(*of_each, strict=True))
        parts = []
        for features_MBF in batches:
            features_MBF = features_MBF if self.heads.bf16 else features_MBF.to(like.dtype)
            parts.append(class_logits(heads.logits(features_MBF))[first - begin :][: len(members)])
        logits_MNK: NDArray[np.float64] = torch.cat(parts, 1).double().cpu().numpy()
        return logits_MNK

    # -- remembering --------------------------------------------------------------------------------------------------

    def keep(self, members: Sequence[int]) -> None:
        """See `Learner`."""
        for n in members:
            self._kept[n] = self.trained(n)

    def trained(self, member: int) -> dict[str, Tensor]:
        """A copy of a head as it is now."""
        tensors = self.heads.of_member(self._stacked.index(member), self._fresh[member])
        return {name: tensor.clone() for name, tensor in tensors.items()}

    def kept(self, member: int) -> dict[str, Tensor]:
        """The head that is remembered."""
        return self._kept[member]

    def remember(self, member: int, head: dict[str, Tensor]) -> None:
        """Remembers a head that was kept elsewhere."""
        self._kept[member] = head

    def select(self, members: Sequence[int]) -> None:
        """See `Learner`."""
        self._stack(members)
        for place, n in enumerate(self._stacked):
            self.heads.set_member(place, self._kept[n])

    def tensors(self, member: int, *, whole: bool) -> dict[str, Tensor]:
        """See `Learner`."""
        tensors = {f"head.{name}": tensor for name, tensor in self._kept[member].items()}
        if whole:  # the backbone was drawn from the seed, and nothing else can name it
            fit = self._members[member]
            backbone = self._start.network(fit.trial, fit.seed, torch.device("cpu")).backbone
            tensors |= {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
        return tensors

    def state(self, member: int) -> State:
        """See `Learner`."""
        place = self._stacked.index(member)
        return {
            "tensors": {name: t[place].clone() for name, t in self.heads.tensors().items()},
            "optimizer": {name: t[place].clone() for name, t in self._optimizer.state.items()},
            "steps": float(self._optimizer.steps_M[place]),
            "kept": self._kept[member],
        }

    def load(self, member: int, state: State) -> None:
        """See `Learner`."""
        for place in (place for place, n in enumerate(self._stacked) if n == member):
            for name, tensor in self.heads.tensors().items():
                tensor[place] = state["tensors"][name]
            for name, tensor in self._optimizer.state.items():
                tensor[place] = state["optimizer"][name]
            self._optimizer.steps_M[place] = state["steps"]
        self._kept[member] = state["kept"]


def _lr_factors(trials: Sequence[TrialConfig], epochs: Sequence[int], num_steps: int) -> NDArray[np.float64]:
    """Learning rates as fractions of `lr`, [S, M]; members with the same schedule share the work."""
    known: dict[tuple[str, int, int, int], list[float]] = {}
    columns = []
    for trial, epoch in zip(trials, epochs, strict=True):
        key = (trial.schedule, trial.warmup_epochs, trial.epochs, epoch)
        if key not in known:
            known[key] = [
                lr_factor(trial, epoch=epoch, step=step, steps_per_epoch=num_steps) for step in range(num_steps)
            ]
        columns.append(known[key])
    return np.array(columns).T
