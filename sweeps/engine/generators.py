"""Generated training images, made before any training: a generator that diverges ends the run here."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.synthetic import describe, sheet_of
from resnet_tl.errors import DataError, UserError
from resnet_tl.files import is_full
from resnet_tl.result import Epoch
from sweeps.engine.disk_room import disk_full
from sweeps.engine.display import Display
from sweeps.engine.interrupt import Interrupt
from sweeps.engine.prepared_study import PreparedStudy
from sweeps.execution.executor import Executor, Job, Running, WorkerDied, run_all
from sweeps.execution.tasks import Generate


def provide_generated(
    study: PreparedStudy,
    configs: Iterable[TrialConfig],
    *,
    executor: Executor,
    display: Display,
    interrupt: Interrupt,
) -> None:
    """Trains the generators that have not been trained yet, and stores their images.

    Args:
        configs: of all trials that may be run.

    Raises:
        UserError: images cannot be made.
    """
    run_all(executor, _Generators(study, configs, display), interrupt.check)


class _Generators:
    """What is to be made; `Callbacks` of `run_all`."""

    def __init__(self, study: PreparedStudy, configs: Iterable[TrialConfig], display: Display) -> None:
        self._display, self._out = display, study.out
        self._waiting: deque[Job[Prepared]] = deque()
        for data in study.generated(configs):
            if data.is_made:
                display.say(f"generated images beside real ones: {sheet_of(data)}")
                continue
            display.say(f"training a {describe(data)} …")
            self._waiting.append(Job(item=data, task=Generate(data=data)))

    def next_job(self) -> Job[Prepared] | None:
        return self._waiting.popleft() if self._waiting else None

    def done(self, running: Running[Prepared], result: None) -> None:
        data = running.job.item
        line = f"{_name(data)}; generated images beside real ones: {sheet_of(data)}"
        self._display.finished(data.folder, line, running.spent_s, counts=False)

    def lost(self, running: Running[Prepared], error: WorkerDied) -> None:
        if running.job.attempt:
            raise DataError(f"The {_name(running.job.item)} could not be trained: {error}.") from None
        self._waiting.append(replace(running.job, attempt=1))

    def failed(self, running: Running[Prepared], error: Exception) -> None:
        if isinstance(error, UserError):
            raise error
        if is_full(error):
            raise disk_full(error, self._out) from None
        raise DataError(
            f"The {_name(running.job.item)} could not be trained: {type(error).__name__}: {error}"
        ) from error

    def follow(self, running: Running[Prepared], news: Sequence[tuple[int, Epoch]]) -> None:
        data = running.job.item
        if news and data.generated:
            _, last = news[-1]
            note = f"loss of the discriminator {last.metrics['loss']:.3f}"
            self._display.running(data.folder, _name(data), last.epoch, data.generated.steps, note, counted="step")


def _name(data: Prepared) -> str:
    height, width = data.size
    return f"generator at {height}×{width} pixels"
