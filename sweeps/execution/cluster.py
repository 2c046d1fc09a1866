"""Finds the machines that Ray is to use: this one alone, or a cluster that runs already.

A study without `run.address` has a Ray instance of its own, which nobody else can reach and which ends with it.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet_tl.device import gpu, is_gpu
from resnet_tl.errors import ConfigError
from resnet_tl.identity import Environment
from sweeps.execution.executor import Executor, Slot

CONNECT_S = 10.0
"""Patience with an address that does not answer."""
STORE_BYTES = 100 << 20
"""Memory for what Ray passes between processes; results that have no room there go to the disk."""
MOST_PATH = 40
"""Characters of a folder in which Ray has its sockets, whose paths the system limits to 107."""

FOLDERS = "sweeps-ray-"
"""Folders of our own instances, each with the process that it belongs to in its name."""

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as later versions do; without it they warn
}
OWN_SETTINGS = {
    # its name is about other systems: Ray then takes 127.0.0.1 for the address of this machine and listens nowhere
    # else. `_node_ip_address="127.0.0.1"` is replaced by an address that others reach (Ray 2.60).
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}

_own: list[Path] = []
"""The folder of our own instance, while there is one."""


def connect(address: str | None, *, cpus: int = 1) -> bool:
    """Connects this process to Ray, unless it is connected already.

    Args:
        address: `auto` or `HOST:PORT` of a cluster; None starts an instance of our own.
        cpus: CPU threads that our own instance hands out; as many as are asked for, however many cores there are.

    Returns:
        Whether it was not connected before.

    Raises:
        ConfigError: no cluster that can be used answers at the address.
    """
    os.environ.update(SETTINGS)
    if address is None:
        os.environ.update(OWN_SETTINGS)
    import ray

    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    with _same_signals():
        if address is not None:
            _require_answer(address)
            try:
                ray.init(address=address, **quiet)
            except Exception as error:  # Ray has no class of its own for this
                raise _unreachable(address, str(error).strip().partition("\n")[0].rstrip(".")) from None
        else:
            base = tempfile.gettempdir()
            short = base if len(base) <= MOST_PATH or not Path("/tmp").is_dir() else "/tmp"
            _clear_leftovers(Path(short))
            _own.append(Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-", dir=short)))
            ray.init(
                address="local",
                include_dashboard=False,
                num_cpus=cpus,
                object_store_memory=STORE_BYTES,
                _temp_dir=str(_own[0]),
                **quiet,
            )
    return True


def disconnect() -> None:
    """Leaves a cluster, and ends an instance of our own with all its processes."""
    import ray

    with _same_signals():
        ray.shutdown()
    while _own:
        shutil.rmtree(_own.pop(), ignore_errors=True)


def allot(address: str, environment: Environment, workers: int | None) -> list[Slot]:
    """The slots of a cluster: each has the CPU threads of a fit, and on GPUs one of them.

    Args:
        workers: as asked for; more than there is room for wait until the cluster has grown. Default: as many as it has
            room for.

    Raises:
        ConfigError: no cluster is there, or it has no room for any.
    """
    connect(address)
    import ray

    on_gpu = is_gpu(environment.device)
    if workers is None:
        there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        workers = sum(_room(resources, environment.threads, on_gpu) for resources in there)
        if not workers:
            needed = f"{'a GPU and ' if on_gpu else ''}{environment.threads} CPU{'s' * (environment.threads > 1)}"
            raise ConfigError(
                f"`run.address={address}` must have a machine with {needed} for a worker, but none of its {len(there)} "
                "machines has. To have an autoscaler start some, say how many workers are wanted: run.workers=4."
            )
    return [Slot(device=gpu(0) if on_gpu else "cpu", threads=environment.threads)] * workers


def ray_executor(
    slots: Sequence[Slot],
    scratch: Path,
    address: str | None = None,
    shared: Sequence[Path] = (),
    cache_gb: float = 0.0,
    say: Callable[[str], None] = print,
) -> Executor:
    """Starts workers; see `executors.make_executor`."""
    ours = connect(address, cpus=sum(slot.threads for slot in slots))
    from sweeps.execution.ray import RayExecutor  # loads Ray, which is to know its settings before

    folders = [scratch, *shared] if address is not None else []
    return RayExecutor(slots, folders=folders, limit_gb=cache_gb, say=say, end=disconnect if ours else None)


def _clear_leftovers(base: Path) -> None:
    """Removes what drivers that were killed have left."""
    for folder in base.glob(f"{FOLDERS}*"):
        owner = folder.name.removeprefix(FOLDERS).partition("-")[0]
        if owner.isdigit() and Path("/proc/self").exists() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _room(resources: Mapping[str, float], threads: int, on_gpu: bool) -> int:
    by_threads = int(resources.get("CPU", 0) // threads)
    return min(by_threads, int(resources.get("GPU", 0))) if on_gpu else by_threads


def _require_answer(address: str) -> None:
    """Ray itself would try for a minute."""
    host, _, port = address.rpartition(":")
    if not host:  # `auto`, which Ray looks for on this machine alone
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise _unreachable(address, str(error)) from None


def _unreachable(address: str, why: str) -> ConfigError:
    return ConfigError(
        f"`run.address={address}` must be a Ray cluster of which this machine is one, but it cannot be used: {why}. "
        "Start it with `ray start --head` on one machine and `ray start --address=HOST:6379` on the others, this one "
        "too; or leave run.address out to use this machine alone."
    )


@contextlib.contextmanager
def _same_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, which is the driver's to answer."""
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            with contextlib.suppress(ValueError):  # not the main thread, where Ray sets none either
                signal.signal(kind, handler)
