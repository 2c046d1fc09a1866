"""Where a study stands: which seed runs have a result, which trials lead, what is still to be confirmed. Pure."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from sweeps.definition.aims import SECONDS, SIZES
from sweeps.definition.config import StudyConfig
from sweeps.definition.space import describe
from sweeps.planning.feature_reuse import state_bytes
from sweeps.planning.grouping import Todo
from sweeps.records import ASK_AHEAD, RunState, SeedRun, TrialRecord, progress_told
from sweeps.statistics.pruning import Pruning, course_of, prune, rules_of
from sweeps.statistics.ranking import rank_key
from sweeps.statistics.rungs import Course
from sweeps.statistics.stats import summarise
from sweeps.statistics.stopping import StopRule, is_enough

Key = tuple[str, int]
"""Fingerprint of a trial, and seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run of the driver came to."""

    done: int
    """Seed runs of the study with a result, diverged ones included; of the search and on fresh seeds."""
    total: int
    fresh_done: int
    """Those among `done` that are on fresh seeds."""
    fresh: int
    """Those among `total` that are on fresh seeds."""
    failed: int
    ran: int
    """Seed runs trained by this very run."""
    best: Path | None
    """Folder of the best network."""
    sent: bool = False
    """Whether the tracker was sent a seed run."""
    unsent: int = 0
    """Seed runs that the tracker lacks still."""
    ended_by: BaseException | None = None
    """What ended it before all was done; None when it came to its end."""

    def told(self) -> str:
        """How many of how many are done, in words."""
        return progress_told(
            self.done - self.fresh_done, self.total - self.fresh, fresh_done=self.fresh_done, fresh=self.fresh
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """A trial whose seed runs are all complete."""

    trial: TrialRecord
    value: float
    """Mean over seeds of the study's metric."""
    best_seed: int
    """The seed whose run has the best value; of equal ones the lowest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A trial that has a result for every seed that it is to have."""

    trial: TrialRecord
    value: float | None
    """Mean over all seeds of the study's metric, or None where a seed run diverged, or the pruner stopped it."""
    others: tuple[float, ...] = ()
    """The same of the study's further aims, in their order; empty where `value` is None."""


def waiting_bytes(study: StudyConfig, configs: Sequence[TrialConfig], data: Prepared) -> int:
    """The most that training states may take on the disk that wait at rungs; 0 in a study without any."""
    rules = rules_of([rule.model_dump() for rule in study.pruner])
    most = max((config.num_epochs for config in configs), default=0)
    if rules is None or rules.rungs is None or not rules.rungs.below(most):
        return 0
    return rules.rungs.seeds * sum(state_bytes(config, data) for config in configs)


def ends_early(study: StudyConfig, configs: Iterable[TrialConfig]) -> bool:
    """Whether less may be trained than is planned, so that what is said of time is the most there can be."""
    return bool(study.pruner or study.stop) or any(config.patience is not None for config in configs)


def leader_told(trial: TrialRecord, values_S: Sequence[float], *, metric: str) -> str:
    """A sentence about the best trial so far, with the interval of its mean over seeds."""
    told = summarise(values_S)
    interval = "" if told.low is None or told.high is None else f" [{told.low:.4f}, {told.high:.4f}]"
    seeds = "1 seed" if told.n == 1 else f"{told.n} seeds"
    return f"best so far: trial {trial.number} ({describe(trial.params)}), {metric} {told.mean:.4f}{interval}, {seeds}"


class StudyState:
    """The trials of a study and what is known of their seed runs; grows while the study runs.

    Args:
        trials: planned so far, by number.
        runs: those that have ended or paused, with their learning curves in a study that has rungs. One that failed
            counts as not there until it was tried again.
        to_ask: trials that the sampler has still to propose.
        sizes_of: the sizes of a trial's network; asked where the study has aims that are sizes.
    """

    def __init__(
        self,
        study: StudyConfig,
        *,
        trials: Iterable[TrialRecord],
        runs: Iterable[SeedRun],
        to_ask: int,
        sizes_of: Callable[[TrialConfig], Mapping[str, int]] | None = None,
    ) -> None:
        self._study = study
        self._sizes_of = sizes_of
        self.trials = list(trials)
        self.states: dict[Key, RunState] = {}
        self._values: dict[Key, float] = {}
        self._measured: dict[Key, Mapping[str, float]] = {}
        """Further aims of seed runs, as far as they have them."""
        self.to_ask = to_ask
        self._rules = rules_of([rule.model_dump() for rule in study.pruner])
        self._courses: dict[Key, Course] = {}
        """In a study with a pruner."""
        self.paused: dict[Key, SeedRun] = {}
        """Seed runs that wait at a rung."""
        self._pruning: Pruning | None = None
        """As it stood when it was last looked at; None in a study without a pruner."""
        self._has_had: dict[str, int] = {}
        """Seeds of those that are stopped or left, by fingerprint."""
        for run in runs:
            if run.state.is_result or run.state == RunState.PAUSED:
                self.know(run)
        if self._rules:
            self.look_at_pruning()

    def know(self, run: SeedRun) -> None:
        """Takes note of a seed run that has ended, or come to a rung."""
        key = run.fingerprint, run.seed
        self.paused.pop(key, None)
        if self._rules:
            (config,) = {trial.config for trial in self.trials if trial.fingerprint == run.fingerprint} or (None,)
            if config is None:  # of a trial that the study had in another definition
                return
            told = course_of(run, config, self._study.metric)
            known = self._courses.get(key)
            # a run that failed brings no curve; what it had at a rung stands
            self._courses[key] = told if told.best or known is None else replace(known, has_ended=told.has_ended)
        if run.state == RunState.PAUSED:
            self.paused[key] = run
            self.states.pop(key, None)
            return
        if run.state == RunState.PRUNED and not self._rules:  # the study wants it whole by now
            return
        self.states[key] = run.state
        if run.state == RunState.COMPLETE:
            self._values[key] = run.metrics[self._study.metric]
            measured = {**run.metrics, SECONDS: run.wall_s}
            self._measured[key] = {aim: measured[aim] for aim in self._study.aims if aim in measured}

    # -- trials that are spared ---------------------------------------------------------------------------------------

    def look_at_pruning(self) -> Pruning:
        """Looks which trials are stopped by now, and what the others are to run next.

        Nothing else changes who is stopped, so that what has ended meanwhile stops nobody before its turn.
        """
        assert self._rules is not None
        self._pruning = prune(
            self._rules,
            seeds=self._study.seeds,
            better=self._better,
            most_epochs=max((trial.config.num_epochs for trial in self.trials), default=1),
            courses=[self._courses_of(trial) for trial in self.trials],
            are_all=not self.to_ask,
            behind=ASK_AHEAD if self._study.method == "bayes" else None,
        )
        out = {place: stop.seeds for place, stop in self._pruning.stopped.items()} | dict(self._pruning.left)
        self._has_had = {self.trials[place].fingerprint: seeds for place, seeds in out.items()}
        return self._pruning

    def next_round(self) -> list[Todo]:
        """What is asked for now; see `look_at_pruning`."""
        found = self.look_at_pruning()
        return [Todo(trial=self.trials[place], seed=seed, until=until) for place, seed, until in found.lacking]

    def stopped(self) -> list[TrialRecord]:
        """Trials that are stopped, as was last looked at, and that lack seeds or epochs."""
        whole = (RunState.COMPLETE, RunState.DIVERGED)
        found = [self.trials[place] for place in (self._pruning.stopped if self._pruning else ())]
        seeds = self._study.seeds
        return [t for t in found if not all(self.states.get((t.fingerprint, seed)) in whole for seed in seeds)]

    def to_end(self) -> list[tuple[TrialRecord, SeedRun]]:
        """Seed runs that wait at a rung and will never go on, as was last looked at."""
        by_name = {trial.fingerprint: trial for trial in self.trials if trial.fingerprint in self._has_had}
        return [(by_name[run.fingerprint], run) for run in self.paused.values() if run.fingerprint in by_name]

    def is_wanted(self, run: SeedRun) -> bool:
        """Whether a seed run that was stopped once is to be trained again, since the study has another pruner now."""
        return run.state == RunState.PRUNED and run.fingerprint not in self._has_had

    def why_stopped(self, trial: TrialRecord) -> str:
        """A sentence, for a trial that was stopped or left at a rung."""
        assert self._pruning is not None
        stop = self._pruning.stopped.get(self.trials.index(trial))
        if stop is None:
            return "another seed run of this trial has no number"
        if stop.by == "race":
            return "over all seeds they can hardly win any more"
        return f"enough others had at least as good a {self._study.metric} after epoch {stop.epoch}"

    def _courses_of(self, trial: TrialRecord) -> dict[int, Course]:
        keys = {seed: (trial.fingerprint, seed) for seed in self._study.seeds}
        return {seed: self._courses[key] for seed, key in keys.items() if key in self._courses}

    def wanted(self, trial: TrialRecord) -> Sequence[int]:
        """The seeds that a trial is to have: all, or those that it has had when it was stopped."""
        return self._study.seeds[: self._has_had.get(trial.fingerprint)]

    # -- a search ----------------------------------------------------------------------------------------------------

    @property
    def next_number(self) -> int:
        """Of the next trial to be proposed."""
        return 1 + max((trial.number for trial in self.trials), default=-1)

    def heard(self) -> list[TrialRecord] | None:
        """The trials that the next proposal may know; None while one of them is not through."""
        heard = [trial for trial in self.trials if trial.number <= self.next_number - ASK_AHEAD]
        return heard if all(self.is_whole(trial) for trial in heard) else None

    def is_enough(self) -> bool:
        """Whether `study.stop` ends the search where the next trial would be proposed."""
        stop, heard = self._study.stop, self.heard()
        if stop is None or heard is None or not self.to_ask:
            return False
        values = [value for trial in heard if (value := self.mean(trial)) is not None]
        rule = StopRule(regret=stop.regret, risk=stop.risk)
        method: Literal["random", "bayes"] = "bayes" if self._study.method == "bayes" else "random"
        planned = len(self.trials) + self.to_ask
        return is_enough(rule, values, planned=planned, better=self._better, method=method)

    # -- how far it is ------------------------------------------------------------------------------------------------

    def is_whole(self, trial: TrialRecord) -> bool:
        """Whether every seed run of the search has ended; with a pruner every one that it asked for so far."""
        if self._pruning is None:
            return all((trial.fingerprint, seed) in self.states for seed in self._study.seeds)
        asked = [
            seed for place, seed, _ in self._pruning.lacking if self.trials[place].fingerprint == trial.fingerprint
        ]
        waits = any(self.trials[place].fingerprint == trial.fingerprint for place in self._pruning.waiting)
        ended = (self.states.get((trial.fingerprint, seed)) for seed in asked)
        return not waits and all(state not in (None, RunState.PRUNED) for state in ended)

    def has_results(self, trial: TrialRecord) -> bool:
        """Whether every seed run of the search has a result: none failed, or is still to come."""
        return all(self._is_done(trial, seed) for seed in self.wanted(trial))

    def results(self, trials: Iterable[TrialRecord] | None = None) -> list[Result]:
        """What has come of trials, by default of all; those that failed or are not through are not among them, nor are
        those whose seed runs were written before there was a score at which the study aims."""
        found = []
        for trial in self.trials if trials is None else trials:
            value = self.mean(trial)
            others = [] if value is None else [self._mean_of(trial, aim) for aim in self._study.aims]
            known = [other for other in others if other is not None]
            if self.has_results(trial) and len(known) == len(others):
                found.append(Result(trial=trial, value=value, others=tuple(known)))
        return found

    def _mean_of(self, trial: TrialRecord, aim: str) -> float | None:
        """A further aim of a trial that has a value, or None where a seed run lacks it."""
        if aim in SIZES:
            assert self._sizes_of is not None, "a study that aims at sizes is told them"
            return float(self._sizes_of(trial.config)[aim])
        found = [self._measured[trial.fingerprint, seed].get(aim) for seed in self._study.seeds]
        known = [value for value in found if value is not None]
        return math.fsum(known) / len(known) if len(known) == len(found) else None

    def best_of(self, trials: Iterable[TrialRecord]) -> TrialRecord | None:
        """The best of some trials, or None when none of them has a value."""
        scored = [(value, trial) for trial in trials if (value := self.mean(trial)) is not None]
        order = sorted(scored, key=lambda pair: rank_key(pair[0], pair[1].number, better=self._better))
        return order[0][1] if order else None

    @property
    def _better(self) -> Literal["min", "max"]:
        return "max" if self._study.direction == "maximize" else "min"

    def mean(self, trial: TrialRecord) -> float | None:
        """The study's metric over all seeds, or None when one of them is no number: never a mean of what is left."""
        values = self._of_seeds(trial)
        # as reports take it: plain sums differ in their last bit with the order, and would break ties another way
        return None if values is None else math.fsum(values.values()) / len(values)

    def _of_seeds(self, trial: TrialRecord) -> Mapping[int, float] | None:
        seeds = self._study.seeds
        found = {seed: self._values.get((trial.fingerprint, seed)) for seed in seeds}
        known = {seed: value for seed, value in found.items() if value is not None}
        return known if len(known) == len(seeds) else None

    def ranked(self) -> list[Scored]:
        """Trials that have a value, the best first; of equal ones that with the lower number."""
        better = self._better
        found = []
        for trial in self.trials:
            value, values = self.mean(trial), self._of_seeds(trial)
            if value is not None and values is not None:
                order = sorted((rank_key(score, seed, better=better), seed) for seed, score in values.items())
                found.append(Scored(trial=trial, value=value, best_seed=order[0][1]))
        return sorted(found, key=lambda scored: rank_key(scored.value, scored.trial.number, better=better))

    def leader(self) -> tuple[TrialRecord, Sequence[float]] | None:
        """The best trial so far, with the study's metric for each of its seeds; None before a trial is whole."""
        trial = self.best_of(self.trials)
        values = None if trial is None else self._of_seeds(trial)
        return None if trial is None or values is None else (trial, tuple(values.values()))

    def lacking(self) -> Iterator[tuple[TrialRecord | None, int]]:
        """Seed runs that have not ended: how many of each trial, and of those that are not named yet.

        Those that failed are tried again by a later start only.
        """
        for trial in self.trials:
            wanted = self.wanted(trial)
            through = [
                self._is_done(trial, seed) or self.states.get((trial.fingerprint, seed)) == RunState.FAILED
                for seed in wanted
            ]
            if not all(through):
                yield trial, len(through) - sum(through)
        searched = sum(len(self.wanted(trial)) for trial in self.trials)
        outcome = self.outcome(ran=0, best=None)
        yield None, outcome.total - searched - outcome.fresh_done

    def to_confirm(self) -> list[Todo]:
        """Seed runs on fresh seeds that are still to do; none before the search has ended."""
        confirm = self._study.confirm
        if confirm is None:
            return []
        return [
            Todo(trial=trial, seed=seed)
            for trial in self._leading()
            for seed in confirm.seeds
            if not self._is_done(trial, seed)
        ]

    def _is_done(self, trial: TrialRecord, seed: int) -> bool:
        state = self.states.get((trial.fingerprint, seed))
        if state == RunState.PRUNED:  # the pruner may have been another one then
            return trial.fingerprint in self._has_had
        return state is not None and state.is_result

    def has_failed(self) -> bool:
        """Whether a seed run of the search failed."""
        failed = (self.states.get((t.fingerprint, s)) == RunState.FAILED for t in self.trials for s in self.wanted(t))
        return any(failed)

    def _leading(self) -> list[TrialRecord]:
        """Those that are to be run again; none before every trial has a result for each of its seeds."""
        confirm = self._study.confirm
        if confirm is None or self.to_ask or (self._pruning and self._pruning.lacking):
            return []
        if not all(self.is_whole(trial) for trial in self.trials):
            return []
        return [scored.trial for scored in self.ranked()[: confirm.top]]

    def _num_to_confirm(self) -> int:
        """How many trials are run again; as many as may be, before it is known which have a value."""
        if self._study.confirm is None:
            return 0
        is_settled = not self.to_ask and all(self.has_results(trial) for trial in self.trials)
        return len(self._leading()) if is_settled else min(self._study.confirm.top, len(self.trials) + self.to_ask)

    def outcome(self, *, ran: int, best: Path | None) -> Outcome:
        """Counts over the search and the confirmation, also of what the sampler is still to propose."""
        confirm = self._study.confirm
        searched = [(trial, seed) for trial in self.trials for seed in self.wanted(trial)]
        fresh = [(trial, seed) for trial in self._leading() for seed in confirm.seeds] if confirm else []
        ended = [self.states.get((trial.fingerprint, seed)) for trial, seed in [*searched, *fresh]]
        fresh_done = sum(self._is_done(trial, seed) for trial, seed in fresh)
        num_fresh = self._num_to_confirm() * len(confirm.seeds) if confirm else 0
        return Outcome(
            done=sum(self._is_done(trial, seed) for trial, seed in searched) + fresh_done,
            total=len(searched) + self.to_ask * len(self._study.seeds) + num_fresh,
            fresh_done=fresh_done,
            fresh=num_fresh,
            failed=sum(state == RunState.FAILED for state in ended),
            ran=ran,
            best=best,
        )
