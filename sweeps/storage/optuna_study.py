"""Optuna's record of a study, for its dashboard and its tools. It is derived from the ledger and steers nothing.

A trial stands in it once all its seed runs have a result, with its learning curve; that of a study with several aims
has several values and, since Optuna allows none then, no curve. What disagrees with the ledger,
after a kill or since the study has gained seeds, is made anew. A trial that failed is left out: it will be tried again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from resnet_tl.identity import digest
from sweeps.definition.config import StudyConfig
from sweeps.definition.space import Space
from sweeps.planning.sampler import frozen_trial
from sweeps.planning.study_state import Result
from sweeps.records import TrialRecord
from sweeps.storage.schema import ConnectionLost
from sweeps.storage.transactions import TRIES

CurveOf = Callable[[TrialRecord], dict[int, float]]
"""The study's metric by epoch, mean over seeds."""


def create_tables(url: str, options: Mapping[str, Any] | None = None) -> None:
    """Makes Optuna's tables in a database that nobody else makes any in."""
    close(open_storage(url, options or {}))


def open_storage(url: str, options: Mapping[str, Any]) -> BaseStorage:
    """Optuna's storage at an address of SQLAlchemy.

    Args:
        options: of its engine.
    """
    return RDBStorage(url, engine_kwargs=dict(options))


def close(storage: BaseStorage) -> None:
    """Lets go of the database."""
    storage.remove_session()
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()


class OptunaStudy:
    """One study in Optuna's storage.

    Args:
        curve_of: asked for each trial that is added.
    """

    def __init__(self, storage: BaseStorage, config: StudyConfig, space: Space, curve_of: CurveOf) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage, self._config, self._space, self._curve_of = storage, config, space, curve_of
        self._kind = digest([config.method, [repr(dimension) for dimension in space.dimensions]])
        self._there: set[int] = set()
        self._study: optuna.Study

    def match(self, results: Iterable[Result]) -> None:
        """Makes the record agree with all results of the ledger."""
        results = list(results)
        for last in _tries():
            try:
                self._match({result.trial.number: frozen_trial(result, self._space) for result in results})
                break
            except ConnectionLost:  # what got in is looked at again
                if last:
                    raise
        self.add(results)

    def _match(self, wanted: Mapping[int, FrozenTrial]) -> None:
        stored = self._load()
        if stored is None or not all(_agrees(trial, wanted) for trial in stored.get_trials(deepcopy=False)):
            stored = self._make()
        self._study = stored
        self._look()

    def add(self, results: Iterable[Result]) -> None:
        """Adds trials that are not there yet."""
        for result in results:
            lost = False
            for last in _tries():
                try:
                    if lost:  # whether it got in is not known
                        self._look()
                    self._add(result)
                    break
                except ConnectionLost:
                    lost = True
                    if last:
                        raise

    def _add(self, result: Result) -> None:
        if result.trial.number not in self._there:
            self._study.add_trial(frozen_trial(result, self._space, curve=self._curve_of(result.trial)))
            self._there.add(result.trial.number)

    def _look(self) -> None:
        self._there = {trial.user_attrs["trial"] for trial in self._study.get_trials(deepcopy=False)}

    def close(self) -> None:
        """Lets go of the database."""
        close(self._storage)

    def _load(self) -> optuna.Study | None:
        name = self._config.name
        if name not in optuna.get_all_study_names(self._storage):
            return None
        study = optuna.load_study(study_name=name, storage=self._storage)
        # Optuna keeps stored directions silently, and refuses to change the choices of a parameter
        directions = tuple(direction.name.lower() for direction in study.directions)
        same = study.user_attrs.get("space") == self._kind and directions == self._config.directions
        return study if same else None

    def _make(self) -> optuna.Study:
        name = self._config.name
        if name in optuna.get_all_study_names(self._storage):
            optuna.delete_study(study_name=name, storage=self._storage)
        study = optuna.create_study(study_name=name, directions=self._config.directions, storage=self._storage)
        study.set_user_attr("space", self._kind)
        study.set_user_attr("question", self._config.question)
        return study


def _tries() -> Iterable[bool]:
    """Of a record that a server keeps, whether each is the last; a server that is down is waited for in each."""
    return (number == TRIES for number in range(1, TRIES + 1))


def _agrees(stored: FrozenTrial, wanted: Mapping[int, FrozenTrial]) -> bool:
    """Whether a stored trial is as the ledger would have it."""
    other = wanted.get(stored.user_attrs.get("trial", -1))
    return (
        other is not None
        and stored.state == other.state
        and stored.user_attrs == other.user_attrs
        and stored.params == other.params
        and (stored.state != TrialState.COMPLETE or stored.values == other.values)
    )
