"""Runs jobs in processes of this machine, each of which may die without the others."""

import os
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from pebble import ProcessExpired, ProcessPool

from resnet_tl.errors import ConfigError
from resnet_tl.fingerprint import Environment
from sweeps.engine.ahead import load_ahead
from sweeps.engine.work import cuda_devices, start_worker

POLL_S = 0.5
"""Pause between looks at the progress of running jobs."""


class WorkerDied(Exception):
    """A worker process ended without an answer: killed, or out of memory."""


class LocalExecutor:
    """Worker processes on this machine, with the semantics of `concurrent.futures.Executor`.

    Pebble's pool replaces a worker that died and fails only the job it was at, where the standard library's breaks
    as a whole.

    Args:
        workers: processes at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = self._make()

    def _make(self) -> ProcessPool:
        return ProcessPool(max_workers=self._workers, context=load_ahead(), initializer=start_worker)

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Starts a job as soon as a worker is free."""
        future: Future[Any]
        try:
            future = self._pool.schedule(function, args=list(args))
        except RuntimeError:
            # Pebble gives a pool up when a worker dies between two jobs; those that it was at have failed by now
            self.stop()
            self._pool = self._make()
            future = self._pool.schedule(function, args=list(args))
        return future

    def stop(self) -> None:
        """Ends all workers at once, whatever they are doing."""
        self._pool.stop()
        self._pool.join()


def answer(future: "Future[Any]") -> Any:
    """The result of a finished job.

    Raises:
        WorkerDied: the process ended without one.
    """
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise WorkerDied(f"its worker process ended ({error}; killed, or out of memory?)") from None
    except ProcessExpired as error:
        how = f"by signal {-error.exitcode}" if error.exitcode < 0 else f"with status {error.exitcode}"
        raise WorkerDied(f"its worker process ended {how} (killed, or out of memory?)") from None


def allot(device: str, environment: Environment, workers: int | None) -> list[str]:
    """The device of each worker; as many workers as the list is long.

    Args:
        device: `run.device`; an index (`cuda:1`) holds for all workers.
        workers: as asked for; default: one per GPU, or as many as the cores have room for the threads of a fit.

    Raises:
        ConfigError: a GPU is asked for where torch finds none.
    """
    if environment.device == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return ["cpu"] * (workers or max(1, cores // environment.threads))
    gpus = cuda_devices()
    index = int(device.partition(":")[2] or 0)
    if index >= gpus:
        raise ConfigError(f"`run.device` needs GPU {index}, but torch finds {gpus} here.")
    if ":" in device:
        return [device] * (workers or 1)
    return [f"cuda:{number % gpus}" for number in range(workers or gpus)]
