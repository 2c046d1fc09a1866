"""Backbone, head and freeze policy as one module, which may be cut in two: a frozen front, and the tail that trains.

Axes: B images, C channels, H W pixels, F features, H hidden units of the head, K outputs.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from resnet_tl.config import TrialConfig
from resnet_tl.front import FRONT_BATCH, cut_of
from resnet_tl.model.architecture import (
    BACKBONES,
    backbone_parameters,
    blocks,
    channels_last_blocks,
    freeze_point,
    is_norm,
)
from resnet_tl.seeding import derive

LEAKY_SLOPE = 0.01


class Head(nn.Module):
    """Classifier on pooled features. Returns logits; no softmax or sigmoid."""

    def __init__(self, kind: str, num_features: int, width: int, num_outputs: int, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        self.dropout = dropout if kind == "mlp_leaky_dropout" else 0.0
        self.hidden = nn.Linear(num_features, width) if kind != "linear" else None
        self.norm = nn.BatchNorm1d(width) if kind == "mlp_batchnorm" else None
        self.out = nn.Linear(num_features if kind == "linear" else width, num_outputs)

    def forward(self, features_BF: Tensor, keep_BH: Tensor | None = None) -> Tensor:
        """Logits [B, K].

        Args:
            keep_BH: which hidden units stay in this training step; None while evaluating.
        """
        if self.hidden is None:
            logits_BK: Tensor = self.out(features_BF)
            return logits_BK
        hidden_BH = self.hidden(features_BF)
        if self.norm is not None:
            hidden_BH = self.norm(hidden_BH)
        if self.kind == "mlp_leaky_dropout":
            hidden_BH = nn.functional.leaky_relu(hidden_BH, LEAKY_SLOPE)
            if keep_BH is not None:
                hidden_BH = hidden_BH * keep_BH / (1 - self.dropout)
        else:
            hidden_BH = nn.functional.relu(hidden_BH)
        logits_BK = self.out(hidden_BH)
        return logits_BK


def init_head(head: Head, seed: int) -> None:
    """Draws a head's weights from the run's own stream.

    Source: torch.nn.Linear's default, uniform within 1/sqrt(fan_in), for weights and biases.
    """
    generator = torch.Generator().manual_seed(derive(seed, "head_init"))
    for layer in (head.hidden, head.out):
        if layer is not None:
            bound = 1 / math.sqrt(layer.in_features)
            for parameter in (layer.weight, layer.bias):
                nn.init.uniform_(parameter, -bound, bound, generator=generator)


class Network(nn.Module):
    """A ResNet with a new head, of which the first parameters may be frozen.

    Args:
        num_frozen: parameter tensors of the backbone, in order, that stay fixed.
        bn: what BatchNorm layers of the frozen part do; see `TrialConfig.bn`.
        cut: leading blocks that make up the front; all of them frozen.
        channels_last: for each block whether its feature maps are laid out so.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: Head,
        *,
        num_frozen: int,
        bn: str,
        cut: int = 0,
        channels_last: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.num_frozen = num_frozen
        frozen = [name for name, _ in list(backbone.named_parameters())[:num_frozen]]
        for name in frozen:
            if not (bn == "train_affine" and is_norm(name)):
                backbone.get_parameter(name).requires_grad_(False)
        stored_statistics = (
            {name.rsplit(".", 1)[0] for name in frozen if is_norm(name)} if bn != "batch_stats" else set()
        )
        self.still_norms = [backbone.get_submodule(name) for name in sorted(stored_statistics)]
        self._still_names = stored_statistics
        self.cut = cut
        self._steps = _steps(backbone)
        self.channels_last = tuple(channels_last or (False,) * len(self._steps))
        for (module, _), last in zip(self._steps, self.channels_last, strict=True):
            if last:
                module.to(memory_format=torch.channels_last)

    def forward(self, images_BCHW: Tensor, keep_BH: Tensor | None = None) -> Tensor:
        """Logits [B, K]."""
        return self.tail(self.front(images_BCHW), keep_BH)

    def front(self, images_BCHW: Tensor) -> Tensor:
        """What the tail is fed: outputs of the blocks before the cut, or the images themselves."""
        if self.cut == 0:
            return images_BCHW
        with torch.no_grad():
            parts = []
            for part in torch.split(images_BCHW, FRONT_BATCH):
                parts.append(self.front_outputs(part, [self.cut])[self.cut])
            return torch.cat(parts)

    def tail(self, inputs_B: Tensor, keep_BH: Tensor | None = None) -> Tensor:
        """Logits [B, K] from what `front` gives."""
        logits: Tensor = self.head(self._through(inputs_B, self.cut, len(self._steps)), keep_BH)
        return logits

    def _through(self, inputs_B: Tensor, first: int, end: int) -> Tensor:
        for (_, step), last in zip(self._steps[first:end], self.channels_last[first:end], strict=True):
            if inputs_B.dim() == 4:
                inputs_B = inputs_B.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
            inputs_B = step(inputs_B)
        return inputs_B

    def front_outputs(self, images_BCHW: Tensor, cuts: Sequence[int]) -> dict[int, Tensor]:
        """Outputs at several cuts in one pass over at most `FRONT_BATCH` images, filled up to that number."""
        count = len(images_BCHW)
        assert count <= FRONT_BATCH
        outputs, before = {}, 0
        with torch.no_grad():
            if count < FRONT_BATCH:
                images_BCHW = torch.cat([images_BCHW, images_BCHW[-1:].expand(FRONT_BATCH - count, -1, -1, -1)])
            for cut in sorted(cuts):
                images_BCHW = self._through(images_BCHW, before, cut)
                outputs[cut], before = images_BCHW[:count], cut
        return outputs

    def lower_frozen(self) -> None:
        """Keeps frozen convolutions in bfloat16: autocast would convert them anew in every step, to the same bits."""
        for name, parameter in self.backbone.named_parameters():
            if not parameter.requires_grad and not is_norm(name):
                parameter.data = parameter.data.bfloat16()

    def train(self, mode: bool = True) -> "Network":
        """As usual, but BatchNorm of the frozen part stays in eval mode, so that its statistics do not move."""
        super().train(mode)
        for norm in self.still_norms:
            norm.eval()
        return self

    def moving(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors that training can change: all that a checkpoint must hold."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                yield name, parameter
        for name, buffer in self.named_buffers():
            module = name.removeprefix("backbone.").rsplit(".", 1)[0]
            if not (name.startswith("backbone.") and module in self._still_names):
                yield name, buffer

    def num_trainable(self) -> int:
        """Parameters that train, head included."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def _steps(backbone: Any) -> list[tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    """A ResNet's forward pass as `architecture.blocks` names it: each step with the module whose weights it uses."""

    def stem(images_BCHW: Tensor) -> Tensor:
        maps_BCHW: Tensor = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(images_BCHW))))
        return maps_BCHW

    def pool(maps_BCHW: Tensor) -> Tensor:
        return torch.flatten(backbone.avgpool(maps_BCHW), 1)

    layers = [block for number in (1, 2, 3, 4) for block in getattr(backbone, f"layer{number}")]
    return [
        (nn.ModuleList([backbone.conv1, backbone.bn1]), stem),
        *((block, block) for block in layers),
        (backbone.avgpool, pool),
    ]


def build_backbone(
    name: str, channels: int, *, state: dict[str, Tensor] | None = None, seed: int | None = None
) -> nn.Module:
    """A torchvision ResNet without its classifier.

    Args:
        state: its parameters and buffers; or
        seed: draw them from this run's stream, by torchvision's initialisation.
    """
    import torchvision.models

    def make() -> Any:
        network: Any = getattr(torchvision.models, name)(weights=None)
        network.fc = nn.Identity()
        if channels != 3:
            old = network.conv1
            network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False, device=old.weight.device)
            if seed is not None:
                nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        return network

    if state is None:
        assert seed is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "backbone_init"))
            return cast(nn.Module, make())
    with torch.device("meta"):  # no time spent drawing what is overwritten
        network = make()
    network.load_state_dict(state, assign=True)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return cast(nn.Module, network)


def assemble(
    trial: TrialConfig,
    *,
    num_outputs: int,
    channels: int,
    seed: int,
    state: dict[str, Tensor] | None,
    input_size: tuple[int, int],
) -> Network:
    """Builds the network of one seed run on the CPU.

    Args:
        num_outputs: logits K (1 with binary cross-entropy).
        state: backbone weights that fit `channels`, or None to draw them from `seed`.
        input_size: pixels H, W.
    """
    backbone = build_backbone(trial.backbone, channels, state=state, seed=seed)
    head = Head(trial.head, BACKBONES[trial.backbone].num_features, trial.head_width, num_outputs, trial.dropout)
    init_head(head, seed)
    assert [n for n, _ in backbone.named_parameters()] == [n for n, _ in backbone_parameters(trial.backbone, channels)]
    num_frozen = freeze_point(trial.backbone, trial.freeze, trainable_blocks=trial.trainable_blocks, channels=channels)
    assert len(blocks(trial.backbone)) == len(_steps(backbone))
    return Network(
        backbone,
        head,
        num_frozen=num_frozen,
        bn=trial.bn,
        cut=cut_of(trial, channels),
        channels_last=channels_last_blocks(trial.backbone, input_size, trial.memory_format),
    )


def fit_first_layer(weight: Tensor, channels: int) -> Tensor:
    """Fits the first convolution's kernel [64, C, 7, 7] to another number of channels, keeping what it learnt.

    RGB to one channel: the luma-weighted sum, 0.299 R + 0.587 G + 0.114 B. Any other change: the mean over the old
    channels in each new one, times old/new, so that equal channels get the old response.
    """
    old = weight.shape[1]
    if old == channels:
        return weight
    if (old, channels) == (3, 1):
        luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        return (weight * luma).sum(1, keepdim=True)
    return weight.mean(1, keepdim=True).repeat(1, channels, 1, 1) * (old / channels)
