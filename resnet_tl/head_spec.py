"""Which heads there are, as data: `HEADS` lists the named ones, `spec_of` says what a trial asks for.

Planning counts parameters and groups trials by their heads, so nothing here needs torch. `model.heads` makes modules of
specs, `training.head_kernel` trains many at a time. A new named head is a line in `HEADS`; a new activation is a name
in `Activation`, a function in `model.heads.ACTIVATIONS` and its derivative in `head_kernel.DERIVATIVES`. Other
distributions bring heads, with activations, by entry points.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from resnet_tl.parts import load

if TYPE_CHECKING:
    from resnet_tl.config import TrialConfig

Norm = Literal["none", "batch"]
Activation = Literal["relu", "leaky_relu"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSpec:
    """A classifier on pooled features: one layer, or a hidden one, its norm, activation and dropout, and another."""

    width: int | None
    """Hidden units H; None is a single layer."""
    norm: Norm = "none"
    activation: str = "relu"
    """Of `Activation`; or, of a head that another distribution brings, `module:function`, an elementwise function of
    torch, which is imported where a network is built."""
    dropout: float = 0.0
    """Share of hidden units dropped while training."""

    def num_parameters(self, num_features: int, num_outputs: int) -> int:
        """Parameters that train."""
        if self.width is None:
            return (num_features + 1) * num_outputs
        norm = 2 * self.width if self.norm == "batch" else 0
        return (num_features + 1) * self.width + norm + (self.width + 1) * num_outputs


HEADS = {
    "linear": HeadSpec(width=None),
    "mlp_relu": HeadSpec(width=256),
    "mlp_leaky_dropout": HeadSpec(width=256, activation="leaky_relu", dropout=0.5),
    "mlp_batchnorm": HeadSpec(width=256, norm="batch"),
    "mlp": HeadSpec(width=256),
}
HEADS |= load("resnet_tl.heads", built_in=HEADS, must="a `HeadSpec`", fits=lambda _, value: isinstance(value, HeadSpec))
"""Named heads, those of other distributions behind. The width of a hidden layer is the trial's to choose, and so is
dropout where the head has any."""

OPEN = "mlp"
"""The head whose parts are all the trial's to choose."""

OPTIONS = ("head_width", "head_norm", "head_activation", "dropout")


def options_of(head: str) -> tuple[str, ...]:
    """Those of `OPTIONS` that have an effect on a named head."""
    if head == OPEN:
        return OPTIONS
    spec = HEADS[head]
    return ("head_width",) * (spec.width is not None) + ("dropout",) * (spec.dropout > 0)


def spec_of(trial: "TrialConfig") -> HeadSpec:
    """The head that a trial asks for."""
    spec, options = HEADS[trial.head], options_of(trial.head)
    if "head_width" in options:
        spec = replace(spec, width=trial.head_width)
    if "head_norm" in options:
        spec = replace(spec, norm=trial.head_norm)
    if "head_activation" in options:
        spec = replace(spec, activation=trial.head_activation)
    if "dropout" in options and trial.dropout is not None:
        spec = replace(spec, dropout=trial.dropout)
    return spec


def idle_head_options(trial: "TrialConfig", given: Iterable[str]) -> list[str]:
    """A sentence for each option that the user gave and that has no effect on the chosen head.

    Args:
        given: names of options of a trial.
    """
    sentences = []
    for option in (name for name in given if name in OPTIONS and name not in options_of(trial.head)):
        heads = [name for name in HEADS if option in options_of(name)]
        sentences.append(
            f"`{option}` must be left out with `head: {trial.head}`, on which it has no effect; it works with "
            f"{', '.join(heads)}."
        )
    return sentences


def criterion_for(trial: "TrialConfig | None", num_classes: int) -> str:
    """`bce` for two classes unless the trial says otherwise, else `cross_entropy`."""
    return (trial and trial.criterion) or ("bce" if num_classes == 2 else "cross_entropy")


def num_outputs_of(trial: "TrialConfig", num_classes: int) -> int:
    """Logits of the network: one with binary cross-entropy, else one per class."""
    return 1 if criterion_for(trial, num_classes) == "bce" else num_classes
