"""Runs tasks on slots: what an executor must do, and the one loop that keeps its slots busy.

A second kind of executor implements `Executor` and passes `tests/sweeps/execution/test_executor.py` unchanged.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from resnet_tl.result import Epoch
from sweeps.execution.watch import Watch
from sweeps.records import Cause

POLL_S = 0.5
"""Pause between looks at the progress of running tasks."""

Report = Callable[[int, Epoch], None]
"""Told the number of a run within its task, and an epoch that it has finished."""


class WorkerDied(Exception):
    """A worker ended without an answer: killed, out of memory, or ended because it stood still.

    Args:
        cause: as far as it is known.
    """

    def __init__(self, reason: str, cause: Cause = Cause.WORKER_LOST) -> None:
        super().__init__(reason)
        self.cause = cause


class Task(Protocol):
    """A piece of work that travels to a worker: picklable, and a function of its fields."""

    def __call__(self, device: str, report: Report) -> Any:
        """Does the work.

        Args:
            device: of the slot, `cpu` or `cuda:1`.
            report: told of each epoch, for whoever follows.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """Room for one task at a time."""

    device: str
    threads: int = 1
    """CPU threads that a task on it computes with."""
    share: float = 1.0
    """Of the GPU, where the device is one: others may have the rest."""


class Executor(Protocol):
    """Workers, each of which may die without the others."""

    @property
    def slots(self) -> Sequence[Slot]:
        """Room for tasks; as many run at a time."""

    def submit(self, task: Task, slot: Slot) -> "Future[Any]":
        """Starts a task as soon as a worker is free.

        The future raises what the task raised, and `WorkerDied` when its worker ended without an answer.

        Raises:
            UserError: there can be no workers; the same from `epochs` and `sign`, where that shows later.
        """

    def epochs(self, future: "Future[Any]") -> Sequence[tuple[int, Epoch]]:
        """What a running task has reported since the last call."""

    def share(self, future: "Future[Any]") -> float:
        """How much of the epoch that is under way a running task had done by the last call of `epochs`, from 0 to 1."""

    def sign(self, future: "Future[Any]") -> Hashable:
        """Changes with every sign of life of a running task, an epoch or a step (`resnet_tl.heartbeat`)."""

    def cancel(self, future: "Future[Any]", reason: str) -> None:
        """Ends a task, and no other, whatever it is doing, also if its worker is stopped or waits for a dead disk.

        Args:
            reason: what `WorkerDied` says.
        """

    def ask_to_stop(self) -> None:
        """Has tasks end as soon as that loses nothing; trainings then raise `resnet_tl.heartbeat.Stopped`."""

    def close(self) -> None:
        """Ends all workers at once, whatever they are doing."""


Item = TypeVar("Item")
"""What the caller knows a task by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job(Generic[Item]):
    """A task with what the caller knows it by."""

    item: Item
    task: Task
    attempt: int = 0
    """How often its worker has died before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running(Generic[Item]):
    """A job on its slot."""

    job: Job[Item]
    slot: Slot
    clock: float
    """Of `time.monotonic`, when it began."""

    @property
    def spent_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.clock


class Callbacks(Protocol[Item]):
    """What becomes of jobs is up to whoever has them run."""

    def next_job(self) -> Job[Item] | None:
        """The next one to start on a free slot; None while there is none."""

    def done(self, running: Running[Item], result: Any) -> None:
        """A job has come to its end."""

    def lost(self, running: Running[Item], error: WorkerDied) -> None:
        """The worker of a job has died; the job may be handed out again."""

    def failed(self, running: Running[Item], error: Exception) -> None:
        """A job has raised an error."""

    def follow(self, running: Running[Item], news: Sequence[tuple[int, Epoch]], share: float) -> None:
        """A running job was looked at.

        Args:
            news: its epochs since the last look.
            share: see `Executor.share`.
        """


def run_all(executor: Executor, callbacks: Callbacks[Item], check: Callable[[], None]) -> None:
    """Keeps every slot busy until nothing runs and there is no next job.

    A task that shows no sign of life for too long is ended, and its worker counts as lost; see `Watch`.

    Args:
        check: called between two looks; may raise to end it all.
    """
    free = list(reversed(executor.slots))
    running: dict[Future[Any], Running[Item]] = {}
    watch = Watch()
    hung: set[Future[Any]] = set()
    while True:
        while free and (job := callbacks.next_job()) is not None:
            slot = free.pop()
            running[executor.submit(job.task, slot)] = Running(job=job, slot=slot, clock=time.monotonic())
        check()
        if not running:
            return
        finished, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
        stopped: Exception | None = None
        for future in finished:
            ended = running.pop(future)
            free.append(ended.slot)
            watch.forget(future)
            try:
                _settle(callbacks, ended, future, is_hung=future in hung)
            except Exception as error:  # after those that came at the same moment
                stopped = stopped or error
        if stopped:
            raise stopped
        watch.look()
        for future, still in running.items():
            news = executor.epochs(future)
            callbacks.follow(still, news, executor.share(future))
            if reason := watch.stands_still(future, executor.sign(future), news):
                hung.add(future)
                executor.cancel(future, reason)  # it comes back as lost at the next look


def run_one(executor: Executor, task: Task, check: Callable[[], None]) -> Any:
    """Runs a single task, once more if its worker is lost, and returns what it answers.

    Raises:
        WorkerDied: both workers were lost.
    """
    one = _One(task)
    run_all(executor, one, check)
    return one.answer


class _One:
    """Callbacks of a single task."""

    def __init__(self, task: Task) -> None:
        self._next: Job[None] | None = Job(item=None, task=task)
        self.answer: Any = None

    def next_job(self) -> Job[None] | None:
        job, self._next = self._next, None
        return job

    def done(self, running: Running[None], result: Any) -> None:
        self.answer = result

    def lost(self, running: Running[None], error: WorkerDied) -> None:
        if running.job.attempt:
            raise error
        self._next = replace(running.job, attempt=1)

    def failed(self, running: Running[None], error: Exception) -> None:
        raise error

    def follow(self, running: Running[None], news: Sequence[tuple[int, Epoch]], share: float) -> None:
        pass


def _settle(callbacks: Callbacks[Item], ended: Running[Item], future: "Future[Any]", *, is_hung: bool) -> None:
    try:
        result = future.result()
    except WorkerDied as error:
        if is_hung:
            error.cause = Cause.HUNG
        callbacks.lost(ended, error)
    except Exception as error:  # whatever a task raises is the caller's to judge
        callbacks.failed(ended, error)
    else:
        callbacks.done(ended, result)
