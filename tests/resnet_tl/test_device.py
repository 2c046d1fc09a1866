"""What differs on a GPU, as far as that can be told without one, and that it differs nowhere else."""

import gc
import re
import types
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from resnet_tl import device
from resnet_tl.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]

VOCABULARY = {
    "resnet_tl/device.py",
    "sweeps/definition/config.py",  # the words of `run.device`
    "sweeps/records.py",  # what a ledger says
}
"""Modules that may name a GPU in their code."""


def code_of(path: Path) -> Iterator[str]:
    """Lines of a module without its comments and texts of several words."""
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.count('"""') == 1:
            inside = not inside
        elif not inside and '"""' not in line:
            yield line.partition("  #")[0]


def test_nothing_else_asks_torch_for_cuda_or_of_what_kind_a_device_is() -> None:
    asks = re.compile(r"torch\.cuda|cudnn|torch\.autocast|[\"']cuda|device\.type\b|use_deterministic|pin_memory")
    found = {
        path.relative_to(ROOT).as_posix(): line.strip()
        for package in ("resnet_tl", "sweeps")
        for path in (ROOT / package).rglob("*.py")
        for line in code_of(path)
        if asks.search(line)
    }
    assert {name: line for name, line in found.items() if name not in VOCABULARY} == {}


def test_kinds_of_devices() -> None:
    assert [device.is_gpu(name) for name in ("cpu", "cuda", "cuda:1", torch.device("cuda:1"))] == [False, *[True] * 3]
    assert device.gpu(1) == "cuda:1"


@pytest.mark.parametrize("word", ["gpu", "cpu:0", "cuda:x", "cuda:-1"])
def test_what_is_no_device_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="must be cpu, cuda or cuda:N"):
        device.check_device(word)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "num_gpus", lambda: 1)
    device.check_device("cuda")
    device.check_device("cuda:0")
    with pytest.raises(ConfigError, match="cuda:1 is not here: torch finds 1 GPUs"):
        device.check_device("cuda:1")
    assert device.found() == "cuda"
    monkeypatch.setattr(device, "num_gpus", lambda: 0)
    assert device.found() == "cpu"
    assert device.gpu_bytes([("cuda:0", 1.0)]) is None


def test_memory_of_gpus_is_counted_by_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    def has(name: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(total_memory={"cuda:0": 1000, "cuda:1": 400}[name])

    monkeypatch.setattr(torch.cuda, "get_device_properties", has)
    monkeypatch.setattr(device, "num_gpus", lambda: 2)
    assert device.gpu_bytes([("cuda:0", 0.5), ("cuda:1", 1.0), ("cuda:0", 0.5)]) == 1400
    assert device.gpu_bytes([("cuda:0", 1.0), ("cuda:0", 1.0)]) == 2000, "with Ray each worker's own is the first"


def test_a_study_on_a_cpu_asks_torch_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "num_gpus", lambda: pytest.fail("torch was asked"))
    assert device.gpu_bytes([("cpu", 1.0)]) is None


def test_a_share_of_a_gpus_free_memory_may_be_taken_to_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (4000, 16000))
    assert device.RESIDENT_SHARE == 0.25
    assert device.may_stay(1000, torch.device("cuda"))
    assert not device.may_stay(1001, torch.device("cuda"))
    assert not device.may_stay(1, torch.device("cpu"))


@pytest.mark.parametrize(
    ("error", "is_short"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_short_memory_is_known_by_what_libraries_say(error: Exception, is_short: bool) -> None:
    assert device.is_out_of_memory(error) == is_short


@pytest.mark.parametrize(("name", "given_back"), [("cpu", 0), ("cuda:0", 1)])
def test_a_failed_task_on_a_gpu_gives_back_what_its_frames_hold(
    monkeypatch: pytest.MonkeyPatch, name: str, given_back: int
) -> None:
    emptied: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    freed: list[int] = []

    class Held:
        def __del__(self) -> None:
            freed.append(1)

    def task() -> None:
        held = Held()  # noqa: F841
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory") as caught, device.gives_back(name):
        task()
    assert (len(freed), len(emptied)) == (given_back, given_back)
    assert caught.traceback[-1].name == "task", "still says where it was"
    with device.gives_back(name):
        pass
    assert len(emptied) == 2 * given_back


def test_what_a_task_leaves_in_a_circle_is_gone_before_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held:
        pass

    left: list[weakref.ref[Held]] = []
    seen: list[object] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(left[0]()))

    def task() -> None:
        held = Held()
        held.itself = held  # type: ignore[attr-defined]
        left.append(weakref.ref(held))

    gc.disable()
    try:
        with device.gives_back("cuda:0"):
            task()
    finally:
        gc.enable()
    assert seen == [None]
