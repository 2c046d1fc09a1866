"""What of this machine's devices a worker gets."""

import contextlib
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from resnet_tl.device import gpu, gpu_bytes, gpu_names, is_gpu, num_gpus
from resnet_tl.errors import ConfigError
from resnet_tl.identity import Environment
from sweeps.execution.executor import Slot


def allot(device: str, environment: Environment, workers: int | None) -> list[Slot]:
    """The slots of this machine.

    Args:
        device: `run.device`; an index (`cuda:1`) holds for all workers.
        workers: as asked for; default: one per GPU, or as many as the cores have room for the threads of a fit.

    Raises:
        ConfigError: a GPU is asked for where torch finds none.
    """
    if not is_gpu(environment.device):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return [Slot(device="cpu", threads=environment.threads)] * (workers or max(1, cores // environment.threads))
    gpus = num_gpus()
    index = int(device.partition(":")[2] or 0)
    if index >= gpus:
        raise ConfigError(f"`run.device` needs GPU {index}, but torch finds {gpus} here.")
    chosen = [index] if ":" in device else list(range(gpus))
    num = workers or len(chosen)
    share = 1 / -(-num // len(chosen))
    return [
        Slot(device=gpu(chosen[number % len(chosen)]), threads=environment.threads, share=share)
        for number in range(num)
    ]


def hardware(device: str) -> str:
    """This machine in words, for reports.

    Args:
        device: `cpu` or `cuda`.
    """
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # Linux says more here than by the interface above
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    told = f"{processor}, {os.cpu_count()} CPUs, {memory_bytes() / 1e9:.0f} GB"
    if not is_gpu(device):
        return told
    names = gpu_names()
    return ", ".join([*(f"{names.count(name)} × {name}" for name in dict.fromkeys(names)), told])


def feature_bytes(slots: Sequence[Slot]) -> int:
    """Memory that the features of heads may be in: the machine's, or what slots have of GPUs, where that is less.

    By shares, and not by names: with Ray each worker calls its own GPU the first.
    """
    gpus = gpu_bytes((slot.device, slot.share) for slot in slots)
    return memory_bytes() if gpus is None else min(memory_bytes(), gpus)


def memory_bytes() -> int:
    """Of this machine."""
    if not hasattr(os, "sysconf"):  # Windows
        return 1 << 40
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
