"""Sizes of the ResNets, ResNeXts and Wide ResNets, known without building them.

Planning a study needs the parameter counts (which freeze fractions mean the same network, how many parameters
train) and should not wait seconds for torch. A test holds these tables against torchvision's own networks.

Source: He et al. 2016, "Deep Residual Learning for Image Recognition", table 1; Xie et al. 2017, "Aggregated Residual
Transformations for Deep Neural Networks", table 1; Zagoruyko and Komodakis 2016, "Wide Residual Networks"; parameter
order as torchvision builds it, which is the order of the forward pass but for the downsample branch, last in its block.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from resnet_tl.head_spec import HeadSpec
from resnet_tl.parts import load


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A ResNet as `torchvision.models.resnet.ResNet` builds it."""

    num_blocks: tuple[int, int, int, int]
    """Residual blocks in layer1 … layer4."""
    expansion: int
    """Output channels of a block as a multiple of its width: 1 for basic blocks, 4 for bottlenecks."""
    imagenet_versions: tuple[str, ...] = ()
    """Weights that torchvision publishes for it, the best last: `weights: imagenet` means those."""
    groups: int = 1
    """Of the 3 × 3 convolutions of bottlenecks; 32 in most ResNeXts."""
    width_per_group: int = 64
    """Channels of each group in layer1: 128 doubles the width of a ResNet's bottlenecks."""

    def __post_init__(self) -> None:
        ok = self.expansion == 4 or (self.expansion == 1 and (self.groups, self.width_per_group) == (1, 64))
        if not ok or len(self.num_blocks) != 4 or min(self.num_blocks) < 1:
            raise ValueError(
                "`expansion` must be 4 (bottlenecks), or 1 (basic blocks) with one group of width 64, and `num_blocks` "
                f"must hold four numbers from 1 on, but got {self}"
            )

    def inner_width(self, stage: int) -> int:
        """Channels between the convolutions of a block of layer1 … layer4."""
        return (self.width_per_group << stage - 1) * self.groups

    @property
    def num_convolutions(self) -> int:
        """Of a block, but for its downsample branch."""
        return 2 if self.expansion == 1 else 3

    @property
    def num_features(self) -> int:
        """Outputs F of the backbone after average pooling."""
        return 512 * self.expansion


_FIRST, _BOTH = ("IMAGENET1K_V1",), ("IMAGENET1K_V1", "IMAGENET1K_V2")

BACKBONES = {
    "resnet18": Architecture(num_blocks=(2, 2, 2, 2), expansion=1, imagenet_versions=_FIRST),
    "resnet34": Architecture(num_blocks=(3, 4, 6, 3), expansion=1, imagenet_versions=_FIRST),
    "resnet50": Architecture(num_blocks=(3, 4, 6, 3), expansion=4, imagenet_versions=_BOTH),
    "resnet101": Architecture(num_blocks=(3, 4, 23, 3), expansion=4, imagenet_versions=_BOTH),
    "resnet152": Architecture(num_blocks=(3, 8, 36, 3), expansion=4, imagenet_versions=_BOTH),
    "resnext50_32x4d": Architecture(
        num_blocks=(3, 4, 6, 3), expansion=4, imagenet_versions=_BOTH, groups=32, width_per_group=4
    ),
    "resnext101_32x8d": Architecture(
        num_blocks=(3, 4, 23, 3), expansion=4, imagenet_versions=_BOTH, groups=32, width_per_group=8
    ),
    "resnext101_64x4d": Architecture(
        num_blocks=(3, 4, 23, 3), expansion=4, imagenet_versions=_FIRST, groups=64, width_per_group=4
    ),
    "wide_resnet50_2": Architecture(num_blocks=(3, 4, 6, 3), expansion=4, imagenet_versions=_BOTH, width_per_group=128),
    "wide_resnet101_2": Architecture(
        num_blocks=(3, 4, 23, 3), expansion=4, imagenet_versions=_BOTH, width_per_group=128
    ),
}
BACKBONES |= load(
    "resnet_tl.backbones",
    built_in=BACKBONES,
    must="an `Architecture`",
    fits=lambda _, value: isinstance(value, Architecture),
)
"""By name; those of other distributions behind, see `resnet_tl.parts`."""


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (channels,)
    yield f"{name}.bias", (channels,)


@lru_cache
def pieces(backbone: str) -> tuple[str, ...]:
    """The pieces of a forward pass, in order; it can be cut behind each of them.

    `stem`, `layer1.0` … `layer4.N`, `pool`. A block that adds its input as it is counts in smaller ones: up to its
    first convolution (`layer4.1.conv1`), up to the next, and the rest of it (`layer4.1`).
    """
    arch = BACKBONES[backbone]
    names = ["stem"]
    for stage, count in enumerate(arch.num_blocks, 1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            if not _resizes(arch, stage, block):
                names += [f"{name}.conv{number}" for number in range(1, arch.num_convolutions + 1)]
            names.append(name)
    return (*names, "pool")


def _resizes(arch: Architecture, stage: int, block: int) -> bool:
    """Whether a block has a downsample branch."""
    return block == 0 and (stage > 1 or arch.expansion > 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PieceCost:
    """What one piece does to one image."""

    shape: tuple[int, ...]
    """Of its output: C, H, W; F after `pool`. Inside a block C counts the block's input too, which is still to be
    added."""
    macs: int
    """Multiplications with an addition, of its convolutions."""


@lru_cache
def piece_costs(backbone: str, channels: int, input_size: tuple[int, int]) -> tuple[PieceCost, ...]:
    """Costs of all `pieces`, from the parameter counts: a convolution uses each weight once per output pixel.

    Args:
        input_size: pixels H, W.
    """
    arch = BACKBONES[backbone]
    counts = dict(backbone_parameters(backbone, channels))

    def half(size: tuple[int, int]) -> tuple[int, int]:
        return (size[0] + 1) // 2, (size[1] + 1) // 2

    size = half(input_size)
    stem_macs = counts["conv1.weight"] * size[0] * size[1]
    size = half(size)
    costs = [PieceCost(shape=(64, *size), macs=stem_macs)]
    for name in pieces(backbone)[1:-1]:
        stage, block = int(name[5]), int(name.split(".")[1])
        outputs, inner = 64 * 2 ** (stage - 1) * arch.expansion, arch.inner_width(stage)
        if ".conv" in name:
            last = name.endswith(f"conv{arch.num_convolutions}")
            macs = counts[f"{name}.weight"] * size[0] * size[1]
            costs.append(PieceCost(shape=(outputs + (outputs if last else inner), *size), macs=macs))
            continue
        macs = 0
        if _resizes(arch, stage, block):
            before = size
            size = half(size) if stage > 1 else size
            for parameter, count in counts.items():
                if parameter.startswith(name + ".") and not is_norm(parameter):
                    # in bottlenecks the second convolution has the stride, so the first works on the larger map
                    first = arch.expansion > 1 and parameter.endswith("conv1.weight")
                    pixels = before if first else size
                    macs += count * pixels[0] * pixels[1]
        costs.append(PieceCost(shape=(outputs, *size), macs=macs))
    costs.append(PieceCost(shape=(arch.num_features,), macs=0))
    return tuple(costs)


@lru_cache
def piece_tensors(backbone: str, channels: int = 3) -> tuple[int, ...]:
    """How many parameter tensors each of the `pieces` has; in order, so that they add up to `backbone_parameters`.

    A convolution within a block brings the BatchNorm layer before it along.
    """
    names = [name for name, _ in backbone_parameters(backbone, channels)]
    whole = pieces(backbone)
    counts = []
    for piece in whole:
        if piece == "pool":
            counts.append(0)
        elif piece == "stem":
            counts.append(3)
        elif ".conv" in piece:
            counts.append(1 if piece.endswith("conv1") else 3)
        elif f"{piece}.conv1" in whole:
            counts.append(2)
        else:
            counts.append(sum(name.startswith(piece + ".") for name in names))
    return tuple(counts)


def cut_point(backbone: str, num_frozen: int, *, channels: int = 3) -> int:
    """How many leading `pieces` are frozen whole; their outputs cannot change while the rest is trained.

    Args:
        num_frozen: from `freezing.freeze_point`.
    """
    ends = accumulate(piece_tensors(backbone, channels))
    return next((index for index, end in enumerate(ends) if end > num_frozen), len(pieces(backbone)))


MAX_PRODUCT_PX = {"bf16": 3, "fp32": 1}
"""Largest side of a convolution's output for which a matrix product is quicker on a CPU (`model.convolution`). Forward
and backward of 512 channels, 3 x 3, batches of 8 to 128 (AVX-512, oneDNN): bf16 1.1 to 1.7 times for 3 x 3 outputs,
1.5 to 2.1 for 2 x 2, 7 to 13 for 1 x 1, and no gain for 4 x 4; fp32 4.5 to 5.4 for 1 x 1 and a loss beyond."""

MIN_CHANNELS_LAST_PX = 4
"""Least side of a feature map for which `channels_last` gains without such products. On the same machine a ResNet-18
on 64 pixels trained 171 to 192 images/s with it up to 4 x 4 maps, and 167 when the 2 x 2 maps of layer4 had it too."""


def channels_last_pieces(
    backbone: str, input_size: tuple[int, int], memory_format: str, precision: str
) -> tuple[bool, ...]:
    """For each of the `pieces` whether its feature maps are laid out so."""
    if memory_format != "channels_last":
        return (False,) * len(pieces(backbone))
    shapes = [cost.shape for cost in piece_costs(backbone, 3, input_size)]
    return tuple(
        len(shape) == 3 and (min(shape[1:]) >= MIN_CHANNELS_LAST_PX or max(shape[1:]) <= MAX_PRODUCT_PX[precision])
        for shape in shapes
    )


@lru_cache
def backbone_parameters(backbone: str, channels: int = 3) -> tuple[tuple[str, int], ...]:
    """Names and element counts of all backbone parameters, in order; see `parameter_shapes`."""
    return tuple((name, math.prod(shape)) for name, shape in parameter_shapes(backbone, channels))


@lru_cache
def parameter_shapes(backbone: str, channels: int = 3) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and shapes of all backbone parameters, in order.

    Args:
        backbone: a key of `BACKBONES`.
        channels: C of the images.
    """
    arch = BACKBONES[backbone]

    def parameters() -> Iterator[tuple[str, tuple[int, ...]]]:
        yield "conv1.weight", (64, channels, 7, 7)
        yield from _norm("bn1", 64)
        inputs = 64
        for stage, num_blocks in enumerate(arch.num_blocks):
            outputs, inner = 64 * 2**stage * arch.expansion, arch.inner_width(stage + 1)
            for block in range(num_blocks):
                convolutions: tuple[tuple[int, int, int], ...]
                prefix = f"layer{stage + 1}.{block}"
                if arch.expansion == 1:
                    convolutions = ((inputs, inner, 3), (inner, inner, 3))
                else:
                    convolutions = ((inputs, inner, 1), (inner // arch.groups, inner, 3), (inner, outputs, 1))
                for number, (before, after, kernel) in enumerate(convolutions, start=1):
                    yield f"{prefix}.conv{number}.weight", (after, before, kernel, kernel)
                    yield from _norm(f"{prefix}.bn{number}", after)
                if _resizes(arch, stage + 1, block):
                    yield f"{prefix}.downsample.0.weight", (outputs, inputs, 1, 1)
                    yield from _norm(f"{prefix}.downsample.1", outputs)
                inputs = outputs

    return tuple(parameters())


def num_trainable(
    backbone: str,
    num_frozen: int,
    *,
    bn: str,
    head: HeadSpec,
    num_outputs: int,
    channels: int = 3,
) -> int:
    """Parameters that train, head included.

    Args:
        num_frozen: from `freezing.freeze_point`.
        num_outputs: logits of the head: 1 with binary cross-entropy, else the number of classes K.
    """
    parameters = backbone_parameters(backbone, channels)
    count = sum(size for _, size in parameters[num_frozen:])
    if bn == "train_affine":
        count += sum(size for name, size in parameters[:num_frozen] if is_norm(name))
    return count + head.num_parameters(BACKBONES[backbone].num_features, num_outputs)


def is_norm(parameter: str) -> bool:
    """Whether a parameter of this name belongs to a BatchNorm layer."""
    module = parameter.rsplit(".", 1)[0].rsplit(".", 1)[-1]
    return module.startswith("bn") or parameter.rsplit(".", 1)[0].endswith("downsample.1")
