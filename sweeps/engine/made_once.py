"""What is made before any training, each thing once: starting weights, generated images."""

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from resnet_tl.errors import UserError
from resnet_tl.files import is_full
from resnet_tl.result import Epoch
from sweeps.engine.disk_room import disk_full
from sweeps.execution.executor import Job, Running, WorkerDied

Item = TypeVar("Item")


class MadeOnce(Generic[Item]):
    """Jobs that wait; `Callbacks` of `run_all`. One whose worker dies is tried once more, any other error ends the run.

    Args:
        out: `run.out`, which a full disk is told with.
        error: what is raised where a thing cannot be made.
    """

    def __init__(self, out: Path, error: type[UserError]) -> None:
        self._out, self._error = out, error
        self._waiting: deque[Job[Item]] = deque()

    @abstractmethod
    def name_of(self, item: Item) -> str:
        """As messages call it."""

    def next_job(self) -> Job[Item] | None:
        """See `Callbacks`."""
        return self._waiting.popleft() if self._waiting else None

    @abstractmethod
    def done(self, running: Running[Item], result: Any) -> None:
        """See `Callbacks`."""

    def lost(self, running: Running[Item], error: WorkerDied) -> None:
        """See `Callbacks`."""
        if running.job.attempt:
            raise self._error(f"The {self.name_of(running.job.item)} could not be made: {error}.") from None
        self._waiting.append(replace(running.job, attempt=1))

    def failed(self, running: Running[Item], error: Exception) -> None:
        """See `Callbacks`."""
        if isinstance(error, UserError):
            raise error
        if is_full(error):
            raise disk_full(error, self._out) from None
        name = self.name_of(running.job.item)
        raise self._error(f"The {name} could not be made: {type(error).__name__}: {error}") from error

    @abstractmethod
    def follow(self, running: Running[Item], news: Sequence[tuple[int, Epoch]], share: float) -> None:
        """See `Callbacks`."""
