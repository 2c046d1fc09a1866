"""Proposes points of a search space: a pure function of the study, the trial's number, and the results it may know.

Nothing is remembered between proposals but what can be made anew from their arguments, so neither a restart nor the
number of workers changes what is tried, and results that change (a seed more for every trial) are never stale.
"""

import json
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from resnet_tl.errors import ConfigError
from resnet_tl.seeding import derive
from sweeps.definition.config import StudyConfig
from sweeps.definition.dimension import Dimension, same_value
from sweeps.definition.space import Params, Space
from sweeps.planning.study_state import Result
from sweeps.records import TrialRecord

MOST_ATTEMPTS = 200
"""Points that are met already or that are no valid trial, after which a finite space is searched in order."""

MOST_SEARCHED = 20_000
"""Points of a finite space that are searched for one that no trial has; each takes a fraction of a millisecond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """What came of a search for one more trial."""

    params: Params | None
    """A point that no trial has, or None where none was found."""
    num_invalid: int
    """Points met on the way that are no valid trials."""
    broken: str | None
    """A rule that one of them breaks."""


class Sampler:
    """The sampler of a study with `method: random` or `bayes`."""

    def __init__(self, study: StudyConfig, space: Space) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._config, self._space = study, space
        self._heard: list[Result] = []
        self._told = self._make()

    def propose(
        self, number: int, heard: Sequence[Result], taken: Container[str], name_of: Callable[[Params], str]
    ) -> Proposal:
        """Finds a point that no trial has yet.

        Args:
            number: of the trial to be.
            heard: results that the proposal may know, in order of their trials; see `ASK_AHEAD`.
            taken: fingerprints of all trials.
            name_of: fingerprint of a point; raises ConfigError for a point that is no valid trial.
        """
        memory = self._memory(list(heard) if self._config.method == "bayes" else [])
        num_invalid, broken = 0, None
        for attempt in range(MOST_ATTEMPTS):
            sampler = self._sampler(derive(self._config.seeds[0], "sampler", number, attempt) % 2**32)
            params = self._space.choose(lambda dimension, own=sampler: suggest(dimension, own, memory))  # type: ignore[misc]
            try:
                name = name_of(params)
            except ConfigError as error:
                num_invalid, broken = num_invalid + 1, broken or error.problems[0]
                continue
            if name not in taken:
                return Proposal(params=params, num_invalid=num_invalid, broken=broken)
        left = self._left(taken, name_of) if self._space.is_finite() else []
        chosen = left[derive(self._config.seeds[0], "sampler", number) % len(left)] if left else None
        return Proposal(params=chosen, num_invalid=num_invalid, broken=broken)

    def _memory(self, heard: list[Result]) -> optuna.Study:
        """A study of Optuna that holds results and nothing else.

        Trials are added to one storage, which copies each deeply; what reads them is made for each proposal, since
        samplers go by the trials that a study held when it was last asked for one. Points that are only tried out are
        never asked of it: they would stay in it as unfinished trials, up to 200 a proposal, and every suggestion goes
        through all that it holds.
        """
        known = len(self._heard)
        if heard[:known] != self._heard:
            self._told, known = self._make(), 0
        self._told.add_trials(frozen_trial(result, self._space) for result in heard[known:])
        self._heard = heard
        return optuna.load_study(study_name=self._told.study_name, storage=self._told._storage)

    def _make(self) -> optuna.Study:
        return optuna.create_study(directions=self._config.directions)

    def _left(self, taken: Container[str], name_of: Callable[[Params], str]) -> list[Params]:
        found = []
        for params in islice(self._space.grid(), MOST_SEARCHED):
            try:
                if name_of(params) not in taken:
                    found.append(params)
            except ConfigError:
                continue
        return found

    def _sampler(self, seed: int) -> BaseSampler:
        if self._config.method == "random":
            return RandomSampler(seed=seed)
        return TPESampler(seed=seed, n_startup_trials=10, multivariate=False, constant_liar=False)


def frozen_trial(result: Result, space: Space, *, curve: dict[int, float] | None = None) -> FrozenTrial:
    """A trial as Optuna keeps it.

    One that diverged is PRUNED, which samplers rank below every complete one. It brings no learning curve: among
    pruned trials Optuna prefers whatever came furthest. Nor does one of a study with several aims, which Optuna has no
    curves of.
    """
    complete = result.value is not None
    pairs = stored_params(result.trial, space)
    return create_trial(
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        values=None if result.value is None else (result.value, *result.others),
        params={label: chosen for label, (chosen, _) in pairs.items()},
        distributions={label: distribution for label, (_, distribution) in pairs.items()},
        intermediate_values=curve if complete and not result.others else None,
        user_attrs={"trial": result.trial.number, "fingerprint": result.trial.fingerprint},
    )


def stored_params(trial: TrialRecord, space: Space) -> dict[str, tuple[Any, BaseDistribution]]:
    """The point of a trial as Optuna keeps it: by label of the dimension, its value and distribution."""
    return {dimension.label: _stored(dimension, chosen) for dimension, chosen in space.active(trial.params)}


def _scalars(choices: tuple[Any, ...]) -> list[Any]:
    """Choices as Optuna takes them: a list of augmentations becomes its text."""
    return [json.dumps(c) if isinstance(c, list | tuple) else c for c in choices]


def _distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna has it."""
    if dimension.choices is not None:
        return CategoricalDistribution(_scalars(dimension.choices))
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high))
    if dimension.step is not None:
        return _steps(dimension.low, dimension.high, dimension.step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


@lru_cache(maxsize=256)  # asked for with every proposal
def _steps(low: float, high: float, step: float) -> FloatDistribution | IntDistribution:
    """The values of a range with steps, or their places where Optuna's own steps would not lead to them.

    That is so where an end or the step has so many digits that ours are rounded, 0.3333333333333333 say.
    """
    listed = Dimension(name="", label="", choices=None, low=low, high=high, step=step).enumerate()
    assert listed
    ends = Decimal(str(listed[-1])) - Decimal(str(listed[0]))
    if ends % Decimal(str(step)) == 0:
        floats = FloatDistribution(listed[0], listed[-1], step=step)
        if all(floats._contains(value) for value in listed):
            return floats
    return IntDistribution(0, len(listed) - 1)


def suggest(dimension: Dimension, sampler: BaseSampler, memory: optuna.Study) -> Any:
    """Lets Optuna choose a value; `memory` stays as it is."""
    if dimension.choices is not None and len(dimension.choices) == 1:
        return dimension.choices[0]
    distribution = _distribution(dimension)
    asked = create_trial(state=TrialState.RUNNING)
    value = sampler.sample_independent(memory, asked, dimension.label, distribution)
    if dimension.choices is not None:
        return dimension.choices[_place(value, _scalars(dimension.choices))]
    if isinstance(distribution, IntDistribution):
        return int(value) if dimension.integer else (dimension.enumerate() or ())[int(value)]
    # Optuna's 0.30000000000000004 is our 0.3, or a resumed study would not know its own trials
    return dimension.closest(value)


def _stored(dimension: Dimension, value: Any) -> tuple[Any, BaseDistribution]:
    """A value and its distribution as Optuna stores them."""
    distribution = _distribution(dimension)
    if dimension.choices is not None:
        return _scalars(dimension.choices)[_place(value, dimension.choices)], distribution
    if isinstance(distribution, IntDistribution) and not dimension.integer:
        return (dimension.enumerate() or ()).index(value), distribution
    return value, distribution


def _place(value: Any, choices: Sequence[Any]) -> int:
    return next(place for place, choice in enumerate(choices) if same_value(choice, value))
