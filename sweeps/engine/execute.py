"""Runs jobs in processes of this machine, each of which may die without the others."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pebble import ProcessExpired, ProcessPool

from sweeps.engine.work import start_worker


class WorkerDied(Exception):
    """A worker process ended without an answer: killed, or out of memory."""


class LocalExecutor:
    """Worker processes on this machine, with the semantics of `concurrent.futures.Executor`.

    Pebble's pool replaces a worker that died and fails only the job it was at, where the standard library's breaks
    as a whole.

    Args:
        workers: processes at a time.
        threads: CPU threads that each may use.
    """

    def __init__(self, workers: int, threads: int) -> None:
        # numerical libraries read these when they are loaded, in the worker
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        self._pool = ProcessPool(
            max_workers=workers, context=multiprocessing.get_context("spawn"), initializer=start_worker
        )

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Starts a job as soon as a worker is free."""
        future: Future[Any] = self._pool.schedule(function, args=list(args))
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
    except ProcessExpired as error:
        how = f"by signal {-error.exitcode}" if error.exitcode < 0 else f"with status {error.exitcode}"
        raise WorkerDied(f"its worker process ended {how} (killed, or out of memory?)") from None
