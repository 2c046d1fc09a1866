"""Several stored networks that answer as one: how their probabilities are combined, and the folder that holds them.

    FOLDER/ensemble.json          classes, members with their weights, how they were chosen
    FOLDER/members/00/            a whole checkpoint of each member, which needs no other file
    FOLDER/stacking.safetensors   of a stacked ensemble: the model that reads what the members say

Needs no torch: networks are loaded by whoever predicts.

Axes: M members, N images, K classes.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from resnet_tl.errors import CheckpointError
from resnet_tl.files import sha256_of
from resnet_tl.metrics import Floats, log_softmax

CARD = "ensemble.json"
STACKING = "stacking.safetensors"
FORMAT = 1
FLOOR = 1e-4
"""Of the probabilities that a stacking model reads: below it, how sure a network is decides alone, by a logarithm
without a lower bound, and single images outweigh all others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Average:
    """The weighted mean of the members' probabilities."""

    weights_M: tuple[float, ...]
    """From 0 up; their sum is 1."""

    def combine(self, probabilities_MNK: Floats) -> Floats:
        """Probabilities [N, K] of the whole."""
        # over the members first, so that equal members give their own bits back whatever their weights
        first_NK = probabilities_MNK[0]
        combined_NK: Floats = first_NK.copy()
        for weight, own_NK in zip(self.weights_M, probabilities_MNK, strict=True):
            combined_NK += weight * (own_NK - first_NK)
        np.maximum(combined_NK, 0.0, out=combined_NK)  # differences may round to a little less
        return combined_NK


@dataclass(frozen=True, kw_only=True, slots=True)
class Stacking:
    """A multinomial logistic model of the members' log probabilities."""

    slopes_KMK: Floats
    """Of the logit of a class (first axis), for the log probability that each member gives each class."""
    intercepts_K: Floats

    def combine(self, probabilities_MNK: Floats) -> Floats:
        """Probabilities [N, K] of the whole."""
        logits_NK = np.einsum("jmk,mnk->nj", self.slopes_KMK, stacked(probabilities_MNK)) + self.intercepts_K
        combined_NK: Floats = np.exp(log_softmax(logits_NK))
        return combined_NK


Rule = Average | Stacking


def stacked(probabilities_MNK: Floats) -> Floats:
    """What a stacking model reads of probabilities: their logarithms less the mean over classes, [M, N, K]."""
    log_p_MNK = np.log(np.maximum(probabilities_MNK, FLOOR))
    centred_MNK: Floats = log_p_MNK - log_p_MNK.mean(-1, keepdims=True)
    return centred_MNK


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberCard:
    """One network of an ensemble."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    study: str
    trial: int
    seed: int
    weight: float | None
    """In the mean of probabilities; None where a stacking model reads the members."""
    tensors_sha256: str
    """Of `model.safetensors` in its folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleCard:
    """What stands in `ensemble.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    method: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    members: Annotated[tuple[MemberCard, ...], Field(min_length=1)]
    how: str
    """How members and weights were chosen, in words."""
    metrics: dict[str, float]
    """`split/name`, as they were when it was stored."""
    stacking_sha256: str | None = None
    """Of `stacking.safetensors`; None for a mean of probabilities."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEnsemble:
    """An ensemble on disk."""

    card: EnsembleCard
    folders: tuple[Path, ...]
    """The checkpoint of each member."""
    rule: Rule


def is_ensemble(folder: Path) -> bool:
    """Whether a folder holds an ensemble."""
    return (folder / CARD).is_file()


def member_folder(folder: Path, number: int) -> Path:
    """Where the checkpoint of a member lies."""
    return folder / "members" / f"{number:02}"


def write_card(folder: Path, card: EnsembleCard, rule: Rule) -> None:
    """Writes all of an ensemble but its members, into a folder that nobody reads yet."""
    sha256 = None
    if isinstance(rule, Stacking):
        save_file({"slopes": np.ascontiguousarray(rule.slopes_KMK), "intercepts": rule.intercepts_K}, folder / STACKING)
        sha256 = sha256_of(folder / STACKING)
    content = {"format": FORMAT} | asdict(card) | {"stacking_sha256": sha256}
    (folder / CARD).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_ensemble(folder: Path) -> StoredEnsemble:
    """Reads an ensemble, and checks that its parts are those that were stored.

    Raises:
        CheckpointError: it is damaged, or another version wrote it.
    """
    path = folder / CARD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise CheckpointError(f"{path} must have format {FORMAT}; another version of this program wrote it.")
        card = TypeAdapter(EnsembleCard).validate_json(json.dumps(content), strict=True)
    except CheckpointError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path} is damaged: `{place}`: {first['msg']}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {type(error).__name__} {error}.") from None
    folders = tuple(member_folder(folder, number) for number in range(len(card.members)))
    for member, own in zip(folders, card.members, strict=True):
        _require_same(member / "model.json", _tensors_of(member), own.tensors_sha256)
    return StoredEnsemble(card=card, folders=folders, rule=_rule(folder, card))


def _tensors_of(member: Path) -> str:
    """The hash of its tensors that a member's own card names; predicting holds the tensors themselves against it."""
    path = member / "model.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["tensors_sha256"])
    except FileNotFoundError:
        raise CheckpointError(f"{member} must hold a member of the ensemble, but has no model.json.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {type(error).__name__} {error}.") from None


def _require_same(path: Path, found: str, wanted: str | None) -> None:
    if found != wanted:
        raise CheckpointError(
            f"{path} must be the one that was stored with the ensemble, with sha256 {str(wanted)[:12]}…, but has "
            f"{found[:12]}…: it was exchanged or is damaged."
        )


def _rule(folder: Path, card: EnsembleCard) -> Rule:
    M, K = len(card.members), len(card.classes)
    if card.stacking_sha256 is None:
        weights_M = tuple(member.weight for member in card.members if member.weight is not None)
        if len(weights_M) < M or min(weights_M) < 0 or abs(sum(weights_M) - 1) > 1e-6:
            raise CheckpointError(
                f"{folder / CARD} must give each member a weight from 0 up, 1 together: it is damaged."
            )
        return Average(weights_M=weights_M)
    path = folder / STACKING
    try:
        _require_same(path, sha256_of(path), card.stacking_sha256)
        found: dict[str, NDArray[Any]] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None
    shapes = {name: array.shape for name, array in found.items()}
    if shapes != {"slopes": (K, M, K), "intercepts": (K,)}:
        raise CheckpointError(f"{path} must fit {M} members and {K} classes, but holds {shapes}: it is damaged.")
    return Stacking(slopes_KMK=found["slopes"], intercepts_K=found["intercepts"])
