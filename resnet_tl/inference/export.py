"""From a checkpoint back to a network: to predict with, or to store whole."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from resnet_tl.architecture import BACKBONES, channels_last_pieces
from resnet_tl.config import TrialConfig
from resnet_tl.data.batches import Normalisation
from resnet_tl.errors import CheckpointError
from resnet_tl.head_spec import spec_of
from resnet_tl.model.checkpoint import Card, read_card, save
from resnet_tl.model.head_module import Head
from resnet_tl.model.network import Network, build_backbone
from resnet_tl.model.weights import whole_state


def rebuild(folder: Path, *, plain: bool = False) -> tuple[Network, Card]:
    """The stored network in eval mode, ready to predict.

    Args:
        plain: without the layouts and kernels that are quick here, which other programs do not know.

    Raises:
        CheckpointError: it is damaged, or its starting weights cannot be had.
    """
    card = read_card(folder)
    return assembled(whole_state(folder, card), card, folder, plain=plain), card


def assembled(state: Mapping[str, Tensor], card: Card, folder: Path, *, plain: bool = False) -> Network:
    """The network that a card describes, of a whole state, in eval mode.

    Args:
        plain: see `rebuild`.

    Raises:
        CheckpointError: the tensors are not those of that network; it names the folder they are from.
    """
    trial = TrialConfig.model_validate(card.trial)
    try:
        backbone = build_backbone(
            trial.backbone,
            card.channels,
            state={n.removeprefix("backbone."): t for n, t in state.items() if n.startswith("backbone.")},
        )
        head = Head(spec_of(trial), BACKBONES[trial.backbone].num_features, card.num_outputs)
        head.load_state_dict({n.removeprefix("head."): t for n, t in state.items() if n.startswith("head.")})
    except RuntimeError as error:  # tensors that are missing, unknown or of another shape
        raise CheckpointError(
            f"{folder} must hold the tensors of the network that its model.json describes, but does not: {error}"
        ) from None
    size = (card.crop, card.crop) if card.crop else card.size
    # what it was trained in does not matter here: predictions are in full precision
    network = Network(
        backbone,
        head,
        num_frozen=card.num_frozen,
        bn=trial.bn,
        channels_last=None if plain else channels_last_pieces(trial.backbone, size, trial.memory_format, "fp32"),
    )
    return network.eval()


def export(folder: Path, destination: Path) -> None:
    """Writes the network of a checkpoint as one that needs no other file."""
    card = read_card(folder)
    state = whole_state(folder, card)
    destination.parent.mkdir(parents=True, exist_ok=True)
    save(destination, state, replace(card, base=None))


def normalisation_of(card: Card) -> Normalisation:
    """How pixels are fed to the stored network."""
    return Normalisation(mean=card.mean, std=card.std)
