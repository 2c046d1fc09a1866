"""What a seed run is asked to do; needs no torch, so that plans and jobs can name and group them."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from resnet_tl.config import TrialConfig
from resnet_tl.head_spec import OPTIONS, spec_of
from resnet_tl.identity import digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One seed run, by itself or among others."""

    trial: TrialConfig
    seed: int
    folder: Path | None = None
    """For its training state, its selected network and its predictions; None keeps nothing."""
    until: int | None = None
    """The epoch after which it pauses, with its training state in `folder`, to go on from there or never; None trains
    to the end."""


UNTIL_THEIR_END = ("epochs", "patience")
"""What says where a run ends, and under a constant schedule nothing else."""


def common_beginning(trial: TrialConfig) -> str | None:
    """Names runs that train alike, with the same seed, until one of them ends; None where the end decides all of it."""
    if trial.schedule != "constant":
        return None
    return digest(trial.model_dump(mode="json", exclude=set(UNTIL_THEIR_END)))


PER_MEMBER = (
    "lr", "momentum", "weight_decay", "schedule", "warmup_epochs", "label_smoothing", "dropout", "epochs", "patience",
    "monitor",
)  # fmt: skip
"""What may differ between heads that are trained side by side, beside their seeds."""


def head_group(trial: TrialConfig) -> str:
    """Names the heads that can be trained side by side: alike in their specs but for dropout, and in other options."""
    idle = ("backbone_lr_factor", "fused_optimizer", "freeze", "trainable_blocks")  # without effect on a head alone
    others = trial.model_dump(mode="json", exclude={*PER_MEMBER, *idle, "head", *OPTIONS})
    return digest([others, asdict(replace(spec_of(trial), dropout=0.0))])
