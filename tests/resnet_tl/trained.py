"""Small trained networks, and all that is known of them."""

from dataclasses import dataclass
from pathlib import Path

from resnet_tl.config import DataConfig
from resnet_tl.data.prepare import prepare
from resnet_tl.result import FitResult
from resnet_tl.training.seed_run import fit
from tests.conftest import CPU, trial


@dataclass(frozen=True)
class Trained:
    """A stored network with the request that its images came by, and what its training said."""

    checkpoint: Path
    config: DataConfig
    cache: Path
    result: FitResult


def train(base: Path, config: DataConfig, **changes: object) -> Trained:
    """Fits a network on images."""
    data = prepare(config, base / "cache")
    options = {"epochs": 4, "lr": 0.001, "optimizer": "adam"} | changes
    result = fit(trial(**options), data, seed=0, environment=CPU, folder=base / "run")
    return Trained(base / "run" / "checkpoint", config, base / "cache", result)
