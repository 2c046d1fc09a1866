"""Model soups: networks averaged in their parameters, which gives one network that costs what one costs.

That makes sense among networks of one architecture that started from the same weights: they end in one valley of the
loss. Statistics of BatchNorm layers that trained are no parameters; they are measured anew on train.

Source: Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time"; BatchNorm as in Izmailov et al. 2018, "Averaging weights leads to wider optima and better
generalization", section 3.2.

Axes: B images of a batch, C channels, H W pixels, N images, K classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_tl.batching import EVAL_BATCH
from resnet_tl.config import TrialConfig
from resnet_tl.data.batches import DeviceImages, centre, cut_batches, eval_batches, to_unit
from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import CheckpointError
from resnet_tl.head_spec import spec_of
from resnet_tl.heartbeat import beat
from resnet_tl.inference.export import assembled, normalisation_of
from resnet_tl.model.checkpoint import Card, read_card, save
from resnet_tl.model.head_module import class_logits
from resnet_tl.model.network import Network
from resnet_tl.model.runtime import computing
from resnet_tl.model.weights import whole_state

OF_TRAINING = {"trial", "num_frozen", "seed", "epoch", "metrics", "base", "versions", "tensors_sha256"}
"""What may differ between the cards of networks that are averaged; of the trial see `OF_NETWORK`."""
OF_NETWORK = ("backbone", "criterion", "weights", "first_layer")
"""Options of a trial that decide which parameters there are, and from where they start; and those of the head's."""


def difference(one: Card, other: Card) -> str | None:
    """The first thing that keeps two networks from being averaged; None where nothing does."""
    for name in OF_NETWORK:
        if one.trial.get(name) != other.trial.get(name):
            return name
    heads = [spec_of(TrialConfig.model_validate(card.trial)) for card in (one, other)]
    if replace(heads[0], dropout=0.0) != replace(heads[1], dropout=0.0):
        return "head"
    if one.base and other.base and one.base["sha256"] != other.base["sha256"]:
        return "starting weights"
    own, others = asdict(one), asdict(other)
    return next((name for name in own if name not in OF_TRAINING and own[name] != others[name]), None)


def is_convex(card: Card) -> bool:
    """Whether heads that different seeds drew can be averaged: one without hidden units, whose loss has one valley."""
    return spec_of(TrialConfig.model_validate(card.trial)).width is None


class Soups:
    """Stored networks, any of which can be averaged, and what the averages say of the images of a study.

    Args:
        folders: checkpoints of networks between which `difference` finds nothing.
        data: the images that they were trained on.

    Raises:
        CheckpointError: a network is damaged, or its starting weights cannot be had.
    """

    def __init__(self, folders: Sequence[Path], data: Prepared) -> None:
        self._data, self._images = data, data.load()
        self._folder = folders[0]
        self.card = read_card(folders[0])
        self._first = whole_state(folders[0], self.card)
        self._others: list[dict[str, Tensor]] = [{}]
        """Of each network the tensors that are not those of the first: of frozen ones a small part."""
        for folder in folders[1:]:
            card = read_card(folder)
            found = difference(self.card, card)
            if found is not None:
                raise CheckpointError(
                    f"{folder} must be a network like {folders[0]} to be averaged, but {found} differs."
                )
            state = whole_state(folder, card)
            self._others.append({n: t for n, t in state.items() if not torch.equal(t, self._first[n])})
        self._moved = sorted({name for other in self._others for name in other})
        self._heads_only = all(name.startswith("head.") for name in self._moved)
        self._features: dict[str, Tensor] = {}

    def state(self, places: Sequence[int]) -> dict[str, Tensor]:
        """The mean of the parameters of some of the networks, BatchNorm statistics measured anew where they trained.

        Args:
            places: of the networks; one of them alone is that network as it is.
        """
        state = dict(self._first)
        for name in self._moved:  # where networks of this soup differ from the first one, or from each other
            tensors = [self._others[place].get(name, self._first[name]) for place in places]
            if len(tensors) == 1 or not tensors[0].is_floating_point():
                state[name] = tensors[0]
            else:
                state[name] = torch.stack([tensor.double() for tensor in tensors]).mean(0).float()
        trained = self._trained_norms(places)
        if len(places) > 1 and trained:
            with computing(device="cpu"):
                self._measure(state, trained)
        return state

    def probabilities(self, state: Mapping[str, Tensor], split: str) -> NDArray[np.float64]:
        """What a network with these tensors says of a split, [N, K], in stored order."""
        with computing(device="cpu"), torch.no_grad():
            network = assembled(state, self.card, self._folder)
            parts = [class_logits(self._outputs(network, inputs_B)) for inputs_B in self._inputs(network, split)]
            found_NK: NDArray[np.float64] = torch.cat(parts).double().softmax(1).numpy()
        return found_NK

    def save(self, state: Mapping[str, Tensor], folder: Path, metrics: Mapping[str, float]) -> None:
        """Writes a checkpoint that needs no other file."""
        save(folder, dict(state), replace(self.card, base=None, metrics=dict(metrics)))

    def _trained_norms(self, places: Sequence[int]) -> list[str]:
        """BatchNorm layers whose statistics are not the same in all of some networks."""
        found = []
        for name in self._moved:
            if name.endswith(".running_mean"):
                first, *others = [self._others[place].get(name, self._first[name]) for place in places]
                if not all(torch.equal(first, other) for other in others):
                    found.append(name.removesuffix(".running_mean"))
        return found

    def _measure(self, state: dict[str, Tensor], names: Sequence[str]) -> None:
        """Puts BatchNorm statistics of the training images, never augmented, in place of those of some layers."""
        own = {key: t.clone() if key.rsplit(".", 1)[0] in names else t for key, t in state.items()}
        network = assembled(own, self.card, self._folder)
        for name in names:
            norm = network.get_submodule(name)
            assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over batches
            norm.train()
        with torch.no_grad():
            for inputs_B in self._inputs(network, "train"):
                self._outputs(network, inputs_B)
        for key, tensor in network.state_dict().items():
            if key.rsplit(".", 1)[0] in names and "running_" in key:
                state[key] = tensor.clone()

    def _outputs(self, network: Network, inputs_B: Tensor) -> Tensor:
        outputs: Tensor = network.head(inputs_B) if self._heads_only else network(inputs_B)
        return outputs

    def _inputs(self, network: Network, split: str) -> Iterator[Tensor]:
        """Images of a split; where heads alone differ, what the backbone makes of them, which is computed once."""
        if not self._heads_only:
            yield from self._batches(split)
            return
        if split not in self._features:
            with torch.no_grad():
                self._features[split] = torch.cat([network.backbone(x_BCHW) for x_BCHW in self._batches(split)])
        N = len(self._features[split])
        for batch in cut_batches(np.arange(N), EVAL_BATCH):
            yield self._features[split][torch.from_numpy(batch)]

    def _batches(self, split: str) -> Iterator[Tensor]:
        normalise = normalisation_of(self.card)
        if split != "train":
            pixels = DeviceImages(self._images, torch.device("cpu"))
            for images_BCHW, _ in eval_batches(
                self._images, pixels, split, normalisation=normalise, crop=self.card.crop
            ):
                yield images_BCHW
            return
        # no batch of one image, of which BatchNorm has no variance
        for batch in cut_batches(self._images.splits["train"], EVAL_BATCH):
            beat()
            yield normalise(centre(to_unit(self._images.pixels_NCHW[batch]), self.card.crop))
