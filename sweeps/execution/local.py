"""Worker processes on this machine."""

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import count
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from resnet_tl.device import gives_back
from resnet_tl.heartbeat import heard
from resnet_tl.result import Epoch
from sweeps.execution.ahead import load_ahead
from sweeps.execution.executor import POLL_S, Slot, Task, WorkerDied
from sweeps.records import Cause

BEAT_S = 0.5
"""The least time between two signs of life of a task."""

STOP = "stop.jsonl"
"""End of the name of the file by which tasks are asked to end; it goes with those of their progress."""

END_S = 30.0
"""Patience with workers that are to end."""


class LocalExecutor:
    """One process for each slot.

    Each is a pool of Pebble by itself, which replaces a worker that died and fails only the task it was at. Workers of
    one pool share a channel and its lock, so that one that is stopped in the wrong moment would stop them all.

    Args:
        slots: as many workers.
        scratch: folder for the progress of running tasks.
    """

    def __init__(self, slots: Sequence[Slot], scratch: Path) -> None:
        self.slots = tuple(slots)
        self._scratch = scratch
        self._numbers = count()
        self._tasks: dict[Future[Any], _Submitted] = {}
        self._pools = [self._make() for _ in self.slots]
        self._ending: list[threading.Thread] = []

    def _make(self) -> ProcessPool:
        return ProcessPool(max_workers=1, context=load_ahead(), initializer=_start_worker)

    def submit(self, task: Task, slot: Slot) -> "Future[Any]":
        """See `Executor`."""
        path = self._scratch / f"progress-{os.getpid()}-{next(self._numbers)}.jsonl"
        args = [task, slot.device, str(path)]
        busy = Counter(submitted.pool for submitted in list(self._tasks.values()))
        pool = min(self._pools, key=lambda each: busy[each])
        future: Future[Any]
        try:
            future = pool.schedule(_run, args=args)
        except RuntimeError:
            # Pebble gives a pool up when its worker dies between two tasks
            pool = self._replace(pool)
            future = pool.schedule(_run, args=args)
        answered = _Answer(future)
        self._tasks[answered] = _Submitted(pool=pool, reader=_Reader(path))
        answered.add_done_callback(self._forget)
        return answered

    def epochs(self, future: "Future[Any]") -> Sequence[tuple[int, Epoch]]:
        """See `Executor`."""
        submitted = self._tasks.get(future)
        return submitted.reader.news() if submitted else []

    def share(self, future: "Future[Any]") -> float:
        """See `Executor`."""
        submitted = self._tasks.get(future)
        return submitted.reader.share if submitted else 0.0

    def sign(self, future: "Future[Any]") -> Hashable:
        """See `Executor`."""
        submitted = self._tasks.get(future)
        return submitted.reader.sign() if submitted else None

    def cancel(self, future: "Future[Any]", reason: str) -> None:
        """See `Executor`."""
        assert isinstance(future, _Answer)
        submitted = self._tasks.get(future)
        future.cancelled_because = reason
        of_pool = future.of_pool
        if of_pool is not None and of_pool.cancel() and submitted:
            # Pebble ends the worker of a task that has begun; the task may still wait behind one that stands still
            self._replace(submitted.pool)

    def ask_to_stop(self) -> None:
        """See `Executor`."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        (self._scratch / f"progress-{os.getpid()}-{STOP}").touch()

    def close(self) -> None:
        """See `Executor`."""
        for pool in self._pools:
            self._end(pool)
        for thread in self._ending:
            thread.join(END_S)
        for left in self._scratch.glob(f"progress-{os.getpid()}-*.jsonl"):
            left.unlink(missing_ok=True)

    def _replace(self, pool: ProcessPool) -> ProcessPool:
        """A new pool in place of one whose worker is to end, or has ended."""
        self._end(pool)
        place = self._pools.index(pool)
        self._pools[place] = self._make()
        return self._pools[place]

    def _end(self, pool: ProcessPool) -> None:
        """Ends a pool with its worker, on the side: a worker that waits for a dead disk cannot be ended before that."""

        def work() -> None:
            pool.stop()
            pool.join()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self._ending.append(thread)

    def _forget(self, future: "Future[Any]") -> None:
        submitted = self._tasks.pop(future, None)
        if submitted:
            submitted.reader.path.unlink(missing_ok=True)


class _Answer(Future[Any]):
    """A future of the pool, whose ways of saying that a worker died are one."""

    def __init__(self, of_pool: "Future[Any]") -> None:
        super().__init__()
        self.of_pool: Future[Any] | None = of_pool
        """None once it has answered: the two would keep each other, and the result, until garbage is collected."""
        self.cancelled_because = ""
        self._killed_for_memory = _num_killed_for_memory(int(time.monotonic()))
        of_pool.add_done_callback(self._answer)

    def _answer(self, of_pool: "Future[Any]") -> None:
        self.of_pool = None
        if of_pool.cancelled():
            self.set_exception(WorkerDied(self.cancelled_because))
            return
        error = of_pool.exception()
        if isinstance(error, ProcessExpired):
            how = f"by signal {-error.exitcode}" if error.exitcode < 0 else f"with status {error.exitcode}"
            is_killed = error.exitcode == -signal.SIGKILL
            if is_killed and _num_killed_for_memory(time.monotonic()) > self._killed_for_memory:
                error = WorkerDied(f"its worker process ended {how}, for memory was short", Cause.OUT_OF_MEMORY)
            else:
                error = WorkerDied(f"its worker process ended {how} (killed, or out of memory?)")
        elif isinstance(error, BrokenProcessPool):
            error = WorkerDied(f"its worker process ended ({error}; killed, or out of memory?)")
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(of_pool.result())


@lru_cache(maxsize=1)
def _num_killed_for_memory(moment: float) -> int:
    """Processes that the kernel has killed because memory was short; 0 where it does not tell.

    Args:
        moment: when this is asked; twice at the same moment the answer is not looked up again, which takes 0.1 ms.
    """
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/vmstat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


# -- progress, from the worker to the driver by way of a file ---------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Submitted:
    """A task that a pool has."""

    pool: ProcessPool
    reader: "_Reader"


class _Writer:
    """Adds epochs to a file, one JSON line each. Those that come fast go together: nobody reads hundreds a second.

    A line that is a number is how much of the next epoch is done. The date of the file is the last sign of life.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[str] = []
        self._written = time.monotonic()
        self._touched = 0.0

    def beat(self, share: float | None = None) -> None:
        """The task goes on."""
        if time.monotonic() - self._touched >= BEAT_S:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                if share is None:
                    self._path.touch()
                else:
                    with self._path.open("a") as stream:
                        stream.write(f"{share:.3f}\n")
            self._touched = time.monotonic()

    def is_to_stop(self) -> bool:
        """Whether the driver has left word, beside the file."""
        driver = self._path.name.rpartition("-")[0]
        return self._path.with_name(f"{driver}-{STOP}").exists()

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
        self.share = 0.0

    def sign(self) -> Hashable:
        """The file's date, which every sign of life changes."""
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return None

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
                told = json.loads(line)
                if isinstance(told, float):
                    self.share = told
                    continue
                run, epoch = told
                found.append((int(run), Epoch(**epoch)))
                self.share = 0.0
        return found


# -- in the worker ----------------------------------------------------------------------------------------------------


def _run(task: Task, device: str, progress: str) -> Any:
    writer = _Writer(Path(progress))
    writer.beat()
    with heard(writer.beat, writer.is_to_stop), gives_back(device):
        return task(device, writer)


def _start_worker() -> None:
    # the end of the terminal, like Ctrl-C, is the driver's to answer
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_die_with_driver, daemon=True).start()


def _die_with_driver() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
