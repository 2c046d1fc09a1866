"""The training loop: what a seed run is asked to do, its epochs, the selected one, its end, and what is said of it.

A member is one seed run. The loop drives a `Learner`, which holds the networks of one member or of many side by side
and knows how to train, score and store them; all that is decided about a member is decided here. A member that has
finished or diverged leaves, and the others keep the bits that they would have had without it.

Axes: K classes, M members, N images of a split, S steps of an epoch.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl import predictions
from resnet_tl.batching import SCORED_AT_ONCE
from resnet_tl.config import TrialConfig
from resnet_tl.files import is_full
from resnet_tl.freezing import num_trained
from resnet_tl.heartbeat import Stopped, beat, stop_asked
from resnet_tl.identity import Environment, digest, fingerprint
from resnet_tl.metrics import evaluate_many
from resnet_tl.model import checkpoint
from resnet_tl.model.starting_point import StartingPoint
from resnet_tl.result import Epoch, FitResult
from resnet_tl.training.member import Member

SAVE_EVERY_S = 30.0
"""The least time between two saved training states: writing a whole ResNet-18 with its optimiser takes 0.3 s."""

OnEpoch = Callable[[int, Epoch], None]
"""Told the number of a member and its new epoch."""

OnLogits = Callable[[int, Mapping[str, NDArray[np.float64]]], None]
"""Told the number of a member, and what its selected network said of val and test, [N, K] each."""

State = dict[str, Any]
"""What a learner needs to go on with a member; only what `torch.load(weights_only=True)` reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochScores:
    """What members met while they trained one epoch; M in the order in which they were named."""

    losses_SM: NDArray[np.float64]
    """Mean loss of each batch. A learner may stop at a step whose loss is not finite."""
    sizes_S: NDArray[np.int64]
    """Images of each batch."""
    accuracies_M: NDArray[np.float64]
    lr_factors_M: NDArray[np.float64]
    """Learning rate of the last step, as a fraction of `lr`."""


class Learner(Protocol):
    """The networks of one or several members, by their numbers."""

    def train_epoch(self, epochs: Mapping[int, int]) -> EpochScores:
        """Trains members, each for its own epoch, counted from 1. Members that are not named are let go for good."""

    def logits(self, split: str, members: Sequence[int]) -> NDArray[np.float64]:
        """Class logits [M, N, K] of some of the members that were trained, or selected, last."""

    def keep(self, members: Sequence[int]) -> None:
        """Remembers the networks as they are, in place of those remembered before."""

    def select(self, members: Sequence[int]) -> None:
        """Puts remembered networks in place of the trained ones; the members named are all that there are then."""

    def tensors(self, member: int, *, whole: bool) -> dict[str, Tensor]:
        """The selected network, to be stored: all of it, or at least what its training can have changed."""

    def state(self, member: int) -> State:
        """All that `load` needs to go on with the same bits."""

    def load(self, member: int, state: State) -> None:
        """Goes on from a state."""


@dataclass(kw_only=True, slots=True)
class History:
    """Epochs of one member, with the best by `monitor`; ties go to the earlier."""

    trial: TrialConfig
    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int | None = None

    def add(self, epoch: Epoch) -> bool:
        """Takes in an epoch; returns whether it is the best so far."""
        self.epochs.append(epoch)
        sign = -1 if self.trial.monitor_mode == "min" else 1
        monitor = self.trial.monitor
        if self.best_epoch is not None:
            best = self.epochs[self.best_epoch - 1].metrics[monitor]
            if sign * epoch.metrics[monitor] <= sign * best:
                return False
        self.best_epoch = epoch.epoch
        return True

    @property
    def next_epoch(self) -> int:
        """Counts from 1."""
        return len(self.epochs) + 1

    def finished(self) -> bool:
        """Whether the last epoch is done, or patience is at its end."""
        done, patience = len(self.epochs), self.trial.patience
        if done >= self.trial.num_epochs:
            return True
        # the second phase gets its chance, however little the first has improved
        return patience is not None and done - max(self.best_epoch or done, self.trial.head_epochs) >= patience


class Loop:
    """Trains members until each has finished, diverged or come to where it is to pause.

    Args:
        learner: holds a network for each member, by its place in `members`.
        start: images and weights that all members start from.
        on_epoch: called after every epoch of every member, restored ones included.
        on_logits: called for every member that ends complete.
        save_every_s: the least seconds between two saved states.
        after: a member with a common beginning that ended, from whose last state a single member goes on.
        is_followed: whether another one goes on from the last state of this one, a single member, in the same way.
    """

    def __init__(
        self,
        members: Sequence[Member],
        learner: Learner,
        start: StartingPoint,
        *,
        environment: Environment,
        on_epoch: OnEpoch,
        on_logits: OnLogits | None = None,
        save_every_s: float = SAVE_EVERY_S,
        after: Member | None = None,
        is_followed: bool = False,
    ) -> None:
        self._after, self._is_followed = after, is_followed
        self._members, self._learner, self._start = list(members), learner, start
        self._environment, self._save_every_s = environment, save_every_s
        self._on_epoch, self._on_logits = on_epoch, on_logits
        self._labels = {split: start.images.labels_N[index] for split, index in start.images.splits.items()}
        self._histories = [History(trial=member.trial) for member in members]
        self._wall_s = [0.0 for _ in members]
        self._reasons: dict[int, str] = {}

    def run(self) -> list[FitResult]:
        """One result for each member; its `wall_s` is its share of the time."""
        for number in range(len(self._members)):
            beat()
            self._restore(number)
        for number, history in enumerate(self._histories):
            for epoch in history.epochs:
                self._on_epoch(number, epoch)
        saved = time.perf_counter()
        while active := self._active():
            self._epoch(active)
            for number in active:
                if self._is_paused(number):  # at once: a learner lets go of members that leave
                    beat()
                    self._save(number)
            is_last = stop_asked() and bool(self._active())
            if is_last or time.perf_counter() - saved >= self._save_every_s:
                for number in self._active():
                    beat()
                    self._save(number)
                saved = time.perf_counter()
            if is_last:
                raise Stopped("it was asked to stop after the epoch that it was at")
        if self._is_followed and not self._reasons:
            beat()
            self._save(0)
        return self._results()

    def _active(self) -> list[int]:
        going = [n for n, h in enumerate(self._histories) if n not in self._reasons and not h.finished()]
        return [n for n in going if not self._is_paused(n)]

    def _is_paused(self, n: int) -> bool:
        """Whether a member has come as far as it is to come, and could go on."""
        until, history = self._members[n].until, self._histories[n]
        return until is not None and n not in self._reasons and len(history.epochs) >= until and not history.finished()

    def _epoch(self, active: Sequence[int]) -> None:
        """Trains one epoch of each member, scores it on `val`, and keeps the networks that are the best so far."""
        started = time.perf_counter()
        epochs = {n: self._histories[n].next_epoch for n in active}
        trained = self._learner.train_epoch(epochs)
        shares_S = trained.sizes_S / trained.sizes_S.sum()
        metrics: dict[int, dict[str, float]] = {}
        for place, n in enumerate(active):
            losses_S = np.ascontiguousarray(trained.losses_SM[:, place])
            wrong = np.flatnonzero(~np.isfinite(losses_S))
            if len(wrong):
                step = int(wrong[0])
                self._reasons[n] = (
                    f"the training loss became {float(losses_S[step])} in epoch {epochs[n]}, step {step + 1}"
                )
                continue
            metrics[n] = {
                "train/loss": float((losses_S * shares_S).sum()),
                "train/accuracy": float(trained.accuracies_M[place]),
            }
        for part in self._parts(active, ["val"]) if metrics else ():
            for n, values in zip(part, self._scores("val", self._learner.logits("val", part)), strict=True):
                if n in metrics and values is not None:
                    metrics[n] |= values
                elif n in metrics:
                    del metrics[n]
                    self._reasons[n] = (
                        f"the network's output on val became non-finite in epoch {epochs[n]}, after its last step"
                    )
        wall_s = (time.perf_counter() - started) / len(active)
        for place, n in enumerate(active):
            self._wall_s[n] += wall_s
            if n in metrics:
                lr = self._members[n].trial.lr * float(trained.lr_factors_M[place])
                epoch = Epoch(epoch=epochs[n], lr=lr, metrics=metrics[n], wall_s=wall_s)
                if self._histories[n].add(epoch):
                    self._learner.keep([n])
                self._on_epoch(n, epoch)

    def _parts(self, members: Sequence[int], splits: Sequence[str]) -> Iterator[Sequence[int]]:
        """Members to score at a time, since the outputs of all on whole splits may not fit into memory together."""
        num_outputs = sum(len(self._labels[split]) for split in splits) * len(self._start.data.classes)
        size = max(SCORED_AT_ONCE // num_outputs, 1)
        for first in range(0, len(members), size):
            yield members[first : first + size]

    def _scores(self, split: str, logits_MNK: NDArray[np.float64]) -> list[dict[str, float] | None]:
        """Every metric that each member has on a split; None where an output is not finite."""
        finite_M = np.array([bool(np.isfinite(logits_NK).all()) for logits_NK in logits_MNK])
        scores = scores_of(split, np.where(finite_M[:, None, None], logits_MNK, 0.0), self._labels[split])
        return [own if finite else None for own, finite in zip(scores, finite_M, strict=True)]

    # -- the end ------------------------------------------------------------------------------------------------------

    def _results(self) -> list[FitResult]:
        """Scores the selected networks on val, test and what stands beside it, the only look at these, and stores them.

        Train was scored while it was learnt; another pass over it would take a third of an epoch.
        """
        results = [
            self._diverged(n) if n in self._reasons else self._paused(n) if self._is_paused(n) else None
            for n in range(len(self._members))
        ]
        complete = [n for n, result in enumerate(results) if result is None]
        if complete:
            self._learner.select(complete)
        splits = self._start.data.scored
        for part in self._parts(complete, splits):
            started = time.perf_counter()
            logits = {split: self._learner.logits(split, part) for split in splits}
            scores = {split: self._scores(split, logits[split]) for split in splits}
            wall_s = (time.perf_counter() - started) / len(part)
            for place, n in enumerate(part):
                beat()
                self._wall_s[n] += wall_s
                results[n] = self._finish(
                    n,
                    {split: logits_MNK[place] for split, logits_MNK in logits.items()},
                    {split: of_split[place] for split, of_split in scores.items()},
                )
        return [result for result in results if result is not None]

    def _finish(
        self, n: int, logits: Mapping[str, NDArray[np.float64]], scores: Mapping[str, dict[str, float] | None]
    ) -> FitResult:
        """The result of a member whose selected network was scored."""
        member, history = self._members[n], self._histories[n]
        assert history.best_epoch is not None
        metrics: dict[str, float] = {}
        for split, values in scores.items():
            if values is None:
                self._reasons[n] = f"the network's output on {split} became non-finite in epoch {history.best_epoch}"
                return self._diverged(n)
            metrics |= values
        if self._on_logits is not None:
            self._on_logits(n, logits)
        labels = self._labels
        unsaved = None
        try:
            if member.folder is not None:
                predictions.write(member.folder, logits)
                card = self._start.card(member.trial, seed=member.seed, epoch=history.best_epoch, metrics=metrics)
                checkpoint.save(member.folder / "checkpoint", self._learner.tensors(n, whole=card.base is None), card)
        except OSError as error:
            if not is_full(error):
                raise
            unsaved = str(error.filename or member.folder)
        return FitResult(
            state="complete",
            seed=member.seed,
            max_epoch=member.trial.num_epochs,
            best_epoch=history.best_epoch,
            metrics=metrics,
            compact={s: predictions.pack(logits_NK, labels[s]) for s, logits_NK in logits.items()},
            history=history.epochs,
            num_trainable=self._num_trained(member.trial),
            wall_s=self._wall_s[n],
            unsaved=unsaved,
        )

    def _num_trained(self, trial: TrialConfig) -> int:
        data = self._start.data
        return num_trained(trial, channels=data.channels, num_classes=len(data.classes))

    def _diverged(self, n: int) -> FitResult:
        """The result of a member that diverged: never a number."""
        member = self._members[n]
        return FitResult(
            state="diverged",
            seed=member.seed,
            max_epoch=member.trial.num_epochs,
            best_epoch=None,
            metrics={},
            compact={},
            history=self._histories[n].epochs,
            num_trainable=self._num_trained(member.trial),
            wall_s=self._wall_s[n],
            reason=self._reasons[n],
        )

    def _paused(self, n: int) -> FitResult:
        """The result of a member that may go on: what it has on val so far; test is not looked at."""
        member, history = self._members[n], self._histories[n]
        assert history.best_epoch is not None
        best = history.epochs[history.best_epoch - 1]
        return FitResult(
            state="paused",
            seed=member.seed,
            max_epoch=member.trial.num_epochs,
            best_epoch=history.best_epoch,
            metrics={name: value for name, value in best.metrics.items() if name.startswith("val/")},
            compact={},
            history=history.epochs,
            num_trainable=self._num_trained(member.trial),
            wall_s=self._wall_s[n],
        )

    # -- remembering --------------------------------------------------------------------------------------------------

    def _save(self, n: int) -> None:
        """Stores all that a restart needs, for each member on its own: its company may be another one then."""
        member, history = self._members[n], self._histories[n]
        if member.folder is not None:
            content = {
                "identity": self._identity(member),
                "learner": self._learner.state(n),
                "epochs": [asdict(epoch) for epoch in history.epochs],
                "best_epoch": history.best_epoch,
                "wall_s": self._wall_s[n],
            }
            _write_state(member.folder, content)

    def _restore(self, n: int) -> None:
        member, history = self._members[n], self._histories[n]
        if member.folder is None:
            return
        stored = read_state(member.folder / "state.pt", self._identity(member))
        if self._after is not None and self._after.folder is not None:
            other = read_state(self._after.folder / "state.pt", self._identity(self._after))
            is_further = other is not None and len(other["epochs"]) > (len(stored["epochs"]) if stored else 0)
            if other is not None and is_further and self._passes(member, other):
                _write_state(member.folder, other | {"identity": self._identity(member)})
                stored = other
        if stored is not None:
            self._learner.load(n, stored["learner"])
            history.epochs = [Epoch(**epoch) for epoch in stored["epochs"]]
            history.best_epoch, self._wall_s[n] = stored["best_epoch"], stored["wall_s"]

    def _passes(self, member: Member, stored: State) -> bool:
        """Whether a run comes by the state that another one was left in, and neither ends nor pauses before."""
        history = History(trial=member.trial)
        if member.until is not None and len(stored["epochs"]) > member.until:
            return False
        for epoch in stored["epochs"]:
            if history.finished():
                return False
            history.add(Epoch(**epoch))
        return True

    def _identity(self, member: Member) -> str:
        """Names one seed run, to know its saved state by: what decides its numbers, and no more."""
        start = self._start
        name = fingerprint(
            member.trial,
            data=start.data.fingerprint,
            weights=start.base["sha256"] if start.base else "none",
            num_classes=len(start.data.classes),
            channels=start.data.channels,
            environment=self._environment,
            weights_channels=start.weights_channels,
        )
        return digest([name, member.seed])


def scores_of(split: str, logits_MNK: NDArray[np.float64], labels_N: NDArray[np.int64]) -> list[dict[str, float]]:
    """Every metric that each of several networks has on a split."""
    values = evaluate_many(logits_MNK, labels_N)
    return [
        {f"{split}/{name}": float(v_M[place]) for name, v_M in values.items() if not np.isnan(v_M[place])}
        for place in range(len(logits_MNK))
    ]


def _write_state(folder: Path, content: State) -> None:
    try:
        checkpoint.write_torch(folder / "state.pt", content)
    except OSError as error:
        if not is_full(error):
            raise
        # it serves a restart alone, and the scores need no room
        warnings.warn(f"the training state is not saved, since the disk is full: {error}", stacklevel=2)


def read_state(path: Path, identity: str) -> State | None:
    """A saved training state, if it is there and of this run; a damaged or foreign one is dropped, with a warning."""
    if not path.exists():
        return None
    try:
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load and pickle raise many kinds for damaged files
        warnings.warn(f"{path} is damaged and dropped; training starts again: {error}", stacklevel=2)
        path.unlink()
        return None
    if not isinstance(stored, dict) or stored.get("identity") != identity:
        warnings.warn(f"{path} is of another run and dropped; training starts again", stacklevel=2)
        path.unlink()
        return None
    state: State = stored
    return state
