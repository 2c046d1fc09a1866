"""Names for what decides a result: same fingerprint and same seed, same numbers."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.freezing import freeze_point
from resnet_tl.head_spec import OPTIONS, options_of, spec_of

NUMERICS = 4
"""Raised whenever a change of this package's code changes any number that a run produces."""


@lru_cache
def version_of(library: str) -> str:
    """Of an installed library; looking takes a millisecond, and every trial's name needs it."""
    return version(library)


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """What of the machine changes the bits of a result. Worker counts do not."""

    device: str
    """`cpu` or `cuda`."""
    threads: int
    """CPU threads per fit: other counts sum in another order."""

    def identity(self) -> dict[str, Any]:
        """All that is compared when a study goes on elsewhere; versions without their build suffix."""
        return {
            "numerics": NUMERICS,
            "torch": version_of("torch").split("+")[0],
            "torchvision": version_of("torchvision").split("+")[0],
            "device": self.device,
            "threads": self.threads,
        }


def digest(content: Any) -> str:
    """A short name (80 bits, hexadecimal) for any JSON content; key order does not matter."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def canonical(trial: TrialConfig, *, num_classes: int, channels: int) -> dict[str, Any]:
    """The options that have an effect, in one spelling, so that equal networks have equal names.

    `momentum` says nothing to Adam, `dropout` nothing to a linear head, and several freeze fractions may be one
    network.
    """
    values = trial.model_dump(mode="json")
    del values["weights"], values["freeze"], values["trainable_blocks"]
    values["num_frozen"] = freeze_point(
        trial.backbone, trial.freeze, trainable_blocks=trial.trainable_blocks, channels=channels
    )
    values["criterion"] = criterion_for(trial, num_classes)
    if trial.optimizer != "sgd":
        del values["momentum"]
    values["dropout"] = spec_of(trial).dropout
    for option in set(OPTIONS) - set(options_of(trial.head)):
        del values[option]
    if channels != 1 or trial.weights == "none":
        del values["first_layer"]
    if values["num_frozen"] == 0:
        del values["bn"]
    all_frozen = values["num_frozen"] == freeze_point(trial.backbone, "all", channels=channels)
    if all_frozen and trial.bn != "train_affine":
        del values["backbone_lr_factor"]
        if trial.bn == "frozen_eval":
            del values["fused_optimizer"]  # heads on fixed features have an optimiser of their own
    return values


def criterion_for(trial: TrialConfig, num_classes: int) -> str:
    """`bce` for two classes unless the trial says otherwise, else `cross_entropy`."""
    return trial.criterion or ("bce" if num_classes == 2 else "cross_entropy")


def num_outputs_of(trial: TrialConfig, num_classes: int) -> int:
    """Logits of the network: one with binary cross-entropy, else one per class."""
    return 1 if criterion_for(trial, num_classes) == "bce" else num_classes


def fingerprint(
    trial: TrialConfig,
    *,
    data: str,
    weights: str,
    num_classes: int,
    channels: int,
    environment: Environment,
) -> str:
    """Names everything that decides the result of a seed run but the seed.

    Args:
        data: fingerprint of the prepared images.
        weights: identity of the starting weights, from `resnet_tl.model.weights.identity`.
    """
    return digest(
        {
            "trial": canonical(trial, num_classes=num_classes, channels=channels),
            "data": data,
            "weights": weights,
            "environment": environment.identity(),
        }
    )
