"""What must hold on a GPU. Each test runs on a CPU too, so that the tests themselves are known to work."""

import gc
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.config import DataConfig
from resnet_tl.data import batches
from resnet_tl.data.batches import DeviceImages
from resnet_tl.data.prepare import Prepared
from resnet_tl.device import gives_back, is_gpu, is_out_of_memory
from resnet_tl.features import inputs
from resnet_tl.identity import Environment
from resnet_tl.inference.evaluate import evaluate
from resnet_tl.model.starting_point import starting_point
from resnet_tl.result import Epoch
from resnet_tl.training import head_kernel
from resnet_tl.training.check import compare
from resnet_tl.training.member import Member
from resnet_tl.training.network_learner import NetworkLearner
from resnet_tl.training.seed_run import fit, fit_heads
from tests.conftest import numbers, trial
from tests.resnet_tl.conftest import materialised

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")

WAYS = [
    {"memory_format": "contiguous", "optimizer": "adamw"},
    {"precision": "bf16", "augment": ["hflip", "rotation", "cutmix"], "head": "mlp_leaky_dropout"},
    {"freeze": 0.7, "precision": "bf16", "head": "mlp_batchnorm"},
    {"freeze": "all", "head": "mlp_relu", "augment": ["hflip"]},
]
"""Fits that between them take every kind of kernel."""


def ids(changes: dict[str, Any]) -> str:
    return " ".join(str(value) for value in changes.values())


def stored(folder: Path) -> bytes:
    return (folder / "checkpoint" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("changes", WAYS, ids=ids)
def test_the_same_seed_gives_the_same_bits_twice(
    images: Prepared, environment: Environment, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = trial(epochs=1, **changes)
    folders = [tmp_path / "first", tmp_path / "again"]
    first, again = (fit(config, images, seed=3, environment=environment, folder=folder) for folder in folders)
    assert numbers(first) == numbers(again)
    assert stored(folders[0]) == stored(folders[1])


@pytest.mark.parametrize("changes", WAYS, ids=ids)
def test_a_run_that_was_killed_goes_on_with_the_same_bits(
    images: Prepared, environment: Environment, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = trial(epochs=2, **changes)
    whole = fit(config, images, seed=0, environment=environment, folder=tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise Killed

    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        fit(config, images, seed=0, environment=environment, folder=folder, on_epoch=kill, save_every_s=0)
    assert (folder / "state.pt").exists()
    resumed = fit(config, images, seed=0, environment=environment, folder=folder)
    assert numbers(resumed) == numbers(whole)
    assert stored(folder) == stored(tmp_path / "whole")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("freeze", [0.7, "all"])
def test_reuse_changes_no_bit(
    images: Prepared,
    weights: dict[str, str],
    environment: Environment,
    tmp_path: Path,
    freeze: object,
    precision: str,
) -> None:
    config = trial(
        weights=weights["resnet18"], freeze=freeze, precision=precision, augment=["hflip"], batch_size=20, epochs=1
    )
    place = materialised(config, images, tmp_path, environment)
    off = fit(config, images, seed=1, environment=environment, folder=tmp_path / "off")
    on = fit(config, images, seed=1, environment=environment, folder=tmp_path / "on", features=place)
    assert numbers(off) == numbers(on)
    assert stored(tmp_path / "off") == stored(tmp_path / "on")
    start = starting_point(config, images)
    members = [Member(trial=config, seed=seed) for seed in ((1, 2, 3) if freeze == "all" else (1,))]
    assert compare(members, start, environment=environment, device=environment.device, features=place) is None


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("head", ["linear", "mlp_batchnorm"])
def test_a_head_among_many_has_the_bits_that_it_has_alone(
    images: Prepared,
    weights: dict[str, str],
    environment: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    head: str,
    precision: str,
) -> None:
    if not is_gpu(environment.device):  # by the very products of a GPU
        monkeypatch.setattr(head_kernel, "company", lambda _: 8)
    rates = itertools.cycle([0.01, 0.1, 1e38, 0.003, 1.0])
    several = [
        Member(trial=trial(
            weights=weights["resnet18"], freeze="all", head=head, precision=precision, lr=next(rates), batch_size=16
        ), seed=number // 7)
        for number in range(70)
    ]  # fmt: skip
    place = materialised(several[0].trial, images, tmp_path, environment)
    whole = [numbers(r) for r in fit_heads(several, images, environment=environment, features=place)]
    assert whole[0].state == "complete"  # type: ignore[attr-defined]
    for n in (0, 1, 2, 7, 63, 64, 69):
        alone = fit_heads([several[n]], images, environment=environment, features=place)
        assert numbers(alone[0]) == whole[n]


def test_products_in_groups_are_those_of_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, generator=draws, dtype=torch.float64) for size in ((11, 3, 7), (11, 5, 7)))
    expected = torch.bmm(a, b.transpose(1, 2))
    for size in (2, 4, 11, 64):
        monkeypatch.setattr(head_kernel, "company", lambda _, size=size: size)
        found = head_kernel._batched(a, b.transpose(1, 2))
        assert found.shape == expected.shape
        assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_channels_last_runs_and_learns(images: Prepared, environment: Environment, precision: str) -> None:
    config = trial(precision=precision, lr=0.003, momentum=0.9, epochs=4, batch_size=16)
    start = starting_point(config, images)
    learner = NetworkLearner(
        Member(trial=config, seed=0),
        start,
        environment=environment,
        device=torch.device(environment.device),
        features=None,
    )
    kernel = learner.network.backbone.get_parameter("layer1.0.conv1.weight")
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert kernel.device.type == environment.device
    result = fit(config, images, seed=0, environment=environment)
    assert result.state == "complete"
    losses = [epoch.metrics["train/loss"] for epoch in result.history]
    assert losses[-1] < 0.5 * losses[0], losses
    assert result.history[-1].metrics["train/accuracy"] > 0.8


def stays(monkeypatch: pytest.MonkeyPatch, answer: bool) -> list[int]:
    """Has everything, or nothing, stay on the device; returns the sizes that were asked about."""
    asked: list[int] = []

    def may_stay(num_bytes: int, _: torch.device) -> bool:
        asked.append(num_bytes)
        return answer

    for module in (batches, inputs):
        monkeypatch.setattr(module, "may_stay", may_stay)
    return asked


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": ["hflip", "rotation"]},
        {"freeze": 0.7, "augment": ["hflip", "five_crop"], "precision": "bf16"},
        {"freeze": "layer3"},
        {"freeze": "all", "augment": ["hflip"]},
    ],
    ids=ids,
)
def test_what_stays_on_the_device_changes_no_bit(
    images: Prepared,
    weights: dict[str, str],
    environment: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    config = trial(weights=weights["resnet18"], epochs=1, **changes)
    places = [None, materialised(config, images, tmp_path, environment)] if "freeze" in changes else [None]
    found = []
    for answer in (True, False):
        asked = stays(monkeypatch, answer)
        for place in places:
            found.append(numbers(fit(config, images, seed=1, environment=environment, features=place)))
        assert images.load().pixels_NCHW.nbytes in asked
        assert len(set(asked)) == (2 if changes.get("freeze") in (0.7, "layer3") else 1)
    assert all(other == found[0] for other in found)


def test_images_that_stay_are_those_that_are_sent(
    images: Prepared, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, where = images.load(), torch.device(environment.device)
    index = images.load().splits["val"][::-1].copy()
    monkeypatch.setattr(batches, "AT_ONCE_BYTES", 7 * 3 * 40 * 40)  # 7 images, which is no divisor of their number
    stays(monkeypatch, True)
    resident = DeviceImages(loaded, where)
    assert resident._resident is not None
    assert resident._resident.dtype == torch.uint8
    stays(monkeypatch, False)
    sent = DeviceImages(loaded, where)
    assert sent._resident is None
    assert torch.equal(resident[index], sent[index])
    assert resident[index].device.type == environment.device
    assert resident[index].shape == (len(index), 3, 40, 40)


def test_a_stored_network_has_the_scores_that_training_stored(
    images: Prepared, environment: Environment, tmp_path: Path
) -> None:
    config = trial(precision="fp32", epochs=1)
    result = fit(config, images, seed=0, environment=environment, folder=tmp_path / "run")
    data = DataConfig(source="image_folder", root=str(Path(images.load().names[0]).parent.parent))
    found = evaluate(tmp_path / "run" / "checkpoint", data, device=environment.device, cache=tmp_path / "cache")
    assert found.metrics
    assert found.metrics.items() <= result.metrics.items()


def test_short_memory_is_known_by_its_cause_and_given_back(environment: Environment) -> None:
    def ask() -> None:
        held = torch.ones(1 << 20, device=environment.device)
        held = torch.cat([held, torch.empty(1 << 50, device=environment.device)])

    before = 0
    if is_gpu(environment.device):  # what cuBLAS keeps for its products stays torch's
        gc.collect()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
    with pytest.raises(RuntimeError) as caught, gives_back(environment.device):
        ask()
    assert is_out_of_memory(caught.value)
    if is_gpu(environment.device):
        assert torch.cuda.memory_reserved() <= before
