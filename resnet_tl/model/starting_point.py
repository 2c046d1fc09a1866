"""Where a fit starts: its images, its weights, and the numbers that follow from both."""

import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from resnet_tl.config import TrialConfig
from resnet_tl.data.batches import Normalisation, measured
from resnet_tl.data.prepare import Images, Prepared
from resnet_tl.freezing import num_frozen
from resnet_tl.head_spec import num_outputs_of
from resnet_tl.identity import own_parts
from resnet_tl.model import checkpoint
from resnet_tl.model import weights as starting
from resnet_tl.model.first_layer import fit_first_layer, fit_normalisation
from resnet_tl.model.network import Network, assemble


@dataclass(frozen=True, kw_only=True)
class StartingPoint:
    """What trials on the same images from the same weights have in common."""

    data: Prepared
    images: Images
    normalisation: Normalisation
    state: dict[str, Tensor] | None
    """Of the backbone; None when each run draws its own."""
    base: dict[str, str] | None
    """Address and sha256 of the weights."""
    weights_channels: int | None
    """That the weights expect; None without any."""
    num_outputs: int
    """Logits O: 1 with binary cross-entropy, else one per class."""

    def network(self, trial: TrialConfig, seed: int, device: torch.device) -> Network:
        """The whole network of one run."""
        network = assemble(
            trial,
            num_outputs=self.num_outputs,
            channels=self.data.channels,
            seed=seed,
            # copies: a network trains its weights in place, and others start from the same ones
            state=None if self.state is None else {name: tensor.clone() for name, tensor in self.state.items()},
            input_size=self.data.input_size,
        )
        if self.state is not None and trial.precision == "bf16":
            network.lower_frozen()  # the starting weights have them in full, for whoever stores the network
        if self.state is None and network.num_frozen:
            warnings.warn("the frozen part of the backbone has random weights (trial.weights: none)", stacklevel=3)
        return network.to(device)

    def on(self, images: Images) -> "StartingPoint":
        """The same start on images that are cut another way."""
        normalisation = measured(images) if self.state is None else self.normalisation
        return replace(self, images=images, normalisation=normalisation)

    def class_weights_K(self) -> Tensor | None:
        """Weight of each class in the loss, where the data asks for it."""
        if self.data.balanced != "class_weights":
            return None
        labels = torch.from_numpy(self.images.labels_N[self.images.splits["train"]])
        return balanced_weights_K(labels, len(self.data.classes))

    def card(self, trial: TrialConfig, *, seed: int, epoch: int, metrics: dict[str, float]) -> checkpoint.Card:
        """What stands beside the tensors of a stored network."""
        frozen = num_frozen(trial, self.data.channels)
        return checkpoint.Card(
            trial=trial.model_dump(mode="json"),
            classes=self.data.classes,
            channels=self.data.channels,
            num_outputs=self.num_outputs,
            num_frozen=frozen,
            size=self.data.size,
            resized=self.data.resized,
            resize=self.data.resize,
            bits=self.data.bits,
            max_pixels=self.data.max_pixels,
            crop=self.data.crop,
            mean=self.normalisation.mean,
            std=self.normalisation.std,
            seed=seed,
            epoch=epoch,
            metrics=metrics,
            base=self.base if frozen else None,
            first_layer=trial.first_layer,
            versions=checkpoint.versions(),
            own=own_parts(trial),
            images_name=self.data.images_name,
        )


def starting_point(trial: TrialConfig, data: Prepared) -> StartingPoint:
    """Loads images and weights.

    Raises:
        WeightsError: the starting weights cannot be had.
    """
    images = data.load()
    num_outputs = num_outputs_of(trial, len(data.classes))
    if trial.weights == "none":
        return StartingPoint(
            data=data,
            images=images,
            normalisation=measured(images),
            state=None,
            base=None,
            weights_channels=None,
            num_outputs=num_outputs,
        )
    loaded = starting.load(trial.weights, trial.backbone)
    rule = trial.first_layer
    mean, std = fit_normalisation(data.channels, loaded.mean, loaded.std, rule=rule)
    conv1 = fit_first_layer(loaded.state["conv1.weight"], data.channels, std=loaded.std, rule=rule)
    state = loaded.state | {"conv1.weight": conv1}
    return StartingPoint(
        data=data,
        images=images,
        normalisation=Normalisation(mean=mean, std=std),
        state=state,
        base={"address": loaded.address, "sha256": loaded.sha256},
        weights_channels=len(loaded.mean),
        num_outputs=num_outputs,
    )


def balanced_weights_K(labels: Tensor, num_classes: int) -> Tensor:
    """N / (K x count): every class weighs the same in total, and the mean weight over images is 1."""
    counts = torch.bincount(labels, minlength=num_classes)
    return len(labels) / (num_classes * counts.double()).float()
