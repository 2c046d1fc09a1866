"""Which part of a network stays fixed: `freeze` resolved, what that leaves to train, and where the network is cut.

Planning asks this about every trial, so nothing here needs torch.
"""

import math
from typing import TYPE_CHECKING

from resnet_tl.architecture import backbone_parameters, cut_point, num_trainable
from resnet_tl.errors import ConfigError
from resnet_tl.head_spec import num_outputs_of, spec_of

if TYPE_CHECKING:
    from resnet_tl.config import TrialConfig

STAGES = ("conv1", "layer1", "layer2", "layer3", "layer4")


def freeze_point(backbone: str, freeze: float | str, *, trainable_blocks: int | None = None, channels: int = 3) -> int:
    """Resolves `freeze` to the number of parameter tensors, in order, that stay fixed.

    Args:
        freeze: a fraction in [0, 1] of the backbone's parameters by count, a stage up to and including which all is
            fixed, `none` or `all`. Tensors are frozen in order until the frozen share first reaches the fraction.
        trainable_blocks: when given, everything before the last that many residual blocks is fixed.

    Raises:
        ConfigError: `freeze` is neither of these.
    """
    parameters = backbone_parameters(backbone, channels)
    names = [name for name, _ in parameters]
    if trainable_blocks is not None:
        blocks = list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names if name.startswith("layer")))
        if trainable_blocks == 0:
            return len(names)
        first = blocks[-trainable_blocks] + "."
        return next(index for index, name in enumerate(names) if name.startswith(first))
    if freeze == "none":
        return 0
    if freeze == "all":
        return len(names)
    if isinstance(freeze, str):
        if freeze not in STAGES:
            raise ConfigError(
                f"`freeze` must be a fraction in [0, 1], a stage ({', '.join(STAGES)}), none or all, "
                f"but got {freeze!r}."
            )
        if freeze == "conv1":
            return 3
        return 1 + max(index for index, name in enumerate(names) if name.startswith(freeze))
    if not 0 <= freeze <= 1:
        raise ConfigError(f"`freeze` must be a fraction in [0, 1], a stage, none or all, but got {freeze!r}.")
    total = sum(count for _, count in parameters)
    frozen = 0
    for index, (_, count) in enumerate(parameters):
        # counts are integers: compare exactly, with room for the rounding of a fraction like 0.7
        if frozen >= math.ceil(freeze * total - 1e-6):
            return index
        frozen += count
    return len(names)


def num_frozen(trial: "TrialConfig", channels: int) -> int:
    """Parameter tensors of the backbone, in order, that stay fixed."""
    return freeze_point(trial.backbone, trial.freeze, trainable_blocks=trial.trainable_blocks, channels=channels)


def num_parameters(trial: "TrialConfig", *, channels: int, num_classes: int) -> int:
    """All parameters of the network, head included."""
    return num_trainable(  # as many as train where nothing is frozen
        trial.backbone,
        0,
        bn=trial.bn,
        head=spec_of(trial),
        num_outputs=num_outputs_of(trial, num_classes),
        channels=channels,
    )


def num_trained(trial: "TrialConfig", *, channels: int, num_classes: int) -> int:
    """Parameters that train, head included."""
    return num_trainable(
        trial.backbone,
        num_frozen(trial, channels),
        bn=trial.bn,
        head=spec_of(trial),
        num_outputs=num_outputs_of(trial, num_classes),
        channels=channels,
    )


def is_head_only(trial: "TrialConfig", channels: int) -> bool:
    """Whether nothing but the head is trained, on features that do not depend on the batch."""
    return trial.bn == "frozen_eval" and num_frozen(trial, channels) == freeze_point(
        trial.backbone, "all", channels=channels
    )


def head_phase(trial: "TrialConfig") -> "TrialConfig | None":
    """What the first phase of a trial with `head_epochs` is by itself: its head alone, on a backbone that is frozen.

    It trains with the very bits of this trial, and what it needs of a backbone is shared with others like it.
    """
    if not trial.head_epochs:
        return None
    alone = {"freeze": "all", "trainable_blocks": None, "bn": "frozen_eval", "head_epochs": 0, "patience": None}
    return trial.model_copy(update=alone | {"epochs": trial.head_epochs})


def phases(trial: "TrialConfig") -> "tuple[TrialConfig, ...]":
    """What a trial trains one after the other, the last of it as the trial says; one phase, or two."""
    first = head_phase(trial)
    return (trial,) if first is None else (first, trial)


def cut_of(trial: "TrialConfig", channels: int) -> int:
    """How many leading pieces run apart from the rest: frozen, with views that can be foreseen.

    Under endless augmentation nothing could be reused, and the network runs as a whole; a head alone is trained on
    features in any case. This depends on the configuration only: whether outputs are in fact reused changes no number.
    """
    if trial.bn != "frozen_eval":
        return 0
    if trial.endless_views and not is_head_only(trial, channels):
        return 0
    return cut_point(trial.backbone, num_frozen(trial, channels), channels=channels)
