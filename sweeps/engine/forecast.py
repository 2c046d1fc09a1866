"""How long a study will take: steps of each shape of work are timed, by all workers at once, as they will run."""

import heapq
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.architecture import piece_costs
from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.features.key import FrozenPrefix
from resnet_tl.freezing import phases
from resnet_tl.model import weights
from resnet_tl.training.member import Member
from sweeps.engine.prepared_study import PreparedStudy
from sweeps.engine.scheduler import company_of, is_stored
from sweeps.execution.everywhere import on_all
from sweeps.execution.executor import Executor
from sweeps.execution.executors import make_executor
from sweeps.execution.tasks import TimeSteps, Train, WarmUp
from sweeps.planning.feature_reuse import Decision, Reuse
from sweeps.planning.grouping import Company, side_by_side
from sweeps.planning.pace import WITHOUT_COST, shape_of
from sweeps.planning.study_state import StudyState

if TYPE_CHECKING:
    from resnet_tl.training.timing import StepTimes


BUDGET_S = 60.0
"""Seconds of timing after which further kinds of work are reckoned by the nearest kind that was timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Seconds, as they were timed on this machine just now."""

    seconds: float
    """Until every seed run is done, from the start of the workers on."""
    shared_s: float
    """Of these for pretrain stages and for what is computed once for all."""
    num_workers: int
    num_reckoned: int
    """Kinds of work that were not timed, since there are so many."""
    of_trials: dict[int, float]
    """By trial number: worker-seconds of one seed run, or its share of what is trained side by side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Timed:
    config: TrialConfig
    load_s: float
    times: "StepTimes"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """A seed run that is lacking."""

    config: TrialConfig
    seed: int
    number: int | None
    """Of its trial; None for one to come, for which a configuration stands that shows a value of the space."""
    turn: int = 0
    """Those to come that are proposed one after the other are not trained side by side with others."""


def forecast(
    study: PreparedStudy, state: StudyState, *, with_weights: bool, known: Collection[tuple[str, int]] = ()
) -> Forecast | None:
    """Times the steps of all that a study lacks; None where there is nothing to time, or no way to.

    With folds and on other machines nothing is timed.

    Args:
        known: fingerprints and seeds of what is taken over from other studies.
        with_weights: whether starting weights can be had; else, and where they must be downloaded or trained first,
            steps are timed on random ones, which take as long.

    Raises:
        CannotTime: a step failed.
    """
    run = study.definition.run
    items = list(_items(study, state, known))
    if not items or study.data.folds or run.address is not None or run.executor == "ray":
        return None
    counts = Counter(item.config for item in items)
    reuse = study.decide_reuse(list(counts.items()), 0)
    slots = study.slots()
    with tempfile.TemporaryDirectory(prefix="sweeps-") as scratch:
        executor = make_executor("local", slots, Path(scratch))
        try:
            return _Timing(study, reuse, executor, with_weights=with_weights).forecast(items)
        finally:
            executor.close()


def _items(study: PreparedStudy, state: StudyState, known: Collection[tuple[str, int]]) -> Iterator[_Item]:
    seeds = study.study.seeds
    confirming = state.to_confirm()
    to_come = 0
    for trial, many in state.lacking():
        if trial is None:
            to_come = many - len(confirming)
            continue
        for seed in study.known.lacks(trial, seeds)[:many]:
            if (trial.fingerprint, seed) not in known:
                yield _Item(config=trial.config, seed=seed, number=trial.number)
    for item in confirming:
        yield _Item(config=item.trial.config, seed=item.seed, number=item.trial.number)
    probes = study.probes()
    one_by_one = study.study.method == "bayes"
    for number in range(to_come):
        trial_number = number // len(seeds)
        config, seed = probes[trial_number % len(probes)], seeds[number % len(seeds)]
        yield _Item(config=config, seed=seed, number=None, turn=1 + trial_number if one_by_one else 0)


class _Timing:
    def __init__(self, study: PreparedStudy, reuse: Reuse, executor: Executor, *, with_weights: bool) -> None:
        self._study, self._reuse, self._executor, self._with_weights = study, reuse, executor, with_weights
        self._known: dict[tuple[str, int], _Timed] = {}
        self._spent_s = 0.0
        self._reckoned: set[tuple[str, int]] = set()

    def forecast(self, items: Sequence[_Item]) -> Forecast:
        study, workers = self._study, len(self._executor.slots)
        on_all(self._executor, WarmUp())
        shared_s = 0.0
        for stage in study.stages():
            if stage.result() is None:
                told = self._of(stage.trial, stage.data, 1)
                shared_s += told.load_s + _fit_s(told.times, stage.trial, stage.data, is_stored=False, is_last=True)
        jobs_s: list[float] = []
        of_trials: dict[int, float] = {}
        computed: dict[FrozenPrefix, float] = {}
        load_s = 0.0
        for group, in_turn in self._groups(items):
            config = max((item.config for item in group), key=lambda config: config.num_epochs)
            data = study.data_of(config)
            # side by side those that end earlier leave
            share = 1.0 if in_turn else sum(i.config.num_epochs for i in group) / (len(group) * config.num_epochs)
            job_s = 0.0
            for phase in phases(config):
                told = self._of(phase, data, 1 if in_turn else len(group))
                load_s = max(load_s, told.load_s)
                stored = is_stored(study, self._reuse, phase)
                job_s += share * _fit_s(told.times, phase, data, is_stored=stored, is_last=phase is config)
                decision = self._reuse.of(study.prefix(phase))
                if stored and decision is not None and decision.missing:
                    computed[decision.prefix] = _prefix_s(told.times, decision) / workers
            jobs_s.append(job_s)
            for item in group:
                if item.number is not None:
                    of_trials.setdefault(item.number, job_s / len(group))
        shared_s += sum(computed.values())
        return Forecast(
            seconds=shared_s + load_s + _together_s(jobs_s, workers),
            shared_s=shared_s,
            num_workers=workers,
            num_reckoned=len(self._reckoned),
            of_trials=of_trials,
        )

    def _groups(self, items: Sequence[_Item]) -> Iterator[tuple[list[_Item], bool]]:
        """Seed runs that go to a worker together, as `grouping.take` puts them; and whether they take turns."""
        study, workers = self._study, len(self._executor.slots)
        company: dict[TrialConfig, Company | None] = {}
        together: dict[tuple[str, int | None, int], list[_Item]] = {}
        for item in items:
            if item.config not in company:
                company[item.config] = company_of(study, self._reuse, item.config)
            own = company[item.config]
            if own is None or (own.in_turn and item.number is None):
                yield [item], own is not None
            else:
                key = own.name, item.seed if own.in_turn else None, item.turn
                together.setdefault(key, []).append(item)
        for (_, seed, _), group in together.items():
            if seed is not None:
                yield group, True
                continue
            groups = side_by_side(group, device=study.environment.device, workers=workers)
            yield from ((own, False) for own in groups)

    def _of(self, config: TrialConfig, data: Prepared, many: int) -> _Timed:
        if data.generated is not None and not data.is_made:
            data = data.generated.real  # an epoch is as long
        key = f"{shape_of(config)} {data.fingerprint}", many
        if key in self._known:
            return self._known[key]
        if self._spent_s > BUDGET_S:
            self._reckoned.add(key)
            return self._nearest(config, many)
        begun = time.monotonic()
        train = Train(
            runs=tuple(Member(trial=self._startable(config), seed=number) for number in range(many)),
            data=data,
            environment=self._study.environment,
            features=None,
        )
        answers: list[tuple[float, StepTimes]] = on_all(self._executor, TimeSteps(train=train))
        told = _Timed(
            config=config, load_s=max(load for load, _ in answers), times=_mean([times for _, times in answers])
        )
        self._known[key] = told
        self._spent_s += time.monotonic() - begun
        return told

    def _startable(self, config: TrialConfig) -> TrialConfig:
        """The same network, from weights that are here."""
        random = self._study.start_from(config.model_copy(update={"weights": "none"}))
        if not self._with_weights or config.weights in self._study.definition.pretrain:
            return random
        own = self._study.start_from(config)
        return own if weights.are_here(own.weights, own.backbone) else random

    def _nearest(self, config: TrialConfig, many: int) -> _Timed:
        """What was timed of the configuration that has most options in common, in proportion to multiplications."""
        told = max(
            self._known.items(),
            key=lambda pair: (pair[0][1] == many, _num_alike(pair[1].config, config)),
        )[1]
        ratio = macs_of(config) / macs_of(told.config)
        batch = config.batch_size / told.config.batch_size
        times = replace(
            told.times,
            inputs_s=told.times.inputs_s * ratio * batch,
            step_s=told.times.step_s * ratio * batch,
            scored_s=told.times.scored_s * ratio * batch,
            batch=config.batch_size,
            num_steps=max(1, round(told.times.num_steps / batch)),
        )
        return replace(told, times=times)


def macs_of(config: TrialConfig) -> float:
    """Multiplications of a forward pass for one image, at one size for all: only ratios are asked for."""
    return sum(piece.macs for piece in piece_costs(config.backbone, 3, (64, 64)))


def _num_alike(one: TrialConfig, other: TrialConfig) -> int:
    there = other.model_dump()
    return sum(value == there[name] for name, value in one.model_dump().items() if name not in WITHOUT_COST)


def _mean(times: Sequence["StepTimes"]) -> "StepTimes":
    def of(name: str) -> float:
        return float(sum(getattr(each, name) for each in times) / len(times))

    return replace(
        times[0], begin_s=of("begin_s"), inputs_s=of("inputs_s"), step_s=of("step_s"), scored_s=of("scored_s")
    )


def _fit_s(times: "StepTimes", config: TrialConfig, data: Prepared, *, is_stored: bool, is_last: bool) -> float:
    """Worker-seconds of one fit, or of heads side by side.

    Args:
        is_stored: whether outputs of the frozen prefix are.
        is_last: whether its network is scored at the end, and no other phase follows.
    """
    inputs_s = 0.0 if is_stored else times.inputs_s
    image_s = (times.scored_s + inputs_s) / times.batch
    epoch_s = times.num_steps * (times.step_s + inputs_s) + data.num_images["val"] * image_s
    final_s = sum(data.num_images[split] for split in data.scored) * image_s if is_last else 0.0
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
