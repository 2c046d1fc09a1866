"""Backbone, head and freeze policy as one module, which may be cut in two: a frozen prefix, and the tail that trains.

Axes: B images, C channels, H W pixels, F features, H hidden units of the head, K outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resnet_tl.architecture import BACKBONES, backbone_parameters, channels_last_pieces, is_norm, pieces
from resnet_tl.batching import PREFIX_BATCH
from resnet_tl.config import TrialConfig
from resnet_tl.freezing import cut_of, freeze_point
from resnet_tl.head_spec import spec_of
from resnet_tl.model.convolution import Convolution
from resnet_tl.model.head_module import Head, init_head
from resnet_tl.seeding import derive


class Network(nn.Module):
    """A ResNet with a new head, of which the first parameters may be frozen.

    Args:
        num_frozen: parameter tensors of the backbone, in order, that stay fixed.
        bn: what BatchNorm layers of the frozen part do; see `TrialConfig.bn`.
        cut: leading pieces (`architecture.pieces`) that make up the prefix; all of them frozen.
        channels_last: for each piece whether its feature maps are laid out so.
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
        self._blocks = _blocks(backbone)
        self.num_pieces = sum(block.num_pieces for block in self._blocks)
        self.channels_last = tuple(channels_last or (False,) * self.num_pieces)
        assert len(self.channels_last) == self.num_pieces
        for block in self._blocks:
            if self.channels_last[block.first]:
                block.module.to(memory_format=torch.channels_last)
                for module in block.module.modules():
                    if isinstance(module, Convolution):
                        module.as_product = True

    def forward(self, images_BCHW: Tensor, keep_BH: Tensor | None = None) -> Tensor:
        """Logits [B, K]."""
        return self.tail(self.prefix(images_BCHW), keep_BH)

    def prefix(self, images_BCHW: Tensor) -> Tensor:
        """What the tail is fed: outputs of the pieces before the cut, or the images themselves."""
        if self.cut == 0:
            return images_BCHW
        with torch.no_grad():
            parts = []
            for part in torch.split(images_BCHW, PREFIX_BATCH):
                parts.append(self.prefix_outputs(part, [self.cut])[self.cut])
            return torch.cat(parts)

    def tail(self, inputs_B: Tensor, keep_BH: Tensor | None = None) -> Tensor:
        """Logits [B, K] from what `prefix` gives."""
        logits: Tensor = self.head(self._through(inputs_B, self.cut, self.num_pieces), keep_BH)
        return logits

    def _through(self, inputs_B: Tensor, first: int, end: int) -> Tensor:
        for block in self._blocks:
            begin, stop = max(first - block.first, 0), min(end - block.first, block.num_pieces)
            if begin >= stop:
                continue
            last = self.channels_last[block.first]
            layout = torch.channels_last if last else torch.contiguous_format
            if inputs_B.dim() == 4:
                inputs_B = inputs_B.contiguous(memory_format=layout)
            if stop - begin == block.num_pieces:
                inputs_B = block.forward(inputs_B)
            else:
                inputs_B = _partly(block.module, inputs_B, begin, stop, layout)
        return inputs_B

    def prefix_outputs(self, images_BCHW: Tensor, cuts: Sequence[int]) -> dict[int, Tensor]:
        """Outputs at several cuts in one pass over at most `PREFIX_BATCH` images, filled up to that number."""
        count = len(images_BCHW)
        assert count <= PREFIX_BATCH
        outputs, before = {}, 0
        with torch.no_grad():
            if count < PREFIX_BATCH:
                images_BCHW = torch.cat([images_BCHW, images_BCHW[-1:].expand(PREFIX_BATCH - count, -1, -1, -1)])
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """A part of a ResNet's forward pass, with the module whose weights it uses."""

    module: nn.Module
    forward: Callable[[Tensor], Tensor]
    first: int
    """Number of its first piece."""
    num_pieces: int


def _blocks(backbone: Any) -> list[_Block]:
    """A ResNet's forward pass, in pieces as `architecture.pieces` names them."""

    def stem(images_BCHW: Tensor) -> Tensor:
        maps_BCHW: Tensor = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(images_BCHW))))
        return maps_BCHW

    def pool(maps_BCHW: Tensor) -> Tensor:
        return torch.flatten(backbone.avgpool(maps_BCHW), 1)

    found = [_Block(module=nn.ModuleList([backbone.conv1, backbone.bn1]), forward=stem, first=0, num_pieces=1)]
    for module in [block for number in (1, 2, 3, 4) for block in getattr(backbone, f"layer{number}")]:
        number = 1 if module.downsample is not None else 1 + len(_convolutions(module))
        found.append(
            _Block(module=module, forward=module, first=found[-1].first + found[-1].num_pieces, num_pieces=number)
        )
    last = found[-1].first + found[-1].num_pieces
    return [*found, _Block(module=backbone.avgpool, forward=pool, first=last, num_pieces=1)]


def _convolutions(block: Any) -> list[tuple[nn.Module, nn.Module]]:
    """Convolutions of a residual block, each with the BatchNorm layer behind it."""
    numbers = [number for number in (1, 2, 3) if hasattr(block, f"conv{number}")]
    return [(getattr(block, f"conv{number}"), getattr(block, f"bn{number}")) for number in numbers]


def _partly(block: Any, inputs_BCHW: Tensor, first: int, end: int, layout: torch.memory_format) -> Tensor:
    """Some pieces of a block that adds its input as it is; what is still to be added travels in the first channels."""
    layers = _convolutions(block)
    shortcut_BCHW = maps_BCHW = inputs_BCHW
    if first > 0:
        num_channels = block.conv1.in_channels
        shortcut_BCHW = inputs_BCHW[:, :num_channels].contiguous(memory_format=layout)
        maps_BCHW = inputs_BCHW[:, num_channels:].contiguous(memory_format=layout)
    for number in range(first, min(end, len(layers))):
        if number > 0:
            maps_BCHW = block.relu(layers[number - 1][1](maps_BCHW))
        maps_BCHW = layers[number][0](maps_BCHW)
    if end <= len(layers):
        return torch.cat([shortcut_BCHW, maps_BCHW], 1)
    outputs_BCHW: Tensor = block.relu(layers[-1][1](maps_BCHW) + shortcut_BCHW)
    return outputs_BCHW


def build_backbone(
    name: str, channels: int, *, state: dict[str, Tensor] | None = None, seed: int | None = None
) -> nn.Module:
    """A ResNet of torchvision's making without its classifier, with convolutions of ours.

    Args:
        state: its parameters and buffers; or
        seed: draw them from this run's stream, by torchvision's initialisation.
    """
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

    arch = BACKBONES[name]

    def make() -> Any:
        network: Any = ResNet(
            BasicBlock if arch.expansion == 1 else Bottleneck,
            list(arch.num_blocks),
            groups=arch.groups,
            width_per_group=arch.width_per_group,
        )
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
            # not `torch.manual_seed`, which seeds GPUs too, where nothing would be put back
            torch.default_generator.manual_seed(derive(seed, "backbone_init"))
            return _with_convolutions(make())
    with torch.device("meta"):  # no time spent drawing what is overwritten
        network = make()
    network.load_state_dict(state, assign=True)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return _with_convolutions(network)


def _with_convolutions(backbone: nn.Module) -> nn.Module:
    for name, module in list(backbone.named_modules()):
        if isinstance(module, nn.Conv2d):
            backbone.set_submodule(name, Convolution.like(module))
    return backbone


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
    head = Head(spec_of(trial), BACKBONES[trial.backbone].num_features, num_outputs)
    init_head(head, seed)
    assert [n for n, _ in backbone.named_parameters()] == [n for n, _ in backbone_parameters(trial.backbone, channels)]
    num_frozen = freeze_point(trial.backbone, trial.freeze, trainable_blocks=trial.trainable_blocks, channels=channels)
    network = Network(
        backbone,
        head,
        num_frozen=num_frozen,
        bn=trial.bn,
        cut=cut_of(trial, channels),
        channels_last=channels_last_pieces(trial.backbone, input_size, trial.memory_format, trial.precision),
    )
    assert network.num_pieces == len(pieces(trial.backbone))
    return network
