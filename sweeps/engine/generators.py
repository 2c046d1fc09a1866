"""Generated training images, made before any training: a generator that diverges ends the run here."""

from collections.abc import Callable, Iterable, Sequence

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.synthetic import describe, sheet_of
from resnet_tl.errors import DataError
from resnet_tl.result import Epoch
from sweeps.engine.display import Display
from sweeps.engine.made_once import MadeOnce
from sweeps.engine.prepared_study import PreparedStudy
from sweeps.execution.executor import Executor, Job, Running, run_all
from sweeps.execution.tasks import Generate


def provide_generated(
    study: PreparedStudy,
    configs: Iterable[TrialConfig],
    *,
    executor: Executor,
    display: Display,
    check: Callable[[], None],
) -> None:
    """Trains the generators that have not been trained yet, and stores their images.

    Args:
        configs: of all trials that may be run.

    Raises:
        UserError: images cannot be made.
    """
    run_all(executor, _Generators(study, configs, display), check)


class _Generators(MadeOnce[Prepared]):
    """What is to be made."""

    def __init__(self, study: PreparedStudy, configs: Iterable[TrialConfig], display: Display) -> None:
        super().__init__(study.out, DataError)
        self._display = display
        for data in study.generated(configs):
            if data.is_made:
                display.say(f"generated images beside real ones: {sheet_of(data)}")
                continue
            display.say(f"training a {describe(data)} …")
            self._waiting.append(Job(item=data, task=Generate(data=data)))

    def name_of(self, item: Prepared) -> str:
        height, width = item.size
        return f"generator at {height}×{width} pixels"

    def done(self, running: Running[Prepared], result: None) -> None:
        data = running.job.item
        line = f"{self.name_of(data)}; generated images beside real ones: {sheet_of(data)}"
        self._display.finished(data.folder, line, counts=False)

    def follow(self, running: Running[Prepared], news: Sequence[tuple[int, Epoch]], share: float) -> None:
        data = running.job.item
        made = data.generated
        if news and made:
            _, last = news[-1]
            note = f"loss of the discriminator {last.metrics['loss']:.3f}"
            self._display.running(data.folder, self.name_of(data), last.epoch, made.steps, note, counted="step")
