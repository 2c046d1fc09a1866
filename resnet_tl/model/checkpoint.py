"""A trained network on disk, whole or as what moved since its starting weights.

    FOLDER/model.safetensors   tensors
    FOLDER/model.json          all that is needed to rebuild the network and to feed it; sha256 of the tensors

A fit that froze something stores only the tensors that could move, and names its starting weights by address and
sha256: a whole ResNet-18 would be 45 MB per seed run. `complete` checkpoints need nothing else.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from resnet_tl.config import MAX_PIXELS, FirstLayer, TrialConfig
from resnet_tl.data.decode import Resize
from resnet_tl.errors import CheckpointError, shown
from resnet_tl.files import replacing, replacing_folder, sha256_of
from resnet_tl.head_spec import num_outputs_of
from resnet_tl.identity import version_of
from resnet_tl.option_text import problems_of
from resnet_tl.parts import identity_of

FORMAT = 1

BEFORE = {"first_layer": "luma", "resize": "crop", "bits": 16, "max_pixels": MAX_PIXELS, "images_name": None, "own": {}}
"""What held for networks whose card does not say it, since it was written before there was a choice."""

_Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What stands in model.json beside the tensors; `read_card` holds it to these types."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    trial: dict[str, Any]
    classes: tuple[str, ...]
    channels: _Count
    num_outputs: _Count
    num_frozen: Annotated[int, Field(ge=0)]
    size: tuple[_Count, _Count]
    """Pixels H, W of the images before cropping."""
    resized: bool
    """Whether images are fitted to `size`, or had it."""
    resize: Resize
    """How they are fitted."""
    bits: Annotated[int, Field(ge=8, le=16)] | None
    """Bits that hold the grey values of images that store more than 8; None where the network saw none."""
    max_pixels: _Count
    """Larger images are refused."""
    crop: _Count | None
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    seed: int
    epoch: int
    metrics: dict[str, float]
    base: dict[str, str] | None
    """`address` and `sha256` of the starting weights that frozen tensors come from; None when complete."""
    first_layer: FirstLayer
    """How those weights fit the images, where their channels differ; cards from before there was a choice have none,
    and their networks `luma`."""
    versions: dict[str, str]
    own: dict[str, str]
    """Parts that other distributions brought; the network is another with other code of theirs."""
    images_name: str | None
    """Of the images that it was trained on, with their splits; None of versions that noted none."""
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
    """Reads model.json, and checks all of it.

    Raises:
        CheckpointError: it is missing, damaged, or of another format or version.
    """
    path = folder / "model.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise CheckpointError(f"{path} must have format {FORMAT}; another version of this program wrote it.")
        # as JSON and strictly: lists are tuples there, and texts are no numbers
        card = TypeAdapter(Card).validate_json(json.dumps(BEFORE | content), strict=True)
        _require_parts(path, card)
        wrong = _contradictions(card, TrialConfig.model_validate(card.trial))
    except FileNotFoundError:
        inner = folder / "checkpoint"
        hint = f" Did you mean {inner}?" if (inner / "model.json").exists() else ""
        raise CheckpointError(f"{folder} must be a checkpoint folder, but holds no model.json.{hint}") from None
    except CheckpointError:
        raise
    except ValidationError as error:
        of_trial = error.title == TrialConfig.__name__
        wrong = problems_of(error, "trial", TrialConfig) if of_trial else _sentences(error)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {type(error).__name__} {error}.") from None
    if wrong:
        raise CheckpointError(
            f"{path} is damaged, or another version of this program wrote it:", *(f"  {line}" for line in wrong)
        )
    return card


def _require_parts(path: Path, card: Card) -> None:
    """Parts of other distributions must be here, and those that the network was trained with."""
    for what, group in (("backbone", "resnet_tl.backbones"), ("head", "resnet_tl.heads")):
        name = str(card.trial.get(what))
        identity = identity_of(group, name)
        now = f"{name} of {identity}" if identity else None
        if card.own.get(what) != now:
            trained_with = card.own.get(what, f"{name}, built in")
            raise CheckpointError(
                f"{path} needs the {what} that it was trained with, {trained_with}, but here is {now or 'none'}: "
                "install that version of its distribution."
            )


def _sentences(error: ValidationError) -> list[str]:
    return [f"`{'.'.join(map(str, d['loc']))}`: {d['msg']}, but got {d['input']!r:.80}." for d in error.errors()]


def _contradictions(card: Card, trial: TrialConfig) -> list[str]:
    """What the types of a card's fields do not say."""
    num_outputs = num_outputs_of(trial, len(card.classes))
    rules = {
        "`classes` must name two classes or more, each once": len(card.classes) == len(set(card.classes)) >= 2,
        f"`num_outputs` must be {num_outputs}": card.num_outputs == num_outputs,
        "`mean` and `std` must have a number for each channel": len(card.mean) == len(card.std) == card.channels,
        "`crop` must be at most `size`": card.crop is None or card.crop <= min(card.size),
        "`base` must have `address` and `sha256`, and no more": card.base is None
        or set(card.base) == {"address", "sha256"},
    }
    return [f"{rule}." for rule, holds in rules.items() if not holds]


def read_tensors(folder: Path, card: Card) -> dict[str, Tensor]:
    """Reads and checks the tensors; floating-point ones come in float32.

    Raises:
        CheckpointError: the file is missing, differs from its hash, or holds numbers that are not finite.
    """
    path = folder / "model.safetensors"
    try:
        found = sha256_of(path)
        if found != card.tensors_sha256:
            raise CheckpointError(
                f"{path} must have sha256 {card.tensors_sha256[:12]}…, but has {found[:12]}…: it is damaged."
            )
        tensors = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    odd = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if odd:
        raise CheckpointError(f"{path} must hold finite numbers, but these tensors do not:\n{shown(odd)}")
    return tensors


def versions() -> dict[str, str]:
    """Versions of the libraries that decide the numbers."""
    return {name: version_of(name) for name in ("torch", "torchvision", "pillow", "numpy")}


def write_torch(path: Path, content: dict[str, Any]) -> None:
    """Stores a training state atomically, so that a kill leaves the old one or the new one."""
    with replacing(path) as stream:
        torch.save(content, stream)
