"""The frozen front of a network: which part of it no training can change, and what names its outputs.

Planning asks this about every trial, so nothing here needs torch.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.views import View, finite_views
from resnet_tl.fingerprint import Environment, digest, num_outputs_of
from resnet_tl.head_spec import OPTIONS, spec_of
from resnet_tl.model.architecture import (
    channels_last_pieces,
    cut_point,
    freeze_point,
    num_trainable,
    piece_costs,
    pieces,
)

FORMAT = 2
"""Raised when the way of storing features changes."""

FRONT_BATCH = 32
"""Images in one forward pass of a frozen front, always: the last bits of a convolution can depend on how many there
are (of a ResNet-50 in fp32 they did, below 16), but not on which the others are. So an image has the same features
whatever batch asks for them."""

EVAL_BATCH = 256
"""Images in one forward pass of an evaluation; a constant, since the batch size can change the last bits."""

SCORED_AT_ONCE = 4_000_000
"""Outputs in float64, of all heads side by side, that are scored at a time: 32 MB, of which metrics make some ten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Front:
    """All that decides what the leading pieces of a backbone make of an image."""

    weights: str
    """Identity of the starting weights."""
    backbone: str
    cut: int
    """Leading pieces, of `architecture.pieces`."""
    precision: str
    memory_format: str
    data: str
    """Fingerprint of the images."""
    channels: int
    first_layer: str
    """How the weights fit one channel; empty for others."""
    input_size: tuple[int, int]
    """Pixels H, W that the network sees."""
    environment: Environment

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one output: C, H, W, or F."""
        return piece_costs(self.backbone, self.channels, self.input_size)[self.cut - 1].shape

    @property
    def channels_last(self) -> bool:
        """Whether outputs are stored as H, W, C."""
        return channels_last_pieces(self.backbone, self.input_size, self.memory_format, self.precision)[self.cut - 1]

    @property
    def num_bytes(self) -> int:
        """Of one output."""
        return math.prod(self.shape, start=2 if self.precision == "bf16" else 4)

    @property
    def macs(self) -> int:
        """Multiplications with an addition, for one image."""
        return sum(c.macs for c in piece_costs(self.backbone, self.channels, self.input_size)[: self.cut])

    def describe(self) -> str:
        """In a few words."""
        return f"{self.backbone} up to {pieces(self.backbone)[self.cut - 1]}, {self.precision}"

    def key(self, view: View) -> str:
        """Names the outputs for one face of the images; every field counts."""
        return digest([FORMAT, asdict(self) | {"environment": self.environment.identity()}, asdict(view)])

    def folder(self, view: View, cache: Path) -> Path:
        """Where they are, or will be."""
        return cache / "features" / self.key(view)


def is_head_only(trial: TrialConfig, channels: int) -> bool:
    """Whether nothing but the head is trained, on features that do not depend on the batch."""
    return trial.bn == "frozen_eval" and num_frozen(trial, channels) == freeze_point(
        trial.backbone, "all", channels=channels
    )


def cut_of(trial: TrialConfig, channels: int) -> int:
    """How many leading pieces run apart from the rest: frozen, with views that can be foreseen.

    Under endless augmentation nothing could be reused, and the network runs as a whole; a head alone is trained on
    features in any case. This depends on the configuration only: whether outputs are in fact reused changes no number.
    """
    if trial.bn != "frozen_eval":
        return 0
    if finite_views(trial.augment) is None and not is_head_only(trial, channels):
        return 0
    return cut_point(trial.backbone, num_frozen(trial, channels), channels=channels)


def front_of(trial: TrialConfig, data: Prepared, weights: str, environment: Environment) -> Front | None:
    """The front whose outputs this trial could share with others; None when it has none.

    Args:
        weights: identity of the starting weights.
    """
    cut = cut_of(trial, data.channels)
    # weights that are drawn from the run's seed are no other run's
    if cut == 0 or trial.weights == "none" or finite_views(trial.augment) is None:
        return None
    return Front(
        weights=weights,
        backbone=trial.backbone,
        cut=cut,
        precision=trial.precision,
        memory_format=trial.memory_format,
        data=data.fingerprint,
        channels=data.channels,
        first_layer=trial.first_layer if data.channels == 1 else "",
        input_size=data.input_size,
        environment=environment,
    )


def num_frozen(trial: TrialConfig, channels: int) -> int:
    """Parameter tensors of the backbone, in order, that stay fixed."""
    return freeze_point(trial.backbone, trial.freeze, trainable_blocks=trial.trainable_blocks, channels=channels)


def num_trained(trial: TrialConfig, data: Prepared) -> int:
    """Parameters that train, head included."""
    return num_trainable(
        trial.backbone,
        num_frozen(trial, data.channels),
        bn=trial.bn,
        head=spec_of(trial),
        num_outputs=num_outputs_of(trial, len(data.classes)),
        channels=data.channels,
    )


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
