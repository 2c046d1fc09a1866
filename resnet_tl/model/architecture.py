"""Sizes of the ResNets, known without building them.

Planning a study needs the parameter counts (which freeze fractions mean the same network, how many parameters
train) and should not wait seconds for torch. A test holds these tables against torchvision's own networks.

Source: He et al. 2016, "Deep Residual Learning for Image Recognition", table 1; parameter order as torchvision
builds it, which is the order of the forward pass but for the downsample branch, last in its block.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from resnet_tl.errors import ConfigError

STAGES = ("conv1", "layer1", "layer2", "layer3", "layer4")


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One depth of ResNet."""

    num_blocks: tuple[int, int, int, int]
    """Residual blocks in layer1 … layer4."""
    expansion: int
    """Output channels of a block as a multiple of its width: 1 for basic blocks, 4 for bottlenecks."""
    imagenet_version: str
    """What `weights: imagenet` means: the best version that torchvision publishes for this depth."""

    @property
    def num_features(self) -> int:
        """Outputs F of the backbone after average pooling."""
        return 512 * self.expansion


BACKBONES = {
    "resnet18": Architecture(num_blocks=(2, 2, 2, 2), expansion=1, imagenet_version="IMAGENET1K_V1"),
    "resnet34": Architecture(num_blocks=(3, 4, 6, 3), expansion=1, imagenet_version="IMAGENET1K_V1"),
    "resnet50": Architecture(num_blocks=(3, 4, 6, 3), expansion=4, imagenet_version="IMAGENET1K_V2"),
    "resnet101": Architecture(num_blocks=(3, 4, 23, 3), expansion=4, imagenet_version="IMAGENET1K_V2"),
    "resnet152": Architecture(num_blocks=(3, 8, 36, 3), expansion=4, imagenet_version="IMAGENET1K_V2"),
}


def _norm(name: str, channels: int) -> Iterator[tuple[str, int]]:
    yield f"{name}.weight", channels
    yield f"{name}.bias", channels


@lru_cache
def backbone_parameters(backbone: str, channels: int = 3) -> tuple[tuple[str, int], ...]:
    """Names and element counts of all backbone parameters, in order.

    Args:
        backbone: a key of `BACKBONES`.
        channels: C of the images.
    """
    arch = BACKBONES[backbone]

    def parameters() -> Iterator[tuple[str, int]]:
        yield "conv1.weight", 64 * channels * 7 * 7
        yield from _norm("bn1", 64)
        inputs = 64
        for stage, num_blocks in enumerate(arch.num_blocks):
            width = 64 * 2**stage
            outputs = width * arch.expansion
            for block in range(num_blocks):
                convolutions: tuple[tuple[int, int, int], ...]
                prefix = f"layer{stage + 1}.{block}"
                if arch.expansion == 1:
                    convolutions = ((inputs, width, 3), (width, width, 3))
                else:
                    convolutions = ((inputs, width, 1), (width, width, 3), (width, outputs, 1))
                for number, (before, after, kernel) in enumerate(convolutions, start=1):
                    yield f"{prefix}.conv{number}.weight", before * after * kernel * kernel
                    yield from _norm(f"{prefix}.bn{number}", after)
                if block == 0 and (stage > 0 or inputs != outputs):
                    yield f"{prefix}.downsample.0.weight", inputs * outputs
                    yield from _norm(f"{prefix}.downsample.1", outputs)
                inputs = outputs

    return tuple(parameters())


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


def num_trainable(
    backbone: str,
    num_frozen: int,
    *,
    bn: str,
    head: str,
    head_width: int,
    num_outputs: int,
    channels: int = 3,
) -> int:
    """Parameters that train, head included.

    Args:
        num_frozen: from `freeze_point`.
        num_outputs: logits of the head: 1 with binary cross-entropy, else the number of classes K.
    """
    parameters = backbone_parameters(backbone, channels)
    count = sum(size for _, size in parameters[num_frozen:])
    if bn == "train_affine":
        count += sum(size for name, size in parameters[:num_frozen] if is_norm(name))
    features = BACKBONES[backbone].num_features
    if head == "linear":
        return count + (features + 1) * num_outputs
    count += (features + 1) * head_width + (head_width + 1) * num_outputs
    return count + (2 * head_width if head == "mlp_batchnorm" else 0)


def is_norm(parameter: str) -> bool:
    """Whether a parameter of this name belongs to a BatchNorm layer."""
    module = parameter.rsplit(".", 1)[0].rsplit(".", 1)[-1]
    return module.startswith("bn") or parameter.rsplit(".", 1)[0].endswith("downsample.1")
