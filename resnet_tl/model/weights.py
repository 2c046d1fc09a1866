"""Where a backbone's starting weights come from. Weights that cannot be had are an error, never a fallback."""

import http.client
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.architecture import BACKBONES
from resnet_tl.errors import CheckpointError, UserError, WeightsError
from resnet_tl.files import sha256_of
from resnet_tl.model.first_layer import fit_first_layer, fit_normalisation
from resnet_tl.option_text import expand, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from resnet_tl.model.checkpoint import Card

SUFFIXES = (".pth", ".pt", ".safetensors", ".json")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Source: torchvision.transforms._presets.ImageClassification, the transforms of all ResNet weights."""

UNREACHABLE = (OSError, http.client.HTTPException)
"""What a connection raises. URLError is an OSError; HTTPException, which a wrong proxy makes, is none."""

PATIENCE_S = 10.0
"""To wait for an answer of the server that has torchvision's weights."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Starting weights of a backbone, loaded."""

    state: "dict[str, Tensor]"
    """Parameters and buffers under torchvision's names, without the classifier."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """The normalisation that they were trained with, per channel of their first layer."""
    sha256: str
    """Of the file."""
    address: str
    """What finds them again: a torchvision name or an absolute path."""
    said: tuple[str, ...] = ()
    """What was decided while reading them that the user may not expect: one sentence each."""


def identity(spec: str, backbone: str) -> str:
    """Names the content of starting weights, without importing torch.

    Raises:
        WeightsError: a file that is not there, or a name that means nothing.
    """
    if spec == "none":
        return "none"
    if version := _imagenet_version(spec, backbone):
        return f"torchvision/{backbone}/{version}"
    path = _path(spec)
    if folder := _checkpoint_folder(path):
        return f"sha256:{_brief(folder).content}"
    return f"sha256:{sha256_of(path)}"


def channels_of(spec: str, backbone: str) -> int | None:
    """Channels that starting weights expect, without importing torch; None where only loading them tells.

    Raises:
        WeightsError: a file that is not there, or a name that means nothing.
    """
    if spec == "none":
        return None
    if _imagenet_version(spec, backbone):
        return 3
    folder = _checkpoint_folder(_path(spec))
    return None if folder is None else _brief(folder).channels


def load(spec: str, backbone: str) -> Weights:
    """Loads starting weights.

    Args:
        spec: `imagenet`, `IMAGENET1K_V1`, `IMAGENET1K_V2`, a file or a checkpoint folder; not `none`.

    Raises:
        WeightsError: they cannot be had or are of another network; says which command would provide them.
        CheckpointError: a checkpoint is damaged.
    """
    if version := _imagenet_version(spec, backbone):
        return _load_torchvision(backbone, version)
    path = _path(spec)
    if folder := _checkpoint_folder(path):
        return _load_checkpoint(folder, backbone)
    return _load_file(path, backbone)


def check(spec: str, backbone: str) -> tuple[str, ...]:
    """Finds out whether starting weights can be had and fit, without downloading any.

    Args:
        spec: as for `load`, or `none`.

    Returns:
        What the user may not expect of them, one sentence each.

    Raises:
        WeightsError, CheckpointError: as `load`.
    """
    if spec == "none":
        return ()
    version = _imagenet_version(spec, backbone)
    if version is None or _published(backbone, version).path.exists():
        return load(spec, backbone).said
    published = _published(backbone, version)
    try:
        with urllib.request.urlopen(urllib.request.Request(published.url, method="HEAD"), timeout=PATIENCE_S) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
    except (*UNREACHABLE, ValueError) as error:
        raise _unreachable(published, backbone, version, error) from None
    return (f"The weights {version} of {backbone} will be downloaded once ({size / 1e6:.0f} MB) to {published.path}.",)


def are_here(spec: str, backbone: str) -> bool:
    """Whether weights can be loaded without downloading anything."""
    version = None if spec == "none" else _imagenet_version(spec, backbone)
    return version is None or _published(backbone, version).path.exists()


def backbone_of(folder: Path) -> str:
    """The depth of the network in a checkpoint, without importing torch.

    Raises:
        CheckpointError: its card is damaged.
    """
    return _brief(folder).backbone


def files_of(spec: str, backbone: str) -> dict[str, Path]:
    """Files and folders that `load` reads, by the names that `spec` and cards have for them, without importing torch.

    What a checkpoint stands on comes before it; torchvision's weights are none of ours.

    Raises:
        WeightsError, CheckpointError: one of them is not there or damaged.
    """
    if spec == "none" or _imagenet_version(spec, backbone):
        return {}
    path = _path(spec)
    folder = _checkpoint_folder(path)
    if folder is None:
        return {spec: path.absolute()}
    base = _brief(folder).base
    is_itself = base is not None and Path(base).absolute() == folder.absolute()  # which `load` refuses
    stands_on = files_of(base, backbone) if base is not None and not is_itself else {}
    return stands_on | {spec if path.is_dir() else str(Path(spec).parent): folder.absolute()}


def _imagenet_version(spec: str, backbone: str) -> str | None:
    if spec != "imagenet" and not spec.upper().startswith("IMAGENET1K_"):
        return None
    versions = BACKBONES[backbone].imagenet_versions
    if not versions:
        raise WeightsError(
            f"`trial.weights` of {backbone} must be none, a file, a checkpoint folder or a pretrain stage, but got "
            f"{spec}: torchvision publishes no weights of it."
        )
    if spec != "imagenet" and spec not in versions:
        raise WeightsError(f"`trial.weights` of {backbone} must be one of {', '.join(versions)}, but got {spec}.")
    return versions[-1] if spec == "imagenet" else spec


def _path(spec: str) -> Path:
    path = expand(spec, "trial.weights")
    if path.exists():
        return path
    if path.suffix in SUFFIXES or "/" in spec or "\\" in spec:
        raise WeightsError(f"`trial.weights` names {spec}, which does not exist (looked in {Path.cwd()}).")
    known = ["imagenet", "IMAGENET1K_V1", "IMAGENET1K_V2", "none"]
    raise WeightsError(
        f"`trial.weights` must be a known name, a file, a checkpoint folder or a pretrain stage of the study, "
        f"but got {spec!r}; {nearest(spec, known)}"
    )


def _checkpoint_folder(path: Path) -> Path | None:
    """The checkpoint that a path names: its folder, or one of its two files; any other file stands for itself."""
    if path.is_dir():
        return path
    if path.name == "model.json" or (path.name == "model.safetensors" and path.with_name("model.json").exists()):
        return path.parent
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Brief:
    """What names a checkpoint and its use, read without torch."""

    content: str
    """Hashes on its card, starting weights included."""
    channels: int
    backbone: str
    base: str | None
    """Address of the weights that it stands on; None where it needs no other file."""


def _brief(folder: Path) -> _Brief:
    path = folder / "model.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        base = card["base"] or {}
        content = str(card["tensors_sha256"]) + str(base.get("sha256", ""))
        return _Brief(
            content=content,
            channels=int(card["channels"]),
            backbone=str(card["trial"]["backbone"]),
            base=base.get("address"),
        )
    except FileNotFoundError:
        raise CheckpointError(f"{folder} must be a checkpoint folder, but holds no model.json.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {type(error).__name__} {error}.") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Published:
    """Weights of torchvision."""

    url: str
    path: Path
    """Where they are, or will be."""


def _published(backbone: str, version: str) -> _Published:
    import torch
    import torchvision.models

    url = torchvision.models.get_model_weights(backbone)[version].url
    return _Published(url=url, path=Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1])


def _unreachable(published: _Published, backbone: str, version: str, error: Exception) -> WeightsError:
    why = str(error).rstrip(".") or type(error).__name__
    if isinstance(error, http.client.InvalidURL):  # which cites a part of the address, perhaps of its password
        why = "an address is malformed (look at the proxy that the environment's HTTPS_PROXY or HTTP_PROXY names)"
    return WeightsError(
        f"The weights {version} of {backbone} must be downloaded once, but that failed: {why}. On a machine "
        f'with a connection, run  python -c "import torchvision.models as m; '
        f"m.get_model_weights('{backbone}')['{version}'].get_state_dict()\"  and put {published.path.name} into "
        f"{published.path.parent}. Without a connection, trial.weights=none starts from nothing, and a `pretrain` "
        "stage makes weights of your own."
    )


def _load_torchvision(backbone: str, version: str) -> Weights:
    import torch
    import torchvision.models

    published = _published(backbone, version)
    path, name = published.path, published.path.name
    if not path.exists():
        try:
            torchvision.models.get_model_weights(backbone)[version].get_state_dict(progress=False, check_hash=True)
        except (*UNREACHABLE, RuntimeError, ValueError) as error:  # a wrong hash is a RuntimeError
            path.unlink(missing_ok=True)
            raise _unreachable(published, backbone, version, error) from None
    sha256 = sha256_of(path)
    prefix = name.rsplit("-", 1)[1].split(".")[0]
    if not sha256.startswith(prefix):
        # torchvision itself checks this only while downloading
        raise WeightsError(
            f"{path} must have a sha256 that starts with {prefix}, as its name says, but has {sha256[:8]}…: it is "
            "damaged or cut short. Remove it, and it is downloaded again."
        )
    state = _without_classifier(torch.load(path, map_location="cpu", weights_only=True), backbone, str(path))
    return Weights(state=state, mean=IMAGENET_MEAN, std=IMAGENET_STD, sha256=sha256, address=version)


def _load_checkpoint(folder: Path, backbone: str) -> Weights:
    """The backbone of a checkpoint, as starting weights for another fit."""
    from resnet_tl.model.checkpoint import read_card

    card = read_card(folder)
    if card.trial["backbone"] != backbone:
        raise WeightsError(f"{folder} holds a {card.trial['backbone']}, but `trial.backbone` is {backbone}.")
    state = whole_state(folder, card)
    state = {n.removeprefix("backbone."): t for n, t in state.items() if n.startswith("backbone.")}
    state = _without_classifier(state, backbone, str(folder))
    found = state["conv1.weight"].shape[1]
    if found != card.channels:
        raise CheckpointError(f"{folder} must have {card.channels} channels, as its model.json says, but has {found}.")
    base_sha256 = card.base["sha256"] if card.base else ""
    return Weights(
        state=state,
        mean=card.mean,
        std=card.std,
        sha256=card.tensors_sha256 + base_sha256,
        address=str(folder.absolute()),
    )


def whole_state(folder: Path, card: "Card") -> "dict[str, Tensor]":
    """All tensors of the network in a checkpoint, frozen ones from the starting weights that its card names.

    Raises:
        CheckpointError: it is damaged, or its starting weights cannot be had.
    """
    from resnet_tl.model.checkpoint import read_tensors

    tensors = read_tensors(folder, card)
    if card.base is None:
        return tensors
    address = card.base["address"]
    if Path(address).absolute() == folder.absolute():
        raise CheckpointError(f"{folder} must stand on other weights, but its model.json names itself: it is damaged.")
    try:
        base = load(address, card.trial["backbone"])
    except UserError as error:
        raise CheckpointError(
            f"{folder} holds what was trained, on top of the weights {address}, which cannot be had: {error} "
            "A network stored with export=true needs no other file."
        ) from None
    if base.sha256 != card.base["sha256"]:
        raise CheckpointError(
            f"{folder} was trained on top of {address} with sha256 {card.base['sha256'][:12]}…, but that is now "
            f"{base.sha256[:12]}…; bring the old file back."
        )
    state = {f"backbone.{name}": tensor for name, tensor in base.state.items()}
    state["backbone.conv1.weight"] = fit_first_layer(
        state["backbone.conv1.weight"], card.channels, std=base.std, rule=card.first_layer
    )
    return state | tensors


def _load_file(path: Path, backbone: str) -> Weights:
    from resnet_tl.model.state_dict import find_backbone, read_file

    state, said = find_backbone(read_file(path), backbone, path)
    mean, std = fit_normalisation(state["conv1.weight"].shape[1], IMAGENET_MEAN, IMAGENET_STD, rule="luma")
    return Weights(
        state=state, mean=mean, std=std, sha256=sha256_of(path), address=str(path.absolute()), said=tuple(said)
    )


def _without_classifier(state: "dict[str, Tensor]", backbone: str, where: str) -> "dict[str, Tensor]":
    from resnet_tl.model.state_dict import check_backbone

    return check_backbone({n: t for n, t in state.items() if not n.startswith("fc.")}, backbone, where)
