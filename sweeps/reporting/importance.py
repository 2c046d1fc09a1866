"""How much each parameter of a study matters: its trials, as `statistics.importance` takes them."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from resnet_tl.errors import ConfigError
from sweeps.reporting.results import NONE_HERE, Results, Trial, comparable, distinct
from sweeps.statistics import importance
from sweeps.statistics.importance import is_number
from sweeps.statistics.stats import summarise

LEAST_TRIALS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribution:
    """Where the variance between the trials of a study comes from."""

    shares: importance.Shares
    num_trials: int
    trial_sd: float
    noise_sd: float | None
    """Between seeds of one trial, pooled; None with one seed."""


@lru_cache(maxsize=4)  # a table and two pictures ask for it
def attribution(results: Results) -> Attribution:
    """Decomposes the variance between the means of trials.

    Raises:
        ConfigError: too few trials, or nothing varies.
    """
    trials, names = comparable(results.trials, results.metric), results.varying()
    means_T = np.array([trial.mean(results.metric) for trial in trials], dtype=float)
    if len(trials) < LEAST_TRIALS or not names:
        raise ConfigError(f"Importances need at least {LEAST_TRIALS} complete trials and a parameter that varies.")
    if means_T.min() == means_T.max():
        raise ConfigError("Importances need trials that differ, but all have the same mean.")
    values_DT = {name: [trial.values.get(name) for trial in trials] for name in names}
    spreads = [summarise(trial.scores(results.metric)).sd for trial in trials]
    known = [sd**2 for sd in spreads if sd is not None]
    return Attribution(
        shares=importance.shares(values_DT, means_T),
        num_trials=len(trials),
        trial_sd=float(means_T.std(ddof=1)),
        noise_sd=float(np.sqrt(np.mean(known))) if known else None,
    )


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
