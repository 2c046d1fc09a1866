"""How sweeps of W&B write the values of our options."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from resnet_tl.architecture import BACKBONES
from resnet_tl.errors import ConfigError
from resnet_tl.head_spec import HEADS
from sweeps.definition.dimension import parse_dimension
from sweeps.definition.names import last_part


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def counted_layers(option: str, name: str, content: Mapping[str, Any], values: list[Any] | None) -> list[Any]:
    """Numbers of a sweep's `freeze_layers` and the like that count layers, which are others there; or none of them.

    All numbers of a parameter mean the same: [0, 1, 2] counts, so its 1 is not the whole backbone.

    Args:
        option: `freeze`, a fraction, or `trainable_blocks`.
        name: of the parameter in the sweep.
        values: what it lists, or None for a range.
    """
    whole = True
    if values is None:
        with suppress(ConfigError):  # which is told where the parameter is placed
            dimension = parse_dimension("freeze", "freeze", dict(content), "")
            listed = dimension.enumerate()
            whole = listed is not None
            values = [dimension.low, dimension.high] if listed is None else [*listed[:2], *listed[2:][-1:]]
    numbers = [value for value in values or [] if is_number(value)]
    whole = whole and all(float(number).is_integer() for number in numbers)
    if re.search(r"(^|_)(layers?|stages?)(_|$)", last_part(name)) and whole:
        return numbers
    return numbers if option == "freeze" and not all(0 <= number <= 1 for number in numbers) else []


def _letters(value: Any) -> str:
    return re.sub(r"[^a-z0-9]", "", str(value).lower())


def _backbone(value: Any) -> Any:
    depth = re.fullmatch(r"(?:torchvision|timm|tv)?(?:resnet)?(18|34|50|101|152)(?:tvin1k|a1in1k)?", _letters(value))
    return f"resnet{depth[1]}" if depth and f"resnet{depth[1]}" in BACKBONES else None


def _weights(value: Any) -> Any:
    text = _letters(value)
    if text in ("true", "1", "yes", "imagenet", "default", "imagenet1k", "pretrained"):
        return "imagenet"
    if text in ("false", "0", "no", "none", "null", "random", "scratch", ""):
        return "none"
    return value if isinstance(value, str) else None


def _freeze(value: Any) -> Any:
    if isinstance(value, bool):
        return "all" if value else "none"
    return value if isinstance(value, str | int | float) else None


def _augment(value: Any) -> Any:
    if isinstance(value, bool):
        return None if value else "none"
    return value


def _one_of(words: Mapping[str, str]) -> Callable[[Any], Any]:
    """Finds a value by its letters, whatever their case."""
    return lambda value: words.get(_letters(value))


def _precision(value: Any) -> Any:
    text = _letters(value)
    if text in ("false", "fp32", "32", "float32", "32true"):
        return "fp32"
    return "bf16" if text in ("bf16", "bfloat16", "bf16mixed") else None


def _criterion(value: Any) -> Any:
    text = _letters(value)
    if re.search(r"bce|binarycrossentropy", text):
        return "bce"
    return "cross_entropy" if re.search(r"crossentropy|^ce(loss)?$|^nll", text) else None


_SCHEDULES = {
    "constant": "constant", "none": "constant", "null": "constant", "false": "constant", "constantlr": "constant",
    "cosine": "cosine", "cosineannealing": "cosine", "cosineannealinglr": "cosine", "cos": "cosine",
    "cosinelr": "cosine", "step": "step", "steplr": "step", "multistep": "step", "multisteplr": "step",
}  # fmt: skip
WORDS: dict[str, Callable[[Any], Any]] = {
    "backbone": _backbone,
    "weights": _weights,
    "freeze": _freeze,
    "augment": _augment,
    "optimizer": _one_of({"sgd": "sgd", "adam": "adam", "adamw": "adamw", "momentum": "sgd", "sgdmomentum": "sgd"}),
    "schedule": _one_of(_SCHEDULES),
    "criterion": _criterion,
    "precision": _precision,
    "head": lambda value: next((head for head in HEADS if _letters(head) == _letters(value)), None),
}
"""How other programs write the values of an option; those that are not here take numbers."""
