"""One task on all workers at once, which is timed as a study's own work will run: beside others like it."""

from collections.abc import Sequence
from typing import Any

from resnet_tl.result import Epoch
from sweeps.execution.executor import Executor, Job, Running, Task, WorkerDied, run_all


class CannotTime(Exception):
    """A step of some work failed when it was tried."""


def on_all(executor: Executor, task: Task) -> list[Any]:
    """Has every worker do it; returns their answers.

    Raises:
        CannotTime: one could not.
    """
    callbacks = _Same(task, len(executor.slots))
    run_all(executor, callbacks, lambda: None)
    return callbacks.answers


class _Same:
    """One task, as often as there are workers; `Callbacks`."""

    def __init__(self, task: Task, many: int) -> None:
        self._waiting = [Job(item=None, task=task) for _ in range(many)]
        self.answers: list[Any] = []

    def next_job(self) -> Job[None] | None:
        return self._waiting.pop() if self._waiting else None

    def done(self, running: Running[None], result: Any) -> None:
        self.answers.append(result)

    def lost(self, running: Running[None], error: WorkerDied) -> None:
        raise CannotTime(str(error))

    def failed(self, running: Running[None], error: Exception) -> None:
        raise CannotTime(f"{type(error).__name__}: {error}")

    def follow(self, running: Running[None], news: Sequence[tuple[int, Epoch]], share: float) -> None:
        pass
