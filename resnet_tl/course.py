"""One fit: what it is asked to do, its epochs so far, which of them is selected, and when it ends."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.result import Epoch


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One seed run, by itself or among others."""

    trial: TrialConfig
    seed: int
    folder: Path | None = None
    """For its training state and its selected network; None keeps nothing."""


@dataclass(kw_only=True, slots=True)
class Course:
    """Epochs of one run, with the best by `monitor`; ties go to the earlier."""

    trial: TrialConfig
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int | None = None

    def add(self, epoch: Epoch) -> bool:
        """Takes in an epoch; returns whether it is the best so far."""
        self.history.append(epoch)
        sign = -1 if self.trial.monitor_mode == "min" else 1
        monitor = self.trial.monitor
        if self.best_epoch is not None:
            best = self.history[self.best_epoch - 1].metrics[monitor]
            if sign * epoch.metrics[monitor] <= sign * best:
                return False
        self.best_epoch = epoch.epoch
        return True

    @property
    def next_epoch(self) -> int:
        """Counts from 1."""
        return len(self.history) + 1

    def finished(self) -> bool:
        """Whether the last epoch is done, or patience is at its end."""
        done = len(self.history)
        if done >= self.trial.epochs:
            return True
        return self.trial.patience is not None and done - (self.best_epoch or done) >= self.trial.patience

    def stored(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {"history": [asdict(epoch) for epoch in self.history], "best_epoch": self.best_epoch}

    def restore(self, stored: dict[str, Any]) -> None:
        """Goes back to a stored course."""
        self.history = [Epoch(**epoch) for epoch in stored["history"]]
        self.best_epoch = stored["best_epoch"]
