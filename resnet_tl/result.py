"""What one seed run says."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One epoch of the learning curve."""

    epoch: int
    """Counts from 1."""
    lr: float
    """Learning rate of the head at its last step."""
    metrics: dict[str, float]
    """`train/loss` and `train/accuracy` as met while training; every `val/…`. Fractions."""
    wall_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """One seed run, finished or paused. Travels between processes."""

    state: Literal["complete", "diverged", "paused"]
    seed: int
    max_epoch: int
    """The most epochs that the trial allowed."""
    best_epoch: int | None
    """The epoch whose network was selected on `val`, when paused so far; None when diverged."""
    metrics: dict[str, float]
    """`split/name` for val and test with the selected network, when paused for val alone; empty when diverged. For
    train see `history`."""
    compact: dict[str, bytes]
    """For val and test what the selected network said of each image: `predictions.unpack` reads it; empty unless
    complete."""
    history: list[Epoch]
    num_trainable: int
    wall_s: float
    """Time spent training and evaluating, restarts included."""
    reason: str | None = None
    """Why it diverged: which number stopped being finite, in which epoch and step."""
    unsaved: str | None = None
    """Which file could not be stored, the disk being full; the scores are worth more than the files."""
