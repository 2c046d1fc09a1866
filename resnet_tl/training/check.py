"""Proof, on the machine and the study at hand, that reusing the frozen prefix changes no bit."""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from resnet_tl.batching import PREFIX_BATCH
from resnet_tl.config import TrialConfig
from resnet_tl.data.augment import render
from resnet_tl.data.batches import to_unit
from resnet_tl.device import autocast, head_threads
from resnet_tl.features.compute import as_stored
from resnet_tl.features.inputs import Features
from resnet_tl.features.store import Stored
from resnet_tl.freezing import is_head_only
from resnet_tl.identity import Environment
from resnet_tl.model.network import Network
from resnet_tl.model.runtime import computing
from resnet_tl.model.starting_point import StartingPoint
from resnet_tl.training.heads_learner import HeadsLearner
from resnet_tl.training.member import Member
from resnet_tl.training.network_learner import NetworkLearner

STEPS = 3
"""Of the optimiser; each is on images of its own, in the run's own order and with its own views."""


def compare(
    members: Sequence[Member], start: StartingPoint, *, environment: Environment, device: str, features: Stored
) -> str | None:
    """Compares stored outputs with computed ones, and training on the one with training on the other.

    Args:
        members: one seed run, or heads that are to be trained side by side; the first is compared with itself alone.

    Returns:
        None when every bit agrees, else what differs first.
    """
    first, where = members[0], torch.device(device)
    moved: list[dict[str, Tensor]] = []
    with computing(device=device, threads=environment.threads):
        if is_head_only(first.trial, start.data.channels):
            network = start.network(first.trial, first.seed, where)
            wrong = _rows(network, first.trial, start, features)
            if wrong is not None:
                return wrong
            with computing(device=device, threads=head_threads(environment.device, environment.threads)):
                for company, place in (([first], None), (members, features)):
                    heads = HeadsLearner(
                        company, start, environment=environment, device=where, features=place, network=network
                    )
                    heads.train_steps(dict.fromkeys(range(len(company)), 1), STEPS)
                    moved.append({name: tensor[0] for name, tensor in heads.heads.tensors().items()})
        else:
            learners = [
                NetworkLearner(first, start, environment=environment, device=where, features=place)
                for place in (None, features)
            ]
            wrong = _rows(learners[0].network, first.trial, start, features)
            if wrong is not None:
                return wrong
            moved = [_steps(learner, first.seed) for learner in learners]
    for name, tensor in moved[0].items():
        if not _same(tensor, moved[1][name]):
            return f"{name} after {STEPS} steps (largest difference {_gap(tensor, moved[1][name]):.3g})"
    return None


def _rows(network: Network, trial: TrialConfig, start: StartingPoint, place: Stored) -> str | None:
    """Outputs of some images of every split, under every view that is stored for it."""
    features = Features(place, start.images)
    network.eval()
    device = next(network.parameters()).device
    last = network.channels_last[network.cut - 1]
    for number, view in enumerate(place.folders):
        for split in ("train", *start.data.scored) if number == 0 else ("train",):
            index = start.images.splits[split][:PREFIX_BATCH]
            pixels = to_unit(start.images.pixels_NCHW[index], device)
            pixels = start.normalisation(render(pixels, view, start.data.crop))
            with autocast(device, trial.precision):
                computed = as_stored(network.prefix(pixels), last)
            stored = features.of_view(index, view).to(device)
            if not _same(computed, stored):
                gap = _gap(computed, stored)
                return f"what the prefix makes of {split} images ({view.name}; largest difference {gap:.3g})"
    return None


def _steps(learner: NetworkLearner, seed: int) -> dict[str, Tensor]:
    learner.network.train()
    for batch in islice(learner.inputs.train(seed, 1), STEPS):
        learner.step(batch, 1)
    return {name: tensor.detach() for name, tensor in learner.network.moving()}


def _same(a: Tensor, b: Tensor) -> bool:
    # a diverging trial must not look like a difference: NaN is NaN on both sides
    return torch.equal(a.nan_to_num(), b.nan_to_num()) and torch.equal(a.isnan(), b.isnan())


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max())
