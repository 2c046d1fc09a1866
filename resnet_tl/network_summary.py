"""A network stage by stage: shapes, parameters, what is frozen, where it is cut, and what a forward pass costs.

All of it follows from the configuration, so nothing here needs torch; a test holds it against the real network.
"""

from dataclasses import dataclass
from itertools import accumulate

from resnet_tl.architecture import (
    BACKBONES,
    PieceCost,
    backbone_parameters,
    is_norm,
    piece_costs,
    piece_tensors,
    pieces,
)
from resnet_tl.config import TrialConfig
from resnet_tl.freezing import cut_of, num_frozen
from resnet_tl.head_spec import num_outputs_of, spec_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One line of a summary: a module of the network, or a part of one where the cut goes through it."""

    name: str
    """Torchvision's for the backbone, and the project's for the head."""
    what: str
    """In a few words."""
    shape: tuple[int, ...]
    """Of its output for one image: C, H, W; F after pooling."""
    num_parameters: int
    num_frozen: int
    """Of its parameters, those that stay fixed."""
    macs: int
    """Multiplications with an addition, of its convolutions or its linear layer, for one image."""
    in_prefix: bool
    """Whether it belongs to the frozen prefix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkSummary:
    """A whole network; `summarise` makes it."""

    stages: tuple[Stage, ...]
    num_tensors: int
    """Parameter tensors of the backbone."""
    num_frozen_tensors: int
    """Of them, those that stay fixed, in order from the first; under `bn: train_affine` BatchNorm's train even so."""
    cut_behind: str | None
    """The last piece of the frozen prefix, of `architecture.pieces`; None where there is none."""
    cut_shape: tuple[int, ...]
    """Of the prefix's output for one image; empty where there is none."""

    @property
    def num_parameters(self) -> int:
        """Of backbone and head."""
        return sum(stage.num_parameters for stage in self.stages)

    @property
    def num_trained(self) -> int:
        """Parameters that train."""
        return self.num_parameters - sum(stage.num_frozen for stage in self.stages)

    @property
    def macs(self) -> int:
        """Of one image's forward pass."""
        return sum(stage.macs for stage in self.stages)

    @property
    def prefix_macs(self) -> int:
        """Of these, those of the frozen prefix."""
        return sum(stage.macs for stage in self.stages if stage.in_prefix)


def summarise(trial: TrialConfig, *, channels: int, input_size: tuple[int, int], num_classes: int) -> NetworkSummary:
    """Describes the network that a trial trains.

    Args:
        channels: C of the images.
        input_size: pixels H, W that the network sees.
    """
    cut = cut_of(trial, channels)
    names = pieces(trial.backbone)
    costs = piece_costs(trial.backbone, channels, input_size)
    backbone = [*_stem(trial, channels, input_size, costs[0], cut), *_layers(trial, channels, costs, cut)]
    pool = Stage(
        name="avgpool",
        what="mean over the map",
        shape=costs[-1].shape,
        num_parameters=0,
        num_frozen=0,
        macs=0,
        in_prefix=cut == len(names),
    )
    return NetworkSummary(
        stages=(*backbone, pool, *_head(trial, num_classes)),
        num_tensors=len(backbone_parameters(trial.backbone, channels)),
        num_frozen_tensors=num_frozen(trial, channels),
        cut_behind=names[cut - 1] if cut else None,
        cut_shape=costs[cut - 1].shape if cut else (),
    )


def _stem(trial: TrialConfig, channels: int, input_size: tuple[int, int], cost: PieceCost, cut: int) -> list[Stage]:
    full = (cost.shape[0], (input_size[0] + 1) // 2, (input_size[1] + 1) // 2)
    parts = [
        ("conv1", "7×7 convolution, stride 2", full, (0, 1)),
        ("bn1", "BatchNorm, ReLU", full, (1, 3)),
        ("maxpool", "3×3 maximum, stride 2", cost.shape, (3, 3)),
    ]
    return [
        _stage(
            trial,
            channels,
            name=name,
            what=what,
            shape=shape,
            tensors=tensors,
            macs=cost.macs if name == "conv1" else 0,
            in_prefix=cut > 0,
        )
        for name, what, shape, tensors in parts
    ]


def _layers(trial: TrialConfig, channels: int, costs: tuple[PieceCost, ...], cut: int) -> list[Stage]:
    arch = BACKBONES[trial.backbone]
    names = pieces(trial.backbone)
    ends = (0, *accumulate(piece_tensors(trial.backbone, channels)))
    kind = "basic" if arch.expansion == 1 else "bottleneck"
    found = []
    for number, count in enumerate(arch.num_blocks, start=1):
        layer = f"layer{number}"
        members = [index for index, name in enumerate(names) if name.startswith(f"{layer}.")]
        what = f"{count} {kind} blocks"
        ways = [(layer, what, members)]
        if members[0] < cut <= members[-1]:  # the cut goes through it
            last = names[cut - 1]
            ways = [
                (f"{layer}, to {last}", f"part of {what}", [index for index in members if index < cut]),
                (f"{layer}, the rest", f"part of {what}", [index for index in members if index >= cut]),
            ]
        for name, told, indices in ways:
            found.append(
                _stage(
                    trial,
                    channels,
                    name=name,
                    what=told,
                    shape=costs[indices[-1]].shape,
                    tensors=(ends[indices[0]], ends[indices[-1] + 1]),
                    macs=sum(costs[index].macs for index in indices),
                    in_prefix=indices[-1] < cut,
                )
            )
    return found


def _stage(
    trial: TrialConfig,
    channels: int,
    *,
    name: str,
    what: str,
    shape: tuple[int, ...],
    tensors: tuple[int, int],
    macs: int,
    in_prefix: bool,
) -> Stage:
    """A part of the backbone.

    Args:
        tensors: its first parameter tensor, and the one behind its last.
    """
    total = fixed = 0
    point = num_frozen(trial, channels)
    first, end = tensors
    for index, (parameter, count) in enumerate(backbone_parameters(trial.backbone, channels)[first:end], start=first):
        total += count
        if index < point and not (trial.bn == "train_affine" and is_norm(parameter)):
            fixed += count
    return Stage(
        name=name, what=what, shape=shape, num_parameters=total, num_frozen=fixed, macs=macs, in_prefix=in_prefix
    )


def _head(trial: TrialConfig, num_classes: int) -> list[Stage]:
    spec = spec_of(trial)
    features, outputs = BACKBONES[trial.backbone].num_features, num_outputs_of(trial, num_classes)
    layers: list[tuple[str, str, int, int, int]] = []
    if spec.width is None:
        layers.append(("head.out", "linear, torchvision's fc", outputs, (features + 1) * outputs, features * outputs))
    else:
        width = spec.width
        layers.append(("head.hidden", "linear", width, (features + 1) * width, features * width))
        if spec.norm == "batch":
            layers.append(("head.norm", "BatchNorm", width, 2 * width, 0))
        activation = {"relu": "ReLU", "leaky_relu": "leaky ReLU"}.get(spec.activation, spec.activation)
        layers.append(("", activation, width, 0, 0))
        if spec.dropout:
            layers.append(("", f"dropout {spec.dropout:g}, while training", width, 0, 0))
        layers.append(("head.out", "linear", outputs, (width + 1) * outputs, width * outputs))
    return [
        Stage(name=name, what=what, shape=(size,), num_parameters=count, num_frozen=0, macs=macs, in_prefix=False)
        for name, what, size, count, macs in layers
    ]
