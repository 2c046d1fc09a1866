"""Worker processes on this machine."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from itertools import count
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from resnet_tl.result import Epoch
from sweeps.execution.ahead import load_ahead
from sweeps.execution.executor import POLL_S, Slot, Task, WorkerDied


class LocalExecutor:
    """One process for each slot.

    Pebble's pool replaces a worker that died and fails only the task it was at, where the standard library's breaks
    as a whole.

    Args:
        slots: as many workers.
        scratch: folder for the progress of running tasks.
    """

    def __init__(self, slots: Sequence[Slot], scratch: Path) -> None:
        self.slots = tuple(slots)
        self._scratch = scratch
        self._numbers = count()
        self._progress: dict[Future[Any], _Reader] = {}
        self._pool = self._make()

    def _make(self) -> ProcessPool:
        return ProcessPool(max_workers=len(self.slots), context=load_ahead(), initializer=_start_worker)

    def submit(self, task: Task, slot: Slot) -> "Future[Any]":
        """See `Executor`."""
        path = self._scratch / f"progress-{os.getpid()}-{next(self._numbers)}.jsonl"
        args = [task, slot.device, str(path)]
        future: Future[Any]
        try:
            future = self._pool.schedule(_run, args=args)
        except RuntimeError:
            # Pebble gives a pool up when a worker dies between two tasks; those that it was at have failed by now
            self._end_pool()
            self._pool = self._make()
            future = self._pool.schedule(_run, args=args)
        answered = _Answer(future)
        self._progress[answered] = _Reader(path)
        answered.add_done_callback(self._forget)
        return answered

    def epochs(self, future: "Future[Any]") -> Sequence[tuple[int, Epoch]]:
        """See `Executor`."""
        reader = self._progress.get(future)
        return reader.news() if reader else []

    def cancel(self, future: "Future[Any]") -> None:
        """See `Executor`."""
        assert isinstance(future, _Answer)
        future.of_pool.cancel()

    def close(self) -> None:
        """See `Executor`."""
        self._end_pool()
        for left in self._scratch.glob(f"progress-{os.getpid()}-*.jsonl"):
            left.unlink(missing_ok=True)

    def _end_pool(self) -> None:
        self._pool.stop()
        self._pool.join()

    def _forget(self, future: "Future[Any]") -> None:
        reader = self._progress.pop(future, None)
        if reader:
            reader.path.unlink(missing_ok=True)


class _Answer(Future[Any]):
    """A future of the pool, whose ways of saying that a worker died are one."""

    def __init__(self, of_pool: "Future[Any]") -> None:
        super().__init__()
        self.of_pool = of_pool
        of_pool.add_done_callback(self._answer)

    def _answer(self, of_pool: "Future[Any]") -> None:
        if of_pool.cancelled():
            self.set_exception(WorkerDied("it was cancelled"))
            return
        error = of_pool.exception()
        if isinstance(error, ProcessExpired):
            how = f"by signal {-error.exitcode}" if error.exitcode < 0 else f"with status {error.exitcode}"
            error = WorkerDied(f"its worker process ended {how} (killed, or out of memory?)")
        elif isinstance(error, BrokenProcessPool):
            error = WorkerDied(f"its worker process ended ({error}; killed, or out of memory?)")
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(of_pool.result())


# -- progress, from the worker to the driver by way of a file ---------------------------------------------------------


class _Writer:
    """Adds epochs to a file, one JSON line each. Those that come fast go together: nobody reads hundreds a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[str] = []
        self._written = time.monotonic()

    def __call__(self, run: int, epoch: Epoch) -> None:
        self._lines.append(json.dumps([run, asdict(epoch)]) + "\n")
        # epochs that come slowly are written at once, also after those that a restart has restored in a moment
        if time.monotonic() - self._written >= POLL_S or epoch.wall_s >= POLL_S:
            with contextlib.suppress(OSError):  # a full disk, say; the result holds all epochs again
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a") as stream:
                    stream.write("".join(self._lines))
            self._lines.clear()
            self._written = time.monotonic()


class _Reader:
    """Reads what a worker has added since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = 0

    def news(self) -> list[tuple[int, Epoch]]:
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._place)
                text = stream.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]  # a line that is still being written is left for the next look
        self._place += len(whole)
        found = []
        for line in whole.splitlines():
            with contextlib.suppress(ValueError, TypeError):  # half a line, from a disk that was full for a moment
                run, epoch = json.loads(line)
                found.append((int(run), Epoch(**epoch)))
        return found


# -- in the worker ----------------------------------------------------------------------------------------------------


def _run(task: Task, device: str, progress: str) -> Any:
    return task(device, _Writer(Path(progress)))


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    threading.Thread(target=_die_with_driver, daemon=True).start()


def _die_with_driver() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
