"""Names and places of pretrained networks, known without training or torch."""

import json
from pathlib import Path

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import CheckpointError, ConfigError
from resnet_tl.identity import Environment, digest, fingerprint


def stage_fingerprint(trial: TrialConfig, data: Prepared, seed: int, environment: Environment) -> str:
    """Names the weights that a stage produces.

    Raises:
        ConfigError: the stage starts from weights; it must start from none.
    """
    if trial.weights != "none":
        raise ConfigError(f"A pretrain stage must have `weights: none`, but got {trial.weights!r}.")
    of_trial = fingerprint(
        trial,
        data=data.fingerprint,
        weights="none",
        num_classes=len(data.classes),
        channels=data.channels,
        environment=environment,
    )
    return digest([of_trial, seed])


def place(name: str, cache: Path) -> Path:
    """The checkpoint folder of a stage, by its fingerprint."""
    return cache / "pretrained" / name / "checkpoint"


def is_made(checkpoint: Path) -> bool:
    """Whether a stage has been trained."""
    return (checkpoint / "model.json").exists()


def score_of(checkpoint: Path, metric: str) -> float:
    """A score of the selected epoch of a stage that has been trained; without torch, which reading all of it needs.

    Raises:
        CheckpointError: its description is damaged.
    """
    path = checkpoint / "model.json"
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["metrics"][metric])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({type(error).__name__} {error}); remove {path.parent}.") from None
