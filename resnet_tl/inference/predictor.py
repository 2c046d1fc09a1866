"""What stored networks say of pixels: one interface for one network, and for the mean of several.

Axes: B images, C channels, H W pixels, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_tl.data.batches import centre, to_unit
from resnet_tl.data.decode import Resize, Rules
from resnet_tl.errors import CheckpointError, ConfigError
from resnet_tl.inference.ensemble import Rule, is_ensemble, read_ensemble
from resnet_tl.inference.export import normalisation_of, rebuild
from resnet_tl.metrics import Floats, log_softmax
from resnet_tl.model.checkpoint import Card
from resnet_tl.model.head_module import class_logits
from resnet_tl.model.network import Network
from resnet_tl.model.runtime import computing
from resnet_tl.option_text import expand, load_yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How images become the pixels that a network is shown; see the same fields of `Card`."""

    channels: int
    size: tuple[int, int]
    resized: bool
    resize: Resize
    crop: int | None
    bits: int | None
    max_pixels: int

    @property
    def rules(self) -> Rules:
        """For the decoder. A network that saw no more than 8 bits reads deeper images as 16 bits, or not at all."""
        return Rules(
            channels=self.channels,
            size=self.size[0] if self.resized else None,
            resize=self.resize,
            bits=self.bits or 16,
            max_pixels=self.max_pixels,
        )


def reading_of(card: Card) -> Reading:
    """How a network's images are read."""
    return Reading(**{field.name: getattr(card, field.name) for field in fields(Reading)})


class Predictor(Protocol):
    """Maps pixels to class probabilities."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes, in the order of probabilities."""

    @property
    def reading(self) -> Reading:
        """How images become pixels for it."""

    @property
    def cards(self) -> tuple[Card, ...]:
        """What stands beside the networks it is made of."""

    def log_p_BK(self, pixels_BCHW: NDArray[np.generic]) -> Floats:
        """Log probability of each class, of images as they were decoded: uint8, or float32 in [0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OneNetwork:
    """See `Predictor`: a stored network, in full precision."""

    folder: Path
    network: Network
    card: Card
    device: str

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Predictor`."""
        return self.card.classes

    @property
    def reading(self) -> Reading:
        """See `Predictor`."""
        return reading_of(self.card)

    @property
    def cards(self) -> tuple[Card, ...]:
        """See `Predictor`."""
        return (self.card,)

    def inputs_BCHW(self, pixels_BCHW: NDArray[np.generic]) -> torch.Tensor:
        """What the network is fed: the centre crop, normalised, on the network's device."""
        normalise = normalisation_of(self.card)
        return normalise(centre(to_unit(pixels_BCHW, self.device), self.card.crop))

    def log_p_BK(self, pixels_BCHW: NDArray[np.generic]) -> Floats:
        """See `Predictor`."""
        with computing(device=self.device), torch.inference_mode():
            logits_BK = class_logits(self.network(self.inputs_BCHW(pixels_BCHW)))
        return log_softmax(logits_BK.double().cpu().numpy())


@dataclass(frozen=True, kw_only=True, slots=True)
class Together:
    """See `Predictor`: several networks that answer as one."""

    members: tuple[OneNetwork, ...]
    rule: Rule | None
    """Of a stored ensemble, which combines what the members say; None for the mean of their probabilities."""

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Predictor`."""
        return self.members[0].classes

    @property
    def reading(self) -> Reading:
        """See `Predictor`."""
        return self.members[0].reading

    @property
    def cards(self) -> tuple[Card, ...]:
        """See `Predictor`."""
        return tuple(member.card for member in self.members)

    def log_p_BK(self, pixels_BCHW: NDArray[np.generic]) -> Floats:
        """See `Predictor`."""
        log_p_MBK = np.stack([member.log_p_BK(pixels_BCHW) for member in self.members])
        if self.rule is None:
            # added as logarithms: probabilities of 1e-400, which sure networks give, are 0 as floats
            mean_BK: Floats = np.logaddexp.reduce(log_p_MBK, axis=0) - np.log(len(self.members))
            return mean_BK
        log_p_BK: Floats = np.log(np.maximum(self.rule.combine(np.exp(log_p_MBK)), np.finfo(np.float64).tiny))
        return log_p_BK


def one_network(folder: Path, *, device: str = "cpu") -> OneNetwork:
    """Loads a stored network.

    Raises:
        CheckpointError: it is damaged, or its starting weights cannot be had.
    """
    with computing(device=device):
        network, card = rebuild(folder)
        network.to(device)
    return OneNetwork(folder=folder, network=network, card=card, device=device)


def predictor_of(paths: Path | Sequence[Path], *, device: str = "cpu") -> Predictor:
    """Loads one stored network, an ensemble, or several networks whose probabilities are averaged.

    Raises:
        CheckpointError: one cannot be rebuilt, or they differ in their classes or in how they read images.
    """
    folders = [paths] if isinstance(paths, Path) else list(paths)
    rule: Rule | None = None
    if len(folders) == 1 and is_ensemble(folders[0]):
        stored = read_ensemble(folders[0])
        folders, rule = list(stored.folders), stored.rule
    together = [str(folder) for folder in folders if is_ensemble(folder)]
    if together:
        raise CheckpointError(f"Networks are averaged, not ensembles of them, but got {', '.join(together)}.")
    members = tuple(one_network(folder, device=device) for folder in folders)
    first, *others = members
    if not others and rule is None:
        return first
    problems = []
    for other in others:
        if other.classes != first.classes:
            problems.append(
                f"Networks that are averaged must have the same classes in the same order, but {first.folder} has "
                f"{_listed(first.classes)} and {other.folder} has {_listed(other.classes)}."
            )
        differing = [
            f"{field.name} {getattr(first.reading, field.name)} and {getattr(other.reading, field.name)}"
            for field in fields(Reading)
            if getattr(first.reading, field.name) != getattr(other.reading, field.name)
        ]
        if differing:
            problems.append(
                f"Networks that are averaged must read images alike, but {first.folder} and {other.folder} have "
                f"{', '.join(differing)}."
            )
    if problems:
        raise CheckpointError(*problems)
    return Together(members=members, rule=rule)


def _listed(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def checkpoints_of(text: str) -> list[Path]:
    """The checkpoint folders that `checkpoint=` names: one path, of the folder or a file in it, or a `[…]` list.

    Raises:
        ConfigError: the list is empty, or names a folder twice.
    """
    whole = expand(text, "checkpoint")
    items = [text]
    if text.startswith("[") and not whole.exists():
        listed = load_yaml(text, "`checkpoint`")
        items = [str(item) for item in listed] if isinstance(listed, list) else [text]
    paths = [expand(item, "checkpoint") for item in items]
    folders = [path.parent if path.suffix in (".json", ".safetensors") else path for path in paths]
    if not folders or len({folder.resolve() for folder in folders}) < len(folders):
        raise ConfigError(f"`checkpoint` must name a network, or several, each once, but got {text}.")
    return folders
