"""Heads as modules: what a `HeadSpec` looks like in torch, and how its weights begin.

Axes: B images, F features, H hidden units, K classes or outputs, O outputs.
"""

import math
import pkgutil
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from resnet_tl.head_spec import HeadSpec
from resnet_tl.seeding import derive

LEAKY_SLOPE = 0.01

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "leaky_relu": partial(nn.functional.leaky_relu, negative_slope=LEAKY_SLOPE),
}


def activation_of(name: str) -> Callable[[Tensor], Tensor]:
    """The function of a `HeadSpec.activation`."""
    found: Callable[[Tensor], Tensor] = ACTIVATIONS[name] if name in ACTIVATIONS else pkgutil.resolve_name(name)
    return found


class Head(nn.Module):
    """Classifier on pooled features. Returns logits; no softmax or sigmoid.

    Its weights have no values before `init_head` or `load_state_dict`.
    """

    def __init__(self, spec: HeadSpec, num_features: int, num_outputs: int) -> None:
        super().__init__()
        self.spec = spec
        self.hidden = _linear(num_features, spec.width) if spec.width is not None else None
        self.norm = nn.BatchNorm1d(spec.width) if spec.width is not None and spec.norm == "batch" else None
        self.out = _linear(num_features if spec.width is None else spec.width, num_outputs)

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
        hidden_BH = activation_of(self.spec.activation)(hidden_BH)
        if keep_BH is not None:
            hidden_BH = hidden_BH * keep_BH / (1 - self.spec.dropout)
        logits_BK = self.out(hidden_BH)
        return logits_BK


def _linear(num_inputs: int, num_outputs: int) -> nn.Linear:
    """A layer whose weights are still to be drawn; torch's own draws would move the process's generator."""
    layer: nn.Linear = skip_init(nn.Linear, num_inputs, num_outputs)  # type: ignore[no-untyped-call]
    return layer


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


def class_logits(outputs_BO: Tensor) -> Tensor:
    """One logit per class [B, K]; a binary network's single logit z becomes [0, z], whose softmax is its sigmoid.

    Args:
        outputs_BO: with any axes in front.
    """
    if outputs_BO.shape[-1] > 1:
        return outputs_BO
    return torch.cat([torch.zeros_like(outputs_BO), outputs_BO], dim=-1)
