"""Where a study stands: which seed runs have a result, which trials lead, what is still to be confirmed. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweeps.definition.config import StudyConfig
from sweeps.planning.grouping import Todo
from sweeps.records import RunState, SeedRun, TrialRecord, progress_told
from sweeps.statistics.race import Race, race, rule_of
from sweeps.statistics.ranking import rank_key

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
    """Mean over all seeds of the study's metric, or None where a seed run diverged, or a race stopped it."""


class StudyState:
    """The trials of a study and what is known of their seed runs; grows while the study runs.

    Args:
        trials: planned so far, by number.
        runs: those that have ended. One that failed counts as not there until it was tried again.
        to_ask: trials that the sampler has still to propose.
    """

    def __init__(
        self, study: StudyConfig, *, trials: Iterable[TrialRecord], runs: Iterable[SeedRun], to_ask: int
    ) -> None:
        self._study = study
        self.trials = list(trials)
        self.states: dict[Key, RunState] = {}
        self._values: dict[Key, float] = {}
        self.to_ask = to_ask
        self._race: Race | None = None
        """As it stood when it was last looked at; None in a study without one."""
        self._has_had: dict[str, int] = {}
        """Seeds of those that are out of the race, by fingerprint."""
        for run in runs:
            if run.state.is_result:
                self.know(run)
        if study.pruner:
            self.look_at_race()

    def know(self, run: SeedRun) -> None:
        """Takes note of a seed run that has ended."""
        key = run.fingerprint, run.seed
        self.states[key] = run.state
        if run.state == RunState.COMPLETE:
            self._values[key] = run.metrics[self._study.metric]

    # -- a race on seeds ----------------------------------------------------------------------------------------------

    def look_at_race(self) -> Race:
        """Looks which trials are out of the race by now, and what those in it are to run next.

        Nothing else changes who is in it, so that what has ended meanwhile stops nobody before its turn.
        """
        pruner = self._study.pruner
        assert pruner is not None
        self._race = race(
            rule_of(pruner.model_dump()),
            seeds=self._study.seeds,
            better=self._better,
            scores=[self._scores(trial) for trial in self.trials],
            are_all=not self.to_ask,
        )
        out = {**self._race.stopped, **self._race.left}
        self._has_had = {self.trials[place].fingerprint: seeds for place, seeds in out.items()}
        return self._race

    def next_round(self) -> list[Todo]:
        """What the race asks for now; see `look_at_race`."""
        found = self.look_at_race()
        return [Todo(trial=self.trials[place], seed=seed) for place, seed in found.lacking]

    def stopped(self) -> list[TrialRecord]:
        """Trials that a race stopped, as it was last looked at, and that lack seeds."""
        places = self._race.stopped if self._race else ()
        return [
            trial
            for trial in (self.trials[place] for place in places)
            if not all(self._is_done(trial, seed) for seed in self._study.seeds)
        ]

    def _scores(self, trial: TrialRecord) -> dict[int, float | None]:
        """By seed; None where a seed run ended without a number."""
        keys = {seed: (trial.fingerprint, seed) for seed in self._study.seeds}
        return {seed: self._values.get(key) for seed, key in keys.items() if key in self.states}

    def wanted(self, trial: TrialRecord) -> Sequence[int]:
        """The seeds that a trial is to have: all, or those that it has had when it left a race."""
        return self._study.seeds[: self._has_had.get(trial.fingerprint)]

    # -- how far it is ------------------------------------------------------------------------------------------------

    def is_whole(self, trial: TrialRecord) -> bool:
        """Whether every seed run of the search has ended; in a race every one that it asked for so far."""
        if self._race is None:
            return all((trial.fingerprint, seed) in self.states for seed in self._study.seeds)
        asked = [seed for place, seed in self._race.lacking if self.trials[place].fingerprint == trial.fingerprint]
        return all((trial.fingerprint, seed) in self.states for seed in asked)

    def has_results(self, trial: TrialRecord) -> bool:
        """Whether every seed run of the search has a result: none failed, or is still to come."""
        return all(self._is_done(trial, seed) for seed in self.wanted(trial))

    def results(self, trials: Iterable[TrialRecord] | None = None) -> list[Result]:
        """What has come of trials, by default of all; those that failed or are not through are not among them."""
        asked = self.trials if trials is None else trials
        return [Result(trial=trial, value=self.mean(trial)) for trial in asked if self.has_results(trial)]

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
        return state is not None and state.is_result

    def has_failed(self) -> bool:
        """Whether a seed run of the search failed."""
        failed = (self.states.get((t.fingerprint, s)) == RunState.FAILED for t in self.trials for s in self.wanted(t))
        return any(failed)

    def _leading(self) -> list[TrialRecord]:
        """Those that are to be run again; none before every trial has a result for each of its seeds."""
        confirm = self._study.confirm
        if confirm is None or self.to_ask or (self._race and self._race.lacking):
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
