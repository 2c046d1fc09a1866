"""How many tasks that do nothing an executor passes to two workers and back.

    python -m benchmarks.executors local 2000
    python -m benchmarks.executors ray 2000

prints one JSON object. What it takes to start the workers is told apart: `start_s` ends with the first answer of each.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_tl.result import Epoch
from sweeps.execution.executor import Job, Running, Slot, WorkerDied, run_all
from sweeps.execution.executors import make_executor


@dataclass(frozen=True)
class Nothing:
    """A task without any work."""

    pause_s: float = 0.0

    def __call__(self, device: str, report: Any) -> None:
        """Returns nothing."""
        time.sleep(self.pause_s)


class Count:
    """Callbacks that hand out a number of tasks."""

    def __init__(self, tasks: int) -> None:
        self.left = tasks
        self.done_so_far = 0

    def next_job(self) -> Job[None] | None:
        """See `Callbacks`."""
        self.left -= 1
        return Job(item=None, task=Nothing()) if self.left >= 0 else None

    def done(self, running: Running[None], result: Any) -> None:
        """See `Callbacks`."""
        self.done_so_far += 1

    def lost(self, running: Running[None], error: WorkerDied) -> None:
        """See `Callbacks`."""
        raise error

    def failed(self, running: Running[None], error: Exception) -> None:
        """See `Callbacks`."""
        raise error

    def follow(self, running: Running[None], news: Sequence[tuple[int, Epoch]], share: float) -> None:
        """See `Callbacks`."""


def main() -> None:
    """Measures once."""
    name, tasks = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        begun = time.perf_counter()
        executor = make_executor(name, [Slot(device="cpu")] * 2, Path(scratch))
        try:
            for future in [executor.submit(Nothing(1.0), slot) for slot in executor.slots]:
                future.result()
            ready, cpu = time.perf_counter(), time.process_time()
            count = Count(tasks)
            run_all(executor, count, lambda: None)
            assert count.done_so_far == tasks
            spent = time.perf_counter() - ready
            cpu = time.process_time() - cpu
        finally:
            closing = time.perf_counter()
            executor.close()
    told = {
        "executor": name,
        "tasks": tasks,
        "tasks_a_minute": 60 * tasks / spent,
        "driver_cpu_ms_a_task": 1e3 * cpu / tasks,
        "start_s": ready - begun - 1.0,
        "close_s": time.perf_counter() - closing,
    }
    print(json.dumps({key: round(value, 2) if isinstance(value, float) else value for key, value in told.items()}))


if __name__ == "__main__":
    main()
