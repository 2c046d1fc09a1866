"""The frozen prefix of a network: what decides its outputs, and the cache key of these.

Planning asks this about every trial, so nothing here needs torch.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from resnet_tl.architecture import channels_last_pieces, piece_costs, pieces
from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.views import View, finite_views
from resnet_tl.freezing import cut_of
from resnet_tl.identity import Environment, digest
from resnet_tl.parts import identity_of

FORMAT = 2
"""Raised when the way of storing features changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenPrefix:
    """All that decides what the leading pieces of a backbone make of an image."""

    weights: str
    """Identity of the starting weights."""
    backbone: str
    cut: int
    """Leading pieces, of `architecture.pieces`."""
    precision: str
    memory_format: str
    data: str
    """Name of the images' pixels and splits; their labels and balance decide nothing here."""
    channels: int
    first_layer: str
    """How RGB weights fit one channel; empty for others."""
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
        """Names the outputs for one view of the images; every field counts."""
        own = identity_of("resnet_tl.backbones", self.backbone)
        named = asdict(self) | {"environment": self.environment.identity()} | ({"own": own} if own else {})
        return digest([FORMAT, named, asdict(view)])

    def folder(self, view: View, cache: Path) -> Path:
        """Where they are, or will be."""
        return cache / "features" / self.key(view)


def frozen_prefix_of(
    trial: TrialConfig, data: Prepared, weights: str, environment: Environment, *, weights_channels: int | None = None
) -> FrozenPrefix | None:
    """The prefix whose outputs this trial could share with others; None when it has none.

    Args:
        weights: identity of the starting weights.
        weights_channels: see `identity.canonical`.
    """
    cut = cut_of(trial, data.channels)
    # weights that are drawn from the run's seed are no other run's
    if cut == 0 or trial.weights == "none" or finite_views(trial.augment) is None:
        return None
    return FrozenPrefix(
        weights=weights,
        backbone=trial.backbone,
        cut=cut,
        precision=trial.precision,
        memory_format=trial.memory_format,
        data=data.pixels_name,
        channels=data.channels,
        first_layer=trial.first_layer if data.channels == 1 and weights_channels != 1 else "",
        input_size=data.input_size,
        environment=environment,
    )
