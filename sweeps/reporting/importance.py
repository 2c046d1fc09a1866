"""How much each parameter of a study matters, from the means of its trials.

Axes: D parameters, G values of one of them, T trials.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.errors import ConfigError
from sweeps.reporting.results import Results, Trial, comparable, distinct
from sweeps.statistics.stats import summarise

NUM_TREES = 64
MOST_VALUES = 8
"""Numbers with more values than this are cut into `NUM_BINS` ranges of equally many trials."""
NUM_BINS = 4
MOST_CODES = 32
"""Values of a parameter at which the forest is asked; between them it is interpolated."""
LEAST_TRIALS = 4


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Where the variance between trials comes from."""

    of_parameter: dict[str, float]
    """Explained by a parameter alone, largest first; fractions of the variance between trial means."""
    interactions: float
    """Explained by parameters together only."""
    exact: bool
    """Whether the trials are a complete grid, whose variance falls into parts without a model."""
    num_trials: int
    trial_sd: float
    noise_sd: float | None
    """Between seeds of one trial, pooled; None with one seed."""


@lru_cache(maxsize=4)  # a table and two pictures ask for it
def shares(results: Results) -> Shares:
    """Decomposes the variance between the means of trials; where they are no complete grid, as a random forest has it.

    Raises:
        ConfigError: too few trials, or nothing varies.

    Source: first-order indices of functional ANOVA, on a forest as Hutter et al. 2014 fit one; the means are over
    the trials that were run in place of a uniform distribution.
    """
    trials, names = comparable(results.trials, results.metric), results.varying()
    values_T = np.array([trial.mean(results.metric) for trial in trials], dtype=float)
    if len(trials) < LEAST_TRIALS or not names:
        raise ConfigError(f"Importances need at least {LEAST_TRIALS} complete trials and a parameter that varies.")
    if values_T.min() == values_T.max():
        raise ConfigError("Importances need trials that differ, but all have the same mean.")
    exact = _is_complete(trials, names)
    found = _of_grid(trials, names, values_T) if exact else _of_forest(trials, names, values_T)
    variances = [summarise(trial.scores(results.metric)).sd for trial in trials]
    known = [sd**2 for sd in variances if sd is not None]
    return Shares(
        of_parameter=dict(sorted(found.items(), key=lambda item: -item[1])),
        interactions=max(0.0, 1 - sum(found.values())),
        exact=exact,
        num_trials=len(trials),
        trial_sd=float(values_T.std(ddof=1)),
        noise_sd=float(np.sqrt(np.mean(known))) if known else None,
    )


def _is_complete(trials: Sequence[Trial], names: Sequence[str]) -> bool:
    """Whether every combination of values is there, once."""
    points = {tuple(repr(trial.values.get(name)) for name in names) for trial in trials}
    sizes = [len({repr(trial.values.get(name)) for trial in trials}) for name in names]
    return len(points) == len(trials) == math.prod(sizes)


def _of_grid(trials: Sequence[Trial], names: Sequence[str], values_T: NDArray[np.float64]) -> dict[str, float]:
    """Variance of the means at each value of a parameter, over the variance of all."""
    found = {}
    for name in names:
        written = [repr(trial.values.get(name)) for trial in trials]
        means = [values_T[[w == value for w in written]].mean() for value in dict.fromkeys(written)]
        found[name] = float(np.var(means) / values_T.var())
    return found


def _of_forest(trials: Sequence[Trial], names: Sequence[str], values_T: NDArray[np.float64]) -> dict[str, float]:
    """The variance of the forest's mean prediction when a parameter takes each of its values and the others stay."""
    from sklearn.ensemble import RandomForestRegressor

    inputs_TD = np.stack([_codes(trials, name) for name in names], axis=1)
    forest = RandomForestRegressor(n_estimators=NUM_TREES, random_state=0).fit(inputs_TD, values_T)
    total = float(forest.predict(inputs_TD).var())
    found: dict[str, float] = {}
    for column, name in enumerate(names):
        codes_T = inputs_TD[:, column]
        codes_G = np.unique(codes_T)
        if len(codes_G) > MOST_CODES:
            codes_G = np.quantile(codes_T, np.linspace(0, 1, MOST_CODES))
        changed_GTD = np.repeat(inputs_TD[None], len(codes_G), axis=0)
        changed_GTD[:, :, column] = codes_G[:, None]
        mean_G = forest.predict(changed_GTD.reshape(-1, len(names))).reshape(len(codes_G), -1).mean(1)
        found[name] = float(np.interp(codes_T, codes_G, mean_G).var()) / total if total else 0.0
    return found


def _codes(trials: Sequence[Trial], name: str) -> NDArray[np.float64]:
    """A parameter as numbers: itself, on a logarithmic scale where it spans more than one order, or its rank."""
    values = [trial.values.get(name) for trial in trials]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        numbers = np.array(values, dtype=float)
        return np.log(numbers) if numbers.min() > 0 and numbers.max() > 10 * numbers.min() else numbers
    seen = distinct(values)
    return np.array([next(n for n, other in enumerate(seen) if repr(other) == repr(value)) for value in values], float)


def slices_of(results: Results, name: str) -> list[tuple[Any, list[Trial]]]:
    """The values of a parameter, or (low, high) where there are many, each with its complete trials of all seeds."""
    trials = comparable(results.trials, results.metric)
    values = distinct(trial.values.get(name) for trial in trials)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numbers:
        values.sort()
    if not numbers or len(values) <= MOST_VALUES:
        return [(value, [t for t in trials if repr(t.values.get(name)) == repr(value)]) for value in values]
    ordered = sorted(trials, key=lambda trial: float(trial.values[name]))
    parts = [[ordered[place] for place in part] for part in np.array_split(np.arange(len(ordered)), NUM_BINS)]
    return [((part[0].values[name], part[-1].values[name]), part) for part in parts]
