"""Optuna: proposes points of the space, and keeps its own record of them beside the ledger.

The record is derived from the ledger and made anew where it disagrees, so a kill between the two loses nothing.
Proposals are a pure function of the study's first seed, the trial's number and the results of the trials before
it, so neither a restart nor the number of workers changes what is tried.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState, create_trial

from resnet_tl.identity import digest
from resnet_tl.seeding import derive
from sweeps.definition.config import StudyConfig
from sweeps.definition.dimension import Dimension, same_value
from sweeps.definition.space import Params, Space
from sweeps.records import TrialRecord

ASK_AHEAD = 4
"""A Bayesian proposal knows all trials but the last three before it, so that four can run at once. A constant, not
the number of workers, since it decides what is tried."""

MOST_ATTEMPTS = 50
"""Proposals of a point that was met before, after which a finite space is searched for one that was not."""


def create_tables(url: str) -> None:
    """Makes Optuna's tables in a database that nobody else has opened yet."""
    close(RDBStorage(url))


def open_storage(url: str, connect_args: Mapping[str, Any]) -> BaseStorage:
    """Optuna's storage at an address of SQLAlchemy."""
    return RDBStorage(url, engine_kwargs={"connect_args": dict(connect_args)})


def close(storage: BaseStorage) -> None:
    """Lets go of the database."""
    storage.remove_session()
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()


class OptunaStudy:
    """One study in Optuna's storage.

    Args:
        fresh: the ledger holds no trial of it, so whatever Optuna holds is left over.
    """

    def __init__(self, storage: BaseStorage, config: StudyConfig, space: Space, *, fresh: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = storage
        self._config = config
        self._space = space
        self._study = self._open(digest([config.method, [repr(d) for d in space.dimensions]]), fresh=fresh)
        self._ids: dict[int, int] = {}
        self._states: dict[int, TrialState] = {}
        self._count = 0
        for trial in self._study.get_trials(deepcopy=False):
            self._count += 1
            if "trial" in trial.user_attrs:
                self._ids[trial.user_attrs["trial"]] = trial.number
                self._states[trial.user_attrs["trial"]] = trial.state

    def _open(self, space: str, *, fresh: bool) -> optuna.Study:
        name, direction = self._config.name, self._config.direction
        if name in optuna.get_all_study_names(self._storage):
            study = optuna.load_study(study_name=name, storage=self._storage)
            same = study.user_attrs.get("space") == space and study.direction.name.lower() == direction
            if same and not fresh:
                return study
            # Optuna refuses to change the choices of a parameter; all that it knew is in the ledger
            optuna.delete_study(study_name=name, storage=self._storage)
        study = optuna.create_study(study_name=name, direction=direction, storage=self._storage)
        study.set_user_attr("space", space)
        study.set_user_attr("question", self._config.question)
        return study

    def close(self) -> None:
        """Lets go of the database."""
        close(self._storage)

    def begin(self, trial: TrialRecord) -> None:
        """Notes that a trial is being run, unless that is known."""
        if trial.number not in self._ids:
            self._add(trial, TrialState.RUNNING, None)

    def settle(self, trial: TrialRecord, value: float | None) -> None:
        """Makes Optuna's record of a trial whose seed runs are all done what it should be.

        Args:
            value: mean over seeds of the metric, or None for a trial that failed.
        """
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        known = self._states.get(trial.number)
        if known == state:
            return
        if known == TrialState.RUNNING:
            self._study.tell(self._ids[trial.number], values=value, state=state)
            self._states[trial.number] = state
        else:
            self._add(trial, state, value)

    def _add(self, trial: TrialRecord, state: TrialState, value: float | None) -> None:
        pairs = {dimension.label: _stored(dimension, chosen) for dimension, chosen in self._space.active(trial.params)}
        self._study.add_trial(
            create_trial(
                state=state,
                value=value,
                params={label: chosen for label, (chosen, _) in pairs.items()},
                distributions={label: distribution for label, (_, distribution) in pairs.items()},
                user_attrs={"trial": trial.number, "fingerprint": trial.fingerprint},
            )
        )
        # one driver writes, so numbers follow each other; asking for them would read all trials back
        self._ids[trial.number], self._states[trial.number] = self._count, state
        self._count += 1

    def drop_unknown(self, numbers: set[int]) -> None:
        """Ends trials that a killed driver had asked for but not yet written to the ledger."""
        for trial in self._study.get_trials(deepcopy=False):
            known = trial.user_attrs.get("trial") in numbers and self._ids[trial.user_attrs["trial"]] == trial.number
            if trial.state == TrialState.RUNNING and not known:
                self._study.tell(trial.number, state=TrialState.FAIL)

    def propose(self, number: int, taken: Mapping[str, int], name_of: Callable[[Params], str]) -> Params | None:
        """A point that no trial has yet.

        Args:
            number: of the trial to be.
            taken: fingerprints of all trials.
            name_of: fingerprint of a point.

        Returns:
            The point, or None when the space has no other.
        """
        for attempt in range(MOST_ATTEMPTS):
            self._study.sampler = self._sampler(derive(self._config.seeds[0], "sampler", number, attempt) % 2**32)
            asked = self._study.ask()
            self._count += 1
            assert asked.number == self._count - 1
            params = self._space.choose(lambda dimension, trial=asked: _suggest(dimension, trial))  # type: ignore[misc]
            name = name_of(params)
            if name not in taken:
                asked.set_user_attr("trial", number)
                asked.set_user_attr("fingerprint", name)
                self._ids[number], self._states[number] = asked.number, TrialState.RUNNING
                return params
            self._study.tell(asked, state=TrialState.FAIL)  # its twin's result is known to the sampler already
        if not self._space.is_finite():
            return None
        left = [params for params in self._space.grid() if name_of(params) not in taken]
        return left[derive(self._config.seeds[0], "sampler", number) % len(left)] if left else None

    def _sampler(self, seed: int) -> BaseSampler:
        if self._config.method == "random":
            return RandomSampler(seed=seed)
        return TPESampler(seed=seed, n_startup_trials=10, multivariate=False, constant_liar=False)


def _scalars(choices: tuple[Any, ...]) -> list[Any]:
    """Choices as Optuna takes them: a list of augmentations becomes its text."""
    return [json.dumps(c) if isinstance(c, list | tuple) else c for c in choices]


def _suggest(dimension: Dimension, trial: optuna.Trial) -> Any:
    """Lets Optuna choose a value."""
    if dimension.choices is not None:
        names = _scalars(dimension.choices)
        return dimension.choices[names.index(trial.suggest_categorical(dimension.label, names))]
    if dimension.integer:
        return trial.suggest_int(dimension.label, int(dimension.low), int(dimension.high))
    value = trial.suggest_float(dimension.label, dimension.low, dimension.high, step=dimension.step, log=dimension.log)
    listed = dimension.enumerate()
    # Optuna's 0.30000000000000004 is our 0.3, or a resumed study would not know its own trials
    return value if listed is None else min(listed, key=lambda known: abs(known - value))


def _stored(dimension: Dimension, value: Any) -> tuple[Any, BaseDistribution]:
    """A value and its distribution as Optuna stores them."""
    if dimension.choices is not None:
        names = _scalars(dimension.choices)
        chosen = next(n for n, choice in zip(names, dimension.choices, strict=True) if same_value(choice, value))
        return chosen, CategoricalDistribution(names)
    if dimension.integer:
        return value, IntDistribution(int(dimension.low), int(dimension.high))
    return value, FloatDistribution(dimension.low, dimension.high, step=dimension.step, log=dimension.log)
