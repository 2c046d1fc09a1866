"""Starting weights, made or fetched before any training: weights that cannot be had end the run here."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import verify
from resnet_tl.errors import WeightsError
from resnet_tl.result import Epoch
from resnet_tl.training.stage import is_made, result_of
from sweeps.engine.display import Display
from sweeps.engine.made_once import MadeOnce
from sweeps.engine.prepared_study import PreparedStudy
from sweeps.execution.executor import Executor, Job, Running, run_all
from sweeps.execution.tasks import FetchWeights, Pretrain


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """One thing to get."""

    name: str
    epochs: int
    """Of a pretrain stage; 0 for weights that are there."""
    monitor: str = ""
    """By what the epoch of a stage is selected."""


def provide_weights(
    study: PreparedStudy,
    configs: Iterable[TrialConfig],
    *,
    executor: Executor,
    display: Display,
    check: Callable[[], None],
) -> None:
    """Runs the pretrain stages that have not run yet, and loads every other source once.

    Args:
        configs: of all trials that may be run.

    Raises:
        UserError: weights cannot be had.
    """
    run_all(executor, _Sources(study, configs, display), check)


class _Sources(MadeOnce[_Source]):
    """What is to be got."""

    def __init__(self, study: PreparedStudy, configs: Iterable[TrialConfig], display: Display) -> None:
        super().__init__(study.out, WeightsError)
        self._display = display
        distinct = {(config.weights, config.backbone): config for config in configs if config.weights != "none"}
        for (spec, backbone), config in distinct.items():
            if spec not in study.definition.pretrain:
                fetch = FetchWeights(weights=study.start_from(config).weights, backbone=backbone)
                self._waiting.append(Job(item=_Source(name=f"weights {spec}", epochs=0), task=fetch))
                continue
            stage = study.stage(config)
            if is_made(stage.checkpoint):
                shutil.rmtree(stage.checkpoint.parent / "work", ignore_errors=True)  # a kill came before its removal
                continue
            verify(stage.data)
            pretrain = Pretrain(
                trial=stage.trial,
                data=stage.data,
                seed=stage.seed,
                environment=study.environment,
                cache=study.cache,
            )
            display.say(f"pretraining {stage.describe()} …")
            source = _Source(name=f"pretrain {stage.name}", epochs=stage.trial.num_epochs, monitor=stage.trial.monitor)
            self._waiting.append(Job(item=source, task=pretrain))

    def name_of(self, item: _Source) -> str:
        return item.name

    def done(self, running: Running[_Source], result: Any) -> None:
        source = running.job.item
        if source.epochs:
            score = f"{source.monitor} {result_of(result, source.monitor).score:.4f}"
            self._display.finished(source.name, f"{source.name}: {score}", counts=False)
            return
        for sentence in result:  # of weights that were loaded
            self._display.say(sentence)

    def follow(self, running: Running[_Source], news: Sequence[tuple[int, Epoch]], share: float) -> None:
        source = running.job.item
        if source.epochs and news:
            _, last = news[-1]
            note = f"{source.monitor} {last.metrics[source.monitor]:.4f}"
            self._display.running(source.name, source.name, last.epoch, source.epochs, note)
