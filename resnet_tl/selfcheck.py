"""Proof, on the machine and the study at hand, that reusing the frozen front changes no bit."""

from itertools import islice

import torch
from torch import Tensor

from resnet_tl.config import TrialConfig
from resnet_tl.fingerprint import Environment
from resnet_tl.fit import Run
from resnet_tl.start import Start, prepare_torch
from resnet_tl.store import Stored

STEPS = 3
"""Of the optimiser; each is on images of its own, in the run's own order and with its own faces."""


def compare(
    trial: TrialConfig,
    begun: Start,
    *,
    seed: int,
    environment: Environment,
    device: str,
    features: Stored,
) -> str | None:
    """Trains a few steps on stored outputs and on outputs computed anew, and compares all that moved.

    Returns:
        None when every bit agrees, else what differs first.
    """
    prepare_torch(environment)
    inputs: list[list[Tensor]] = []
    moved: list[dict[str, Tensor]] = []
    for place in (None, features):
        run = Run(trial, begun, seed=seed, device=torch.device(device), environment=environment, features=place)
        run.network.train()
        met = []
        for batch in islice(run.inputs.train(seed, 1), STEPS):
            met.append(batch.inputs_B)
            run.step(batch, 1)
        inputs.append(met)
        moved.append({name: tensor.detach() for name, tensor in run.network.moving()})
    for step, (computed, stored) in enumerate(zip(*inputs, strict=True), start=1):
        if not _same(computed, stored):
            return f"the inputs of step {step} (largest difference {_gap(computed, stored):.3g})"
    for name, tensor in moved[0].items():
        if not _same(tensor, moved[1][name]):
            return f"{name} after {STEPS} steps (largest difference {_gap(tensor, moved[1][name]):.3g})"
    return None


def _same(a: Tensor, b: Tensor) -> bool:
    # a diverging trial must not look like a difference: NaN is NaN on both sides
    return torch.equal(a.nan_to_num(), b.nan_to_num()) and torch.equal(a.isnan(), b.isnan())


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max())
