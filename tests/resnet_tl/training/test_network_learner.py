"""One network: what moves, and how."""

import hashlib
from pathlib import Path

import pytest
import torch

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.model.starting_point import StartingPoint, starting_point
from resnet_tl.training.member import Member
from resnet_tl.training.network_learner import NetworkLearner
from tests.conftest import CPU, trial

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


def learner_of(config: TrialConfig, start: StartingPoint) -> NetworkLearner:
    member = Member(trial=config, seed=0)
    return NetworkLearner(member, start, environment=CPU, device=torch.device("cpu"), features=None)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("head", ["linear", "mlp_batchnorm"])
def test_the_frozen_part_is_the_same_before_and_after(
    images: Prepared, weights: dict[str, str], tmp_path: Path, head: str, optimizer: str
) -> None:
    config = trial(weights=weights["resnet18"], freeze=0.8, head=head, optimizer=optimizer, weight_decay=0.1)
    start = starting_point(config, images)
    learner = learner_of(config, start)
    moving = {name for name, _ in learner.network.moving()}

    def frozen() -> dict[str, str]:
        state = learner.network.state_dict()
        return {
            n: hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest() for n, t in state.items() if n not in moving
        }

    before = frozen()
    learner.train_epoch({0: 1})
    assert frozen() == before
    assert len(before) > 100


def test_the_fused_optimiser_is_one(images: Prepared, weights: dict[str, str]) -> None:
    for name in ("sgd", "adam", "adamw"):
        for fused in (False, True):
            config = trial(weights=weights["resnet18"], optimizer=name, fused_optimizer=fused)
            learner = learner_of(config, starting_point(config, images))
            assert bool(learner.optimizer.defaults["fused"]) is fused
