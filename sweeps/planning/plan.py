"""What is to be done: a pure function of the study and of what the ledger knows. Resuming is planning again."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from resnet_tl.config import TrialConfig
from resnet_tl.errors import ConfigError
from sweeps.definition.config import Definition
from sweeps.definition.space import Params, describe
from sweeps.records import RunState, TrialRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the ledger holds of a study."""

    trials: tuple[TrialRecord, ...] = ()
    states: Mapping[tuple[str, int], RunState] = field(default_factory=dict)
    """State by (fingerprint, seed)."""

    def lacks(self, trial: TrialRecord, seeds: Iterable[int]) -> list[int]:
        """Seeds of a trial that have no result yet."""
        return [seed for seed in seeds if not self.has(trial, seed)]

    def has(self, trial: TrialRecord, seed: int) -> bool:
        """Whether a seed run has a result; one that failed is tried again at the next start."""
        state = self.states.get((trial.fingerprint, seed))
        return state is not None and state.is_result


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All trials that are known now, and the seed runs still to do, in order."""

    trials: tuple[TrialRecord, ...]
    new: tuple[TrialRecord, ...]
    """Trials that are not in the ledger yet."""
    renamed: tuple[TrialRecord, ...]
    """Trials in the ledger whose point is written in other words since the space gained or lost a parameter."""
    todo: tuple[tuple[TrialRecord, int], ...]
    coinciding: tuple[tuple[Params, Params], ...]
    """Points that mean the same network as an earlier one: (left out, kept)."""
    to_ask: int
    """Trials that a sampler has yet to propose; no more than a finite space still has."""
    ended: str = ""
    """Why it proposes no more, though the study wanted more trials."""

    @classmethod
    def nothing(cls, known: Known) -> "Plan":
        """What is known, with nothing to do."""
        return cls(trials=known.trials, new=(), renamed=(), todo=(), coinciding=(), to_ask=0)


NameOf = Callable[[TrialConfig], str]


def plan(definition: Definition, known: Known, name_of: NameOf) -> Plan:
    """Compares what the study wants with what there is.

    Args:
        name_of: the fingerprint of a configuration.

    Raises:
        ConfigError: the ledger holds trials that the study, as it is now, could not have.
    """
    require_extension(definition, known, name_of)
    trials = list(known.trials)
    new: list[TrialRecord] = []
    renamed: list[TrialRecord] = []
    coinciding: list[tuple[Params, Params]] = []
    to_ask = 0
    if definition.study.is_listed:
        by_name = {trial.fingerprint: trial for trial in trials}
        met: dict[str, Params] = {}
        number = 1 + max((trial.number for trial in trials), default=-1)
        for params in definition.points():
            config = definition.trial(params)
            name = name_of(config)
            if name in met:
                coinciding.append((params, met[name]))
                continue
            met[name] = params
            if name not in by_name:
                trial = TrialRecord(number=number, params=params, config=config, fingerprint=name)
                trials.append(trial)
                new.append(trial)
                number += 1
            elif by_name[name].params != params:
                trial = dataclasses.replace(by_name[name], params=params)
                trials[trials.index(by_name[name])] = trial
                renamed.append(trial)
    else:
        assert definition.study.trials is not None
        to_ask = max(0, definition.study.trials - len(trials))
        if to_ask and definition.space.is_finite():
            taken = {trial.fingerprint for trial in trials}
            fresh: set[str] = set()
            for params in definition.space.grid():
                valid = definition.valid(params)
                if valid is not None and (name := name_of(valid)) not in taken:
                    fresh.add(name)
                if len(fresh) == to_ask:
                    break
            to_ask = len(fresh)
    if definition.space.varies_images:
        # what was stored before the study varied the images does not say how a trial sees them
        seen = {trial.number: definition.trial(trial.params) for trial in trials}
        changed = {trial.number for trial in trials if seen[trial.number] != trial.config}
        trials = [dataclasses.replace(trial, config=seen[trial.number]) for trial in trials]
        old = {trial.number for trial in known.trials}
        again = {trial.number for trial in renamed} | (changed & old)
        renamed = [trial for trial in trials if trial.number in again]
    return Plan(
        trials=tuple(trials),
        new=tuple(new),
        renamed=tuple(renamed),
        todo=tuple((trial, seed) for trial in trials for seed in known.lacks(trial, definition.study.seeds)),
        coinciding=tuple(coinciding),
        to_ask=to_ask,
    )


def require_extension(definition: Definition, known: Known, name_of: NameOf) -> None:
    """Every trial in the ledger must be a trial of the study as it is now, with the same fingerprint.

    Raises:
        ConfigError: names the trials that are not.
    """
    if definition.study.is_listed and known.trials:
        names = {name_of(definition.trial(params)) for params in definition.points()}
        lost = [trial for trial in known.trials if trial.fingerprint not in names]
    else:
        lost = [trial for trial in known.trials if not _is_same(trial, definition, name_of)]
    if lost:
        few = "; ".join(f"trial {trial.number} {describe(trial.params)}" for trial in lost[:3])
        raise ConfigError(
            f"{len(lost)} of {len(known.trials)} trials in the ledger are not trials of this definition ({few})."
        )
    if definition.study.trials is not None and definition.study.trials < len(known.trials):
        raise ConfigError(
            f"`study.trials` is a total and must be at least {len(known.trials)}, which the ledger holds, "
            f"but got {definition.study.trials}."
        )


def _is_same(trial: TrialRecord, definition: Definition, name_of: NameOf) -> bool:
    if not definition.space.contains(trial.params):
        return False
    try:
        return name_of(definition.trial(trial.params)) == trial.fingerprint
    except ConfigError:  # a changed base can break a rule there
        return False
