"""How long a study will take: steps of each shape of work are timed, by all workers at once, as they will run."""

import heapq
import tempfile
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.freezing import phases
from resnet_tl.result import Epoch
from resnet_tl.training.member import Member
from sweeps.engine.prepared_study import PreparedStudy
from sweeps.engine.scheduler import company_of, is_stored
from sweeps.execution.executor import Executor, Job, Running, WorkerDied, run_all
from sweeps.execution.executors import make_executor
from sweeps.execution.tasks import TimeSteps, Train, WarmUp
from sweeps.planning.feature_reuse import Decision, Reuse
from sweeps.planning.grouping import Company, Todo, take
from sweeps.planning.pace import shape_of
from sweeps.planning.study_state import StudyState
from sweeps.records import TrialRecord

if TYPE_CHECKING:
    from resnet_tl.training.timing import StepTimes


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Seconds, as they were timed on this machine just now."""

    seconds: float
    """Until every seed run is done, from the start of the workers on."""
    shared_s: float
    """Of these for pretrain stages and for what is computed once for all."""
    num_workers: int
    of_trials: dict[int, float]
    """By trial number: worker-seconds of one seed run, or its share of what is trained side by side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Timed:
    load_s: float
    times: "StepTimes"


class CannotTime(Exception):
    """A step of some work failed when it was tried."""


def forecast(
    study: PreparedStudy, state: StudyState, *, with_weights: bool, known: Collection[tuple[str, int]] = ()
) -> Forecast | None:
    """Times the steps of all that a study lacks; None where there is nothing to time, or no way to.

    With folds and on other machines nothing is timed.

    Args:
        known: fingerprints and seeds of what is taken over from other studies.
        with_weights: whether starting weights can be had; else steps are timed on random ones, which take as long.

    Raises:
        CannotTime: a step failed.
    """
    run = study.definition.run
    todo = deque(item for item in _todo(study, state) if (item.trial.fingerprint, item.seed) not in known)
    if not todo or study.data.folds or run.address is not None or run.executor == "ray":
        return None
    counts: dict[TrialConfig, int] = {}
    for item in todo:
        counts[item.trial.config] = counts.get(item.trial.config, 0) + 1
    reuse = study.decide_reuse(list(counts.items()), 0)
    slots = study.slots()
    with tempfile.TemporaryDirectory(prefix="sweeps-") as scratch:
        executor = make_executor("local", slots, Path(scratch))
        try:
            return _Timing(study, reuse, executor, with_weights=with_weights).forecast(todo)
        finally:
            executor.close()


def _todo(study: PreparedStudy, state: StudyState) -> Iterator[Todo]:
    """Seed runs that are lacking; configurations that show every value of the space stand for trials to come."""
    probes = study.probes()
    to_come = 0
    for trial, many in state.lacking():
        if trial is not None:
            lacking = study.known.lacks(trial, study.study.seeds)
            yield from (Todo(trial=trial, seed=seed) for seed in lacking[:many])
        else:
            to_come = many
    for number in range(to_come):
        config = probes[number % len(probes)]
        stand_in = TrialRecord(number=-1, params={}, config=config, fingerprint=f"probe {number}")
        yield Todo(trial=stand_in, seed=study.study.seeds[0])


class _Timing:
    def __init__(self, study: PreparedStudy, reuse: Reuse, executor: Executor, *, with_weights: bool) -> None:
        self._study, self._reuse, self._executor, self._with_weights = study, reuse, executor, with_weights
        self._known: dict[tuple[str, int], _Timed] = {}

    def forecast(self, todo: deque[Todo]) -> Forecast:
        study, workers = self._study, len(self._executor.slots)
        self._on_all(WarmUp())
        shared_s = 0.0
        for stage in study.stages():
            if stage.result() is None:
                told = self._of(stage.trial, stage.data, 1)
                shared_s += told.load_s + _fit_s(told.times, stage.trial, stage.data, is_stored=False)
        jobs_s: list[float] = []
        of_trials: dict[int, float] = {}
        computed: dict[Any, float] = {}
        load_s = 0.0

        def company(config: TrialConfig) -> Company | None:
            return company_of(study, self._reuse, config)

        while todo:
            for group in take(todo, company_of=company, device=study.environment.device, workers=workers):
                config = max((item.trial.config for item in group), key=lambda config: config.num_epochs)
                own = company(config)
                data = study.data_of(config)
                job_s = 0.0
                for phase in phases(config):
                    told = self._of(phase, data, 1 if own is None or own.in_turn else len(group))
                    load_s = max(load_s, told.load_s)
                    stored = is_stored(study, self._reuse, phase)
                    job_s += _fit_s(told.times, phase, data, is_stored=stored)
                    decision = self._reuse.of(study.prefix(phase))
                    if stored and decision is not None and decision.missing:
                        computed[decision.prefix] = _prefix_s(told.times, decision) / workers
                jobs_s.append(job_s)
                for item in group:
                    of_trials.setdefault(item.trial.number, job_s / len(group))
        shared_s += sum(computed.values())
        of_trials.pop(-1, None)
        return Forecast(
            seconds=shared_s + load_s + _together_s(jobs_s, workers),
            shared_s=shared_s,
            num_workers=workers,
            of_trials=of_trials,
        )

    def _of(self, config: TrialConfig, data: Prepared, many: int) -> _Timed:
        key = f"{shape_of(config)} {data.fingerprint}", many
        if key not in self._known:
            weights = self._study.start_from(config).weights if self._with_weights else "none"
            if config.weights in self._study.definition.pretrain:
                weights = "none"
            start = self._study.start_from(config.model_copy(update={"weights": "none"}))
            train = Train(
                runs=tuple(Member(trial=start.model_copy(update={"weights": weights}), seed=n) for n in range(many)),
                data=data,
                environment=self._study.environment,
                features=None,
            )
            answers: list[tuple[float, StepTimes]] = self._on_all(TimeSteps(train=train))
            mean = _mean([times for _, times in answers])
            self._known[key] = _Timed(load_s=max(load for load, _ in answers), times=mean)
        return self._known[key]

    def _on_all(self, task: Any) -> list[Any]:
        """The answers of a task that all workers do at once."""
        callbacks = _Same(task, len(self._executor.slots))
        run_all(self._executor, callbacks, lambda: None)
        return callbacks.answers


class _Same:
    """One task, as often as there are workers; `Callbacks`."""

    def __init__(self, task: Any, many: int) -> None:
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


def _mean(times: Sequence["StepTimes"]) -> "StepTimes":
    def of(name: str) -> float:
        return float(sum(getattr(each, name) for each in times) / len(times))

    return replace(
        times[0], begin_s=of("begin_s"), inputs_s=of("inputs_s"), step_s=of("step_s"), scored_s=of("scored_s")
    )


def _fit_s(times: "StepTimes", config: TrialConfig, data: Prepared, *, is_stored: bool) -> float:
    """Worker-seconds of one fit, or of heads side by side."""
    inputs_s = 0.0 if is_stored else times.inputs_s
    image_s = (times.scored_s + inputs_s) / times.batch
    epoch_s = times.num_steps * (times.step_s + inputs_s) + data.num_images["val"] * image_s
    final_s = sum(data.num_images[split] for split in data.scored) * image_s
    return times.begin_s + config.epochs * epoch_s + final_s


def _prefix_s(times: "StepTimes", decision: Decision) -> float:
    """Worker-seconds in which what is stored of a prefix is computed."""
    return decision.passes_once * times.inputs_s / times.batch


def _together_s(jobs_s: Sequence[float], workers: int) -> float:
    """Until the last job has ended, each begun by the first worker that is free."""
    free = [0.0] * workers
    for job_s in jobs_s:
        heapq.heappush(free, heapq.heappop(free) + job_s)
    return max(free)
