"""Names for what decides a result: same fingerprint and same seed, same numbers."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from resnet_tl.config import TrialConfig, has_effect
from resnet_tl.freezing import freeze_point
from resnet_tl.head_spec import OPTIONS, HeadSpec, criterion_for, spec_of
from resnet_tl.parts import identities, identity_of

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


def canonical(
    trial: TrialConfig, *, num_classes: int, channels: int, weights_channels: int | None = None
) -> dict[str, Any]:
    """The options that decide numbers, in one spelling, so that equal networks have equal names.

    Left out are options that have no effect (`momentum` says nothing to Adam, `dropout` nothing to a linear head), and
    those that stand at their declared default, so that an option that is added later renames nothing. That holds only
    while declared defaults never change, which a file of golden fingerprints in the tests sees to. Several freeze
    fractions may be one network: what counts is the number of parameter tensors that stay fixed. A named head is what
    its parts are. A backbone or head that another distribution brought is named with its version and code. Options that
    a subclass of `TrialConfig` adds are not the network's: they name images.

    Args:
        channels: of the images.
        weights_channels: that the starting weights expect; None where that is not known before they are loaded.
    """
    given = trial.model_dump(mode="json", exclude_defaults=True)
    every = trial.model_dump(mode="json")
    num_frozen = freeze_point(trial.backbone, trial.freeze, trainable_blocks=trial.trainable_blocks, channels=channels)
    all_frozen = num_frozen == freeze_point(trial.backbone, "all", channels=channels)
    elsewhere = {"weights", "freeze", "trainable_blocks", "first_layer", "criterion", "head", *OPTIONS}
    idle = {
        "bn": num_frozen == 0,
        "backbone_lr_factor": all_frozen and trial.bn != "train_affine",
        # heads on fixed features have an optimiser of their own
        "fused_optimizer": all_frozen and trial.bn == "frozen_eval",
    }
    values = {
        name: value
        for name, value in given.items()
        if name in TrialConfig.model_fields and name not in elsewhere and has_effect(name, every) and not idle.get(name)
    }
    values |= _canonical_head(spec_of(trial))
    if num_frozen:
        values["num_frozen"] = num_frozen
    if criterion_for(trial, num_classes) != criterion_for(None, num_classes):
        values["criterion"] = trial.criterion
    if trial.weights != "none" and channels == 1 and weights_channels != 1:
        values["first_layer"] = trial.first_layer  # at its default too: older networks had another rule
    return values | ({"own": own_parts(trial)} if own_parts(trial) else {})


def own_parts(trial: TrialConfig) -> dict[str, str]:
    """Which parts of a network other distributions brought, each with what names its code."""
    named = {
        "backbone": identity_of("resnet_tl.backbones", trial.backbone),
        "head": identity_of("resnet_tl.heads", trial.head),
    }
    return {what: f"{getattr(trial, what)} of {identity}" for what, identity in named.items() if identity}


def _canonical_head(spec: HeadSpec) -> dict[str, Any]:
    """A head as the options of `head: mlp` that are not at their default; nothing for a linear one."""
    if spec.width is None:
        return {}
    parts: dict[str, Any] = {"head_width": spec.width, "head_norm": spec.norm, "head_activation": spec.activation}
    parts |= {"dropout": spec.dropout or None}
    defaults = {name: TrialConfig.model_fields[name].default for name in parts}
    return {"head": "mlp"} | {name: value for name, value in parts.items() if value != defaults[name]}


def fingerprint(
    trial: TrialConfig,
    *,
    data: str,
    weights: str,
    num_classes: int,
    channels: int,
    environment: Environment,
    weights_channels: int | None = None,
) -> str:
    """Names everything that decides the result of a seed run but the seed.

    Args:
        data: fingerprint of the prepared images.
        weights: identity of the starting weights, from `resnet_tl.model.weights.identity`.
        weights_channels: see `canonical`.
    """
    return digest(
        {
            "trial": canonical(trial, num_classes=num_classes, channels=channels, weights_channels=weights_channels),
            "data": data,
            "weights": weights,
            "environment": environment.identity(),
        }
        # every seed run is scored by every metric
        | ({"metrics": identities("resnet_tl.metrics")} if identities("resnet_tl.metrics") else {})
    )
