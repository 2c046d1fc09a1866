"""Proof, on the machine and the study at hand, that reusing the frozen front changes no bit."""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from resnet_tl.config import TrialConfig
from resnet_tl.course import Member
from resnet_tl.data.augment import render
from resnet_tl.data.batches import to_unit
from resnet_tl.features import Features, as_stored
from resnet_tl.fingerprint import Environment
from resnet_tl.fit import Run
from resnet_tl.front import FRONT_BATCH, is_head_only
from resnet_tl.fused import few_steps
from resnet_tl.model.network import Network
from resnet_tl.start import Start, prepare_torch
from resnet_tl.store import Stored

STEPS = 3
"""Of the optimiser; each is on images of its own, in the run's own order and with its own faces."""


def compare(
    members: Sequence[Member], begun: Start, *, environment: Environment, device: str, features: Stored
) -> str | None:
    """Compares stored outputs with computed ones, and training on the one with training on the other.

    Args:
        members: one seed run, or heads that are to be trained side by side; the first is compared with itself alone.

    Returns:
        None when every bit agrees, else what differs first.
    """
    prepare_torch(environment)
    first, where = members[0], torch.device(device)
    if is_head_only(first.trial, begun.data.channels):
        network = begun.network(first.trial, first.seed, where)
        wrong = _rows(network, first.trial, begun, features)
        if wrong is not None:
            return wrong
        args = {"environment": environment, "device": device, "steps": STEPS}
        moved = [
            few_steps([first], begun, features=None, network=network, **args),  # type: ignore[arg-type]
            few_steps(members, begun, features=features, **args),  # type: ignore[arg-type]
        ]
    else:
        runs = [
            Run(first.trial, begun, seed=first.seed, device=where, environment=environment, features=place)
            for place in (None, features)
        ]
        wrong = _rows(runs[0].network, first.trial, begun, features)
        if wrong is not None:
            return wrong
        moved = [_steps(run) for run in runs]
    for name, tensor in moved[0].items():
        if not _same(tensor, moved[1][name]):
            return f"{name} after {STEPS} steps (largest difference {_gap(tensor, moved[1][name]):.3g})"
    return None


def _rows(network: Network, trial: TrialConfig, begun: Start, place: Stored) -> str | None:
    """Outputs of some images of every split, under every face that is stored for it."""
    features = Features(place, begun.images)
    network.eval()
    device = next(network.parameters()).device
    last = network.channels_last[network.cut - 1]
    for number, view in enumerate(place.folders):
        for split in ("train", "val", "test") if number == 0 else ("train",):
            index = begun.images.splits[split][:FRONT_BATCH]
            pixels = to_unit(begun.images.pixels_NCHW[index]).to(device)
            pixels = begun.normalisation(render(pixels, view, begun.data.crop))
            with torch.autocast(device.type, torch.bfloat16, enabled=trial.precision == "bf16"):
                computed = as_stored(network.front(pixels), last)
            stored = features.of_view(index, view).to(device)
            if not _same(computed, stored):
                gap = _gap(computed, stored)
                return f"what the front makes of {split} images ({view.name}; largest difference {gap:.3g})"
    return None


def _steps(run: Run) -> dict[str, Tensor]:
    run.network.train()
    for batch in islice(run.inputs.train(run.seed, 1), STEPS):
        run.step(batch, 1)
    return {name: tensor.detach() for name, tensor in run.network.moving()}


def _same(a: Tensor, b: Tensor) -> bool:
    # a diverging trial must not look like a difference: NaN is NaN on both sides
    return torch.equal(a.nan_to_num(), b.nan_to_num()) and torch.equal(a.isnan(), b.isnan())


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max())
