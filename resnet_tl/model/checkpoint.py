"""A trained network on disk, whole or as what moved since its starting weights.

    FOLDER/model.safetensors   tensors
    FOLDER/model.json          all that is needed to rebuild the network and to feed it; sha256 of the tensors

A fit that froze something stores only the tensors that could move, and names its starting weights by address and
sha256: a whole ResNet-18 would be 45 MB per seed run. `complete` checkpoints need nothing else.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from resnet_tl.config import MAX_PIXELS, FirstLayer
from resnet_tl.data.decode import Resize
from resnet_tl.errors import CheckpointError
from resnet_tl.files import replacing, replacing_folder, sha256_of
from resnet_tl.identity import version_of

FORMAT = 1

BEFORE = {"first_layer": "luma", "resize": "crop", "bits": 16, "max_pixels": MAX_PIXELS}
"""What held for networks whose card does not say it, since it was written before there was a choice."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What stands in model.json beside the tensors."""

    trial: dict[str, Any]
    classes: tuple[str, ...]
    channels: int
    num_outputs: int
    num_frozen: int
    size: tuple[int, int]
    """Pixels H, W of the images before cropping."""
    resized: bool
    """Whether images are fitted to `size`, or had it."""
    resize: Resize
    """How they are fitted."""
    bits: int | None
    """Bits that hold the grey values of images that store more than 8; None where the network saw none."""
    max_pixels: int
    """Larger images are refused."""
    crop: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int
    epoch: int
    metrics: dict[str, float]
    base: dict[str, str] | None
    """`address` and `sha256` of the starting weights that frozen tensors come from; None when complete."""
    first_layer: FirstLayer
    """How those weights fit the images, where their channels differ; cards from before there was a choice have none,
    and their networks `luma`."""
    versions: dict[str, str]
    tensors_sha256: str = ""


def save(folder: Path, tensors: dict[str, Tensor], card: Card) -> None:
    """Writes a checkpoint; a reader finds the old one or the new one, never half of it."""
    with replacing_folder(folder) as making:
        # contiguous copies: safetensors refuses views and shared memory
        save_file(
            {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()},
            making / "model.safetensors",
        )
        content = {"format": FORMAT} | asdict(replace(card, tensors_sha256=sha256_of(making / "model.safetensors")))
        (making / "model.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_card(folder: Path) -> Card:
    """Reads model.json.

    Raises:
        CheckpointError: it is missing, damaged, or of another format.
    """
    path = folder / "model.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise CheckpointError(f"{path} must have format {FORMAT}; another version of this program wrote it.")
        for name in ("classes", "size", "mean", "std"):
            content[name] = tuple(content[name])
        content = BEFORE | content
        return Card(**content)
    except FileNotFoundError:
        inner = folder / "checkpoint"
        hint = f" Did you mean {inner}?" if (inner / "model.json").exists() else ""
        raise CheckpointError(f"{folder} must be a checkpoint folder, but holds no model.json.{hint}") from None
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from None


def read_tensors(folder: Path, card: Card) -> dict[str, Tensor]:
    """Reads and checks the tensors.

    Raises:
        CheckpointError: the file is missing or differs from its hash.
    """
    path = folder / "model.safetensors"
    try:
        found = sha256_of(path)
        if found != card.tensors_sha256:
            raise CheckpointError(
                f"{path} must have sha256 {card.tensors_sha256[:12]}…, but has {found[:12]}…: it is damaged."
            )
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None


def versions() -> dict[str, str]:
    """Versions of the libraries that decide the numbers."""
    return {name: version_of(name) for name in ("torch", "torchvision", "pillow", "numpy")}


def write_torch(path: Path, content: dict[str, Any]) -> None:
    """Stores a training state atomically, so that a kill leaves the old one or the new one."""
    with replacing(path) as stream:
        torch.save(content, stream)
