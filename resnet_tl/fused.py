"""Fits that train a head alone: one, or many side by side on the same features, each as if it were alone.

Members may differ in their seeds and in what `front.PER_MEMBER` names. One that diverges or stops early leaves the
others as they are.

Axes: B images of a batch, F features, H hidden units, K classes, M members, N images of a split.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl import checkpoint
from resnet_tl.config import TrialConfig
from resnet_tl.course import Course, Member
from resnet_tl.data.batches import cut_batches, epoch_order
from resnet_tl.data.prepare import Prepared
from resnet_tl.features import Features
from resnet_tl.fingerprint import Environment
from resnet_tl.fit import SAVE_EVERY_S, identity, load_state
from resnet_tl.front import SCORED_AT_ONCE, head_group, num_trained
from resnet_tl.head_inputs import Computed, HeadInputs, Table
from resnet_tl.heads import Heads, Optimizer, padded
from resnet_tl.metrics import evaluate_many
from resnet_tl.model.architecture import BACKBONES
from resnet_tl.model.network import Head, Network, init_head
from resnet_tl.result import Epoch, FitResult
from resnet_tl.seeding import derive, uniforms_BW
from resnet_tl.start import Start, prepare_torch, start
from resnet_tl.store import Stored
from resnet_tl.training import class_logits, lr_factor

OnEpochs = Callable[[int, Epoch], None]
"""Told the number of a member and its new epoch."""


def fit_heads(
    members: Sequence[Member],
    data: Prepared,
    *,
    environment: Environment,
    device: str | None = None,
    features: Stored | None = None,
    begun: Start | None = None,
    on_epoch: OnEpochs | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> list[FitResult]:
    """Trains heads, each of whose results has the bits that it would have alone.

    Args:
        members: alike in `front.head_group`.
        features: stored outputs of the backbone; None computes them for each batch.
        begun: images and weights, where they are loaded already.
        on_epoch: called after every epoch of every member, restored ones included.

    Returns:
        One result for each member; its `wall_s` is its share of the time.

    Raises:
        WeightsError: the starting weights cannot be had.
    """
    begun = begun or start(members[0].trial, data)
    return _group(members, begun, environment, device, features, on_epoch or _ignore, save_every_s).run()


def few_steps(
    members: Sequence[Member],
    begun: Start,
    *,
    environment: Environment,
    device: str,
    features: Stored | None,
    steps: int,
    network: Network | None = None,
) -> dict[str, Tensor]:
    """What the first member's head is after some steps of its first epoch.

    Args:
        network: whose backbone computes features that are not stored; None builds one.
    """
    alike = [Member(trial=m.trial, seed=m.seed) for m in members]
    group = _group(alike, begun, environment, device, features, _ignore, 0.0, network)
    group.train([1] * len(group.active), most=steps)
    return {name: tensor[0] for name, tensor in group.heads.tensors().items()}


def _group(
    members: Sequence[Member],
    begun: Start,
    environment: Environment,
    device: str | None,
    features: Stored | None,
    on_epoch: OnEpochs,
    save_every_s: float,
    network: Network | None = None,
) -> "_Group":
    assert len({head_group(member.trial) for member in members}) == 1
    prepare_torch(environment)
    if environment.device == "cpu":
        torch.set_num_threads(1)  # batched products are the same bits in any company with one thread only
    where = torch.device(device or environment.device)
    source: HeadInputs
    if features is None:
        fits = [(member.trial, member.seed) for member in members]
        source = Computed(begun, fits, where, threads=environment.threads, network=network)
    else:
        source = Table(begun, members[0].trial, Features(features, begun.images), where)
    return _Group(members, begun, source, environment, where, on_epoch, save_every_s)


def _ignore(_: int, __: Epoch) -> None:
    pass


class _Group:
    def __init__(
        self,
        members: Sequence[Member],
        begun: Start,
        source: HeadInputs,
        environment: Environment,
        device: torch.device,
        on_epoch: OnEpochs,
        save_every_s: float,
    ) -> None:
        self.members, self.start, self.source = list(members), begun, source
        self.environment, self.device, self.on_epoch, self.save_every_s = environment, device, on_epoch, save_every_s
        self.trial = members[0].trial
        self.labels = {split: begun.images.labels_N[index] for split, index in begun.images.splits.items()}
        order = epoch_order(begun.images, balanced=begun.data.balanced, seed=0, epoch=1)
        self.sizes = [len(batch) for batch in cut_batches(order, self.trial.batch_size)]  # of every seed and epoch
        self.fresh = [self._head(member) for member in members]
        self.courses = [Course(trial=member.trial) for member in members]
        self.best: list[dict[str, Tensor]] = [{} for _ in members]
        self.wall_s = [0.0 for _ in members]
        self.reasons: dict[int, str] = {}
        weights_K = begun.class_weights_K()
        self.class_weights_K = None if weights_K is None else weights_K.to(device)
        self._stack(padded(range(len(members))))
        for number in range(len(members)):
            self._restore(number)

    def _head(self, member: Member) -> Head:
        trial = member.trial
        features = BACKBONES[trial.backbone].num_features
        head = Head(trial.head, features, trial.head_width, self.start.num_outputs, trial.dropout)
        init_head(head, member.seed)
        return head

    def _stack(self, active: list[int]) -> None:
        """Puts the members to compute side by side; a single one twice."""
        self.active = active
        self.heads = Heads([self.fresh[n] for n in active], bf16=self.trial.precision == "bf16", device=self.device)
        trials = [self.members[n].trial for n in active]
        self.optimizer = Optimizer(
            self.trial.optimizer,
            self.heads.parameters,
            momentum_M=[trial.momentum for trial in trials],
            weight_decay_M=[trial.weight_decay for trial in trials],
        )

    # -- the course of a group ----------------------------------------------------------------------------------------

    def run(self) -> list[FitResult]:
        """Trains until every member has finished or diverged."""
        for number, course in enumerate(self.courses):
            for epoch in course.history:
                self.on_epoch(number, epoch)
        saved = time.perf_counter()
        self._leave()
        while self.active:
            self._epoch()
            self._leave()
            if self.active and time.perf_counter() - saved >= self.save_every_s:
                self._save()
                saved = time.perf_counter()
        return self._results()

    def _leave(self) -> None:
        """Takes out members that are done."""
        left = [n for n in dict.fromkeys(self.active) if n not in self.reasons and not self.courses[n].finished()]
        if left and padded(left) != self.active:
            places = torch.tensor([self.active.index(n) for n in padded(left)], device=self.device)
            self.heads.keep(places)
            self.optimizer.keep(places)
        self.active = padded(left) if left else []

    def _epoch(self) -> None:
        started = time.perf_counter()
        active = self.active
        numbers = [self.courses[n].next_epoch for n in active]
        losses, accuracies, factors = self.train(numbers)
        in_val, scores, *_ = self._scores("val")
        weights = np.array(self.sizes) / sum(self.sizes)
        spent = (time.perf_counter() - started) / len(set(active))
        for place, n in enumerate(active):
            if place != active.index(n):
                continue  # the second copy of a single member
            self.wall_s[n] += spent
            wrong = np.flatnonzero(~np.isfinite(losses[:, place]))
            if len(wrong):
                step = int(wrong[0])
                self.reasons[n] = (
                    f"the training loss became {float(losses[step, place])} in epoch {numbers[place]}, step {step + 1}"
                )
                continue
            if not in_val[place]:
                self.reasons[n] = (
                    f"the network's output on val became non-finite in epoch {numbers[place]}, after its last step"
                )
                continue
            metrics = {
                "train/loss": float((np.ascontiguousarray(losses[:, place]) * weights).sum()),
                "train/accuracy": float(accuracies[place]),
            } | {f"val/{name}": float(values[place]) for name, values in scores.items()}
            lr = self.members[n].trial.lr * float(factors[place])
            epoch = Epoch(epoch=numbers[place], lr=lr, metrics=metrics, wall_s=spent)
            if self.courses[n].add(epoch):
                self.best[n] = {k: t.clone() for k, t in self.heads.of_member(place, self.fresh[n]).items()}
            self.on_epoch(n, epoch)

    def train(
        self, numbers: Sequence[int], most: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], list[float]]:
        """One epoch of the active members, or its first steps.

        Returns:
            Mean losses [steps, M], accuracies [M], the last step's factors of `lr`.
        """
        active = self.active
        trials = [self.members[n].trial for n in active]
        seeds = [self.members[n].seed for n in active]
        factors_SM = _factors(trials, numbers, len(self.sizes))
        lr_SM = factors_SM * np.array([trial.lr for trial in trials])
        like = self.heads.parameters["out.bias"]
        smoothing_M11 = torch.tensor([t.label_smoothing for t in trials], dtype=like.dtype, device=self.device)
        smoothing_M11 = smoothing_M11.view(-1, 1, 1)
        smooth = bool(smoothing_M11.any())
        losses: list[Tensor] = []
        hits_M = torch.zeros(len(active), dtype=torch.int64, device=self.device)
        steps = islice(self.source.train(list(zip(active, seeds, numbers, strict=True))), most)
        for s, step in enumerate(steps):
            targets_MBK = step.targets_MBK.to(like.dtype)
            features_MBF = step.features_MBF if self.heads.bf16 else step.features_MBF.to(like.dtype)
            smooth_MBK = targets_MBK
            if smooth:
                smooth_MBK = targets_MBK * (1 - smoothing_M11) + smoothing_M11 / targets_MBK.shape[-1]
            share_MB1, weight_MB = self._shares(targets_MBK)
            gradients, loss_MB, logits_MBK = self.heads.gradients(
                features_MBF, smooth_MBK, share_MB1, self._keep(step.samples_MB, seeds, numbers, trials)
            )
            self.optimizer.step(self.heads.parameters, gradients, lr_SM[s])
            losses.append(loss_MB if weight_MB is None else loss_MB * weight_MB)
            hits_M += (logits_MBK.argmax(-1) == targets_MBK.argmax(-1)).sum(-1)
        # sums over one member's own batch, in float64
        means = [batch_MB.double().cpu().numpy() for batch_MB in losses]
        if self.class_weights_K is None:
            losses_SM = np.stack([np.ascontiguousarray(batch).mean(-1) for batch in means])
        else:
            losses_SM = np.stack([np.ascontiguousarray(batch).sum(-1) for batch in means])
        return losses_SM, hits_M.double().cpu().numpy() / sum(self.sizes), list(factors_SM[-1])

    def _shares(self, targets_MBK: Tensor) -> tuple[Tensor, Tensor | None]:
        """What each image weighs in its batch's loss; with class weights also as [M, B]."""
        if self.class_weights_K is None:
            return targets_MBK.new_full((1, 1, 1), 1 / targets_MBK.shape[1]), None
        weight_MB = (targets_MBK * self.class_weights_K).sum(-1)
        total_M1 = np.ascontiguousarray(weight_MB.double().cpu().numpy()).sum(-1, keepdims=True)
        share_MB = weight_MB / torch.from_numpy(total_M1).to(weight_MB)
        return share_MB.unsqueeze(-1), share_MB

    def _keep(
        self,
        samples_MB: NDArray[np.int64],
        seeds: Sequence[int],
        numbers: Sequence[int],
        trials: Sequence[TrialConfig],
    ) -> Tensor | None:
        """Factors of the hidden units [M, B, H] under dropout, drawn for each seed, epoch and sample."""
        if self.heads.kind != "mlp_leaky_dropout":
            return None
        drawn: dict[tuple[int, int], NDArray[np.float64]] = {}
        factors = []
        for samples_B, seed, epoch, trial in zip(samples_MB, seeds, numbers, trials, strict=True):
            if (seed, epoch) not in drawn:
                drawn[seed, epoch] = uniforms_BW(derive(seed, "dropout", epoch), samples_B, trial.head_width)
            factors.append((drawn[seed, epoch] >= trial.dropout) / (1 - trial.dropout))
        like = self.heads.parameters["out.bias"]
        return torch.from_numpy(np.stack(factors)).to(like.dtype).to(self.device)

    def _scores(
        self, split: str
    ) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]], NDArray[np.int64], NDArray[np.float64]]:
        """Whether each member's outputs are finite [M], its metrics, each [M], and what else `evaluate_many` gives.

        In slices of the members, since their outputs on a whole split may not fit into memory together.
        """
        labels_N = self.labels[split]
        size = SCORED_AT_ONCE // (len(labels_N) * len(self.start.data.classes))
        size = min(max(size, 2), len(self.active))
        starts = list(range(0, len(self.active), size))
        if len(self.active) - starts[-1] == 1 and len(starts) > 1:
            starts[-1] -= 1  # never one member by itself; the one before is scored twice
        sound, metrics, counts, bins = [], [], [], []
        done = 0
        for first in starts:
            logits_MNK = self._logits(split, range(first, min(first + size, len(self.active))))[done - first :]
            done = first + size
            finite_M = np.array([bool(np.isfinite(logits_NK).all()) for logits_NK in logits_MNK])
            sound.append(finite_M)
            values, counts_MKK, bins_MR3 = evaluate_many(np.where(finite_M[:, None, None], logits_MNK, 0.0), labels_N)
            metrics.append(values)
            counts.append(counts_MKK)
            bins.append(bins_MR3)
        joined = {name: np.concatenate([values[name] for values in metrics]) for name in metrics[0]}
        return np.concatenate(sound), joined, np.concatenate(counts), np.concatenate(bins)

    def _logits(self, split: str, places: range) -> NDArray[np.float64]:
        """Class logits [M, N, K] of some of the stacked heads."""
        parts = []
        batches: Iterator[list[Tensor]]
        if self.source.shared:
            batches = ([features_BF] * len(places) for features_BF in self.source.evaluate(0, split))
        else:
            batches = map(list, zip(*(self.source.evaluate(self.active[p], split) for p in places), strict=True))
        like = self.heads.parameters["out.bias"]
        heads = self.heads.part(places)
        for features in batches:
            stacked_MBF = features[0].expand(len(places), -1, -1) if self.source.shared else torch.stack(features)
            stacked_MBF = stacked_MBF if self.heads.bf16 else stacked_MBF.to(like.dtype)
            parts.append(class_logits(heads.logits(stacked_MBF)))
        return torch.cat(parts, 1).double().cpu().numpy()

    # -- the end ------------------------------------------------------------------------------------------------------

    def _results(self) -> list[FitResult]:
        started = time.perf_counter()
        whole = [n for n in range(len(self.members)) if n not in self.reasons]
        scores: dict[int, dict[str, float]] = {n: {} for n in whole}
        confusions: dict[int, dict[str, list[list[int]]]] = {n: {} for n in whole}
        reliabilities: dict[int, list[list[float]]] = {}
        if whole:
            self._stack(padded(whole))
            for place, n in enumerate(self.active):
                self.heads.set_member(place, self.best[n])
            for split in ("val", "test"):
                sound, values, counts, bins = self._scores(split)
                for place, n in enumerate(self.active):
                    scores[n] |= {f"{split}/{name}": float(value[place]) for name, value in values.items()}
                    confusions[n][split] = counts[place].tolist()
                    reliabilities[n] = bins[place].tolist()  # of test, which comes last
                    if not sound[place]:
                        self.reasons[n] = (
                            f"the network's output on {split} became non-finite in epoch {self.courses[n].best_epoch}"
                        )
        spent = (time.perf_counter() - started) / len(self.members)
        results = []
        for n, member in enumerate(self.members):
            complete = n not in self.reasons
            if complete and member.folder is not None:
                self._save_network(n, scores[n])
            results.append(
                FitResult(
                    state="complete" if complete else "diverged",
                    seed=member.seed,
                    max_epoch=member.trial.epochs,
                    best_epoch=self.courses[n].best_epoch if complete else None,
                    metrics=scores[n] if complete else {},
                    confusion=confusions[n] if complete else {},
                    reliability=reliabilities[n] if complete else [],
                    history=self.courses[n].history,
                    num_trainable=num_trained(member.trial, self.start.data),
                    wall_s=self.wall_s[n] + spent,
                    reason=self.reasons.get(n),
                )
            )
        return results

    def _save_network(self, n: int, metrics: dict[str, float]) -> None:
        member, best_epoch = self.members[n], self.courses[n].best_epoch
        assert member.folder is not None
        assert best_epoch is not None
        card = self.start.card(member.trial, seed=member.seed, epoch=best_epoch, metrics=metrics)
        tensors = {f"head.{name}": tensor for name, tensor in self.best[n].items()}
        if card.base is None:  # the backbone was drawn from the seed, and nothing else can name it
            backbone = self.start.network(member.trial, member.seed, torch.device("cpu")).backbone
            tensors |= {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
        checkpoint.save(member.folder / "checkpoint", tensors, card)

    # -- remembering --------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        """Stores the state of every member that is still training, each on its own: their company may change."""
        for place, n in enumerate(self.active):
            member = self.members[n]
            if member.folder is None or place != self.active.index(n):
                continue
            state: dict[str, Any] = {
                "identity": identity(member.trial, self.start, member.seed, self.environment),
                "tensors": {name: t[place].clone() for name, t in self.heads.tensors().items()},
                "optimizer": {name: t[place].clone() for name, t in self.optimizer.state.items()},
                "steps": float(self.optimizer.steps_M[place]),
                "best": self.best[n],
                "course": self.courses[n].stored(),
                "wall_s": self.wall_s[n],
            }
            member.folder.mkdir(parents=True, exist_ok=True)
            checkpoint.write_torch(member.folder / "state.pt", state)

    def _restore(self, n: int) -> None:
        member = self.members[n]
        if member.folder is None:
            return
        name = identity(member.trial, self.start, member.seed, self.environment)
        stored = load_state(member.folder / "state.pt", name, self.device)
        if stored is None:
            return
        for place in (p for p, m in enumerate(self.active) if m == n):
            for key, tensor in self.heads.tensors().items():
                tensor[place] = stored["tensors"][key]
            for key, tensor in self.optimizer.state.items():
                tensor[place] = stored["optimizer"][key]
            self.optimizer.steps_M[place] = stored["steps"]
        self.best[n], self.wall_s[n] = stored["best"], stored["wall_s"]
        self.courses[n].restore(stored["course"])


def _factors(trials: Sequence[TrialConfig], epochs: Sequence[int], num_steps: int) -> NDArray[np.float64]:
    """Learning rates as fractions of `lr`, [steps, M]; members with the same schedule share the work."""
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
