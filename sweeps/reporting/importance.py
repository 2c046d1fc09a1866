"""How much each parameter of a study matters: its trials, as `statistics.importance` takes them."""

from functools import lru_cache
from typing import Any

import numpy as np

from resnet_tl.errors import ConfigError
from sweeps.reporting.results import NONE_HERE, Results, Trial, comparable, distinct
from sweeps.statistics import importance
from sweeps.statistics.importance import is_number
from sweeps.statistics.stats import summarise

LEAST_TRIALS = 4


class Attribution:
    """Where the variance between the trials of a study comes from."""

    def __init__(self, results: Results) -> None:
        trials, names = comparable(results.trials, results.metric), results.varying()
        means_T = np.array([trial.mean(results.metric) for trial in trials], dtype=float)
        if len(trials) < LEAST_TRIALS or not names:
            raise ConfigError(f"Importances need at least {LEAST_TRIALS} complete trials and a parameter that varies.")
        if means_T.min() == means_T.max():
            raise ConfigError("Importances need trials that differ, but all have the same mean.")
        spreads = [summarise(trial.scores(results.metric)).sd for trial in trials]
        known = [sd**2 for sd in spreads if sd is not None]
        self.num_trials = len(trials)
        self.trial_sd = float(means_T.std(ddof=1))
        self.noise_sd = float(np.sqrt(np.mean(known))) if known else None
        """Between seeds of one trial, pooled; None with one seed."""
        values_DT = {name: [trial.values.get(name) for trial in trials] for name in names}
        self._decomposition = importance.Decomposition(values_DT, means_T)

    @property
    def shares(self) -> importance.Shares:
        """What each parameter explains; waits for them.

        Raises:
            ConfigError: the process that finds them was killed, or ended with an error.
        """
        try:
            return self._decomposition.shares
        except RuntimeError as error:
            raise ConfigError(f"Importances could not be computed: {str(error).splitlines()[-1]}") from error


@lru_cache(maxsize=4)  # a table and two pictures ask for it
def attribution(results: Results) -> Attribution:
    """Begins to decompose the variance between the means of trials.

    Raises:
        ConfigError: too few trials, or nothing varies.
    """
    return Attribution(results)


def slices_of(results: Results, name: str) -> list[tuple[Any, list[Trial]]]:
    """The values of a parameter, or (low, high) where there are many, each with its complete trials of all seeds."""
    trials = [trial for trial in comparable(results.trials, results.metric) if trial.value(name) != NONE_HERE]
    values_T = [trial.values.get(name) for trial in trials]
    cut = importance.ranges(values_T)
    if cut is not None:
        return [(value, [trials[place] for place in places]) for value, places in cut]
    values = distinct(values_T)
    if all(is_number(value) for value in values):
        values.sort()
    return [(value, [t for t in trials if repr(t.values.get(name)) == repr(value)]) for value in values]
