"""What a seed run is asked to do; needs no torch, so that plans and jobs can name it."""

from dataclasses import dataclass
from pathlib import Path

from resnet_tl.config import TrialConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One seed run, by itself or among others."""

    trial: TrialConfig
    seed: int
    folder: Path | None = None
    """For its training state, its selected network and its predictions; None keeps nothing."""
