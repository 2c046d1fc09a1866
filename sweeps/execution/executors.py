"""Which executors there are; a new one is a module with its class, and a line here."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from resnet_tl.device import gpu, is_gpu
from resnet_tl.errors import ConfigError
from resnet_tl.identity import Environment
from resnet_tl.option_text import nearest
from sweeps.execution import devices
from sweeps.execution.executor import Executor, Slot

EXECUTORS = {
    "local": "sweeps.execution.local:LocalExecutor",
    "ray": "sweeps.execution.cluster:ray_executor",
}
"""By `run.executor`: the module, imported only when it is chosen, and what makes it there."""


def require_executor(name: str) -> None:
    """Checks a name.

    Raises:
        ConfigError: there is no executor of that name, or what it needs is not installed.
    """
    if name not in EXECUTORS:
        raise ConfigError(f"`run.executor` must name an executor, but got {name!r}; {nearest(name, EXECUTORS)}")
    if name == "ray" and find_spec("ray") is None:
        raise ConfigError("`run.executor=ray` needs Ray, which is not installed: pip install 'resnet-sweeps[ray]'.")


def allot(
    name: str, device: str, environment: Environment, workers: int | None, address: str | None = None
) -> list[Slot]:
    """The slots that an executor is to have.

    Args:
        device, environment, workers: see `devices.allot`.
        address: `run.address`, of a cluster whose machines have the slots; None: this machine has them.

    Raises:
        ConfigError: the device is not there, or no cluster at the address.
    """
    if address is not None:
        from sweeps.execution import cluster

        return cluster.allot(address, environment, workers)
    slots = devices.allot(device, environment, workers)
    if name == "ray" and is_gpu(environment.device):  # a worker sees no other GPU than its own
        return [replace(slot, device=gpu(0)) for slot in slots]
    return slots


def make_executor(
    name: str,
    slots: Sequence[Slot],
    scratch: Path,
    *,
    address: str | None = None,
    shared: Sequence[Path] = (),
    cache_gb: float = 0.0,
    say: Callable[[str], None] = print,
) -> Executor:
    """Starts an executor.

    Args:
        scratch: a folder for what it keeps while tasks run.
        address: `run.address`, of a cluster.
        shared: folders, beside it, where the files of tasks are. Machines of the cluster that do not see them are sent
            what they need.
        cache_gb: `run.cache_gb`, which holds for the caches of these, too.
        say: told in a sentence what is sent where.

    Raises:
        ConfigError: no cluster is at the address.
    """
    module, _, kind = EXECUTORS[name].partition(":")
    make = getattr(importlib.import_module(module), kind)
    executor: Executor = (
        make(slots, scratch)
        if address is None
        else make(slots, scratch, address=address, shared=shared, cache_gb=cache_gb, say=say)
    )
    return executor
