"""The memory that a dry run announces for a worker is kept: the part of it that grows with the trial, on a device."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch.profiler import ProfilerActivity, profile

from resnet_tl.data.prepare import Prepared
from resnet_tl.device import MOST_HEADS, WORKER_BYTES, is_gpu
from resnet_tl.features.key import frozen_prefix_of
from resnet_tl.features.store import Stored
from resnet_tl.freezing import phases
from resnet_tl.identity import Environment
from resnet_tl.training.member import Member
from resnet_tl.training.seed_run import fit as fit_one
from resnet_tl.training.seed_run import fit_heads
from sweeps.planning.feature_reuse import Decision, held_bytes, worker_bytes
from tests.conftest import trial
from tests.resnet_tl.conftest import materialised

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


def peak_of(work: Callable[[], object], environment: Environment, scratch: Path) -> int:
    """Most bytes of tensors on a device at a time, counted from where the work began."""
    if is_gpu(environment.device):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    seen.export_chrome_trace(str(scratch / "trace.json"))
    events = json.loads((scratch / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    told = [event["args"] for event in events if event.get("name") == "[memory]"]
    total = most = 0
    for event in sorted(told, key=lambda args: args["Ev Idx"]):
        total += event["Bytes"]
        most = max(most, total)
    return most


def reused(place: Stored, config: object) -> Decision:
    return Decision(
        prefix=place.prefix, views=tuple(place.folders), trial=config, missing=(), seed_runs=1, passes=1,
        passes_once=1, num_bytes=1, reuse=True, why="",
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 32},
        {"batch_size": 32, "precision": "bf16", "optimizer": "adam"},
        {"freeze": 0.7, "batch_size": 32},
        {"head_epochs": 1, "batch_size": 32},
        {"freeze": "all", "head": "mlp_batchnorm", "augment": ["hflip"]},
    ],
    ids=lambda changes: " ".join(map(str, changes.values())),
)
def test_what_is_announced_is_kept(
    prepared: Prepared, environment: Environment, tmp_path: Path, changes: dict[str, object]
) -> None:
    weights = tmp_path / "weights.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), weights)
    config = trial(weights=str(weights), epochs=1, **changes)
    device = environment.device
    place, decision = None, None
    if "freeze" in changes:
        assert frozen_prefix_of(config, prepared, "sha256:test", environment) is not None
        place = materialised(config, prepared, tmp_path, environment)
        decision = reused(place, config)

    def train() -> object:
        if changes.get("freeze") == "all":
            count = min(MOST_HEADS[device], 60)
            members = [Member(trial=config, seed=seed) for seed in range(count)]
            return fit_heads(members, prepared, environment=environment, features=place)
        return fit_one(config, prepared, seed=0, environment=environment, features=place)

    peak = peak_of(train, environment, tmp_path)
    held = max(held_bytes(phase, prepared, decision, device=device) for phase in phases(config))
    assert 0 < peak <= held
    announced = max(worker_bytes(phase, prepared, decision, device=device) for phase in phases(config))
    assert announced == held + WORKER_BYTES[device]
    if is_gpu(device):  # with what torch keeps for later, and workspaces
        assert torch.cuda.max_memory_reserved() <= announced
