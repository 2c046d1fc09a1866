"""Where a study stands: which seed runs have a result, which trials lead, what is still to be confirmed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweeps.definition.config import StudyConfig
from sweeps.definition.plan import DONE, Trial
from sweeps.engine.batch import Todo
from sweeps.engine.best import Scored
from sweeps.ledger import Ledger, SeedRunRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run of the driver came to."""

    done: int
    """Seed runs of the study with a result, diverged ones included."""
    total: int
    failed: int
    ran: int
    """Seed runs trained by this very run."""
    best: Path | None
    """Folder of the best network."""


class Standing:
    """The trials of a study and what is known of their seed runs; grows while the study runs.

    Args:
        trials: planned so far, by number.
        states: of seed runs, by fingerprint and seed. One that failed counts as not there until it was tried again.
        to_ask: trials that the sampler has still to propose.
    """

    def __init__(
        self,
        study: StudyConfig,
        ledger: Ledger,
        *,
        trials: list[Trial],
        states: Mapping[tuple[str, int], str],
        to_ask: int,
    ) -> None:
        self._study, self._ledger = study, ledger
        self.trials = trials
        self.states = {key: state for key, state in states.items() if state in DONE}
        self.to_ask = to_ask

    def know(self, row: SeedRunRow) -> None:
        """Takes note of a seed run that has ended."""
        self.states[row.fingerprint, row.seed] = row.state

    def is_whole(self, trial: Trial) -> bool:
        """Whether every seed run of the search has ended."""
        return all((trial.fingerprint, seed) in self.states for seed in self._study.seeds)

    def mean(self, trial: Trial) -> float | None:
        """The study's metric over all seeds, or None when one of them is no number: never a mean of what is left."""
        return self._mean(self._rows(trial))

    def scored(self) -> list[Scored]:
        """Trials that have a value, with their seed runs."""
        found = []
        for trial in self.trials:
            rows = self._rows(trial)
            value = self._mean(rows)
            if value is not None:
                found.append(Scored(number=trial.number, value=value, rows=tuple(rows)))
        return found

    def _rows(self, trial: Trial) -> list[SeedRunRow]:
        rows = self._ledger.seed_runs(self._study.name, fingerprint=trial.fingerprint)
        return [row for row in rows if row.seed in self._study.seeds]

    def _mean(self, rows: list[SeedRunRow]) -> float | None:
        if len(rows) < len(self._study.seeds) or any(row.state != "complete" for row in rows):
            return None
        # as reports take it: plain sums differ in their last bit with the order, and would break ties another way
        return math.fsum(row.metrics[self._study.metric] for row in rows) / len(rows)

    def to_confirm(self) -> list[Todo]:
        """Seed runs on fresh seeds that are still to do; none before the search has ended."""
        confirm = self._study.confirm
        if confirm is None:
            return []
        return [
            Todo(trial=trial, seed=seed)
            for trial in self._leading()
            for seed in confirm.seeds
            if self.states.get((trial.fingerprint, seed)) not in DONE
        ]

    def has_failed(self) -> bool:
        """Whether a seed run of the search failed."""
        return any(self.states.get((t.fingerprint, s)) == "failed" for t in self.trials for s in self._study.seeds)

    def _leading(self) -> list[Trial]:
        """Those that are to be run again; none before every trial has a result for each of its seeds."""
        confirm = self._study.confirm
        if confirm is None or self.to_ask or not all(self.is_whole(trial) for trial in self.trials):
            return []
        sign = 1 if self._study.direction == "maximize" else -1
        best = sorted(self.scored(), key=lambda scored: (-sign * scored.value, scored.number))[: confirm.top]
        by_number = {trial.number: trial for trial in self.trials}
        return [by_number[scored.number] for scored in best]

    def outcome(self, *, ran: int, best: Path | None) -> Outcome:
        """Counts over the search, and over the confirmation once it is known what is confirmed."""
        wanted = {(trial.fingerprint, seed) for trial in self.trials for seed in self._study.seeds}
        if self._study.confirm:
            wanted |= {(trial.fingerprint, seed) for trial in self._leading() for seed in self._study.confirm.seeds}
        states = [self.states.get(key) for key in wanted]
        return Outcome(
            done=sum(state in DONE for state in states),
            total=len(wanted),
            failed=sum(state == "failed" for state in states),
            ran=ran,
            best=best,
        )
