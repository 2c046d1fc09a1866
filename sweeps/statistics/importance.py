"""How much each parameter matters, from the means of trials.

Axes: D parameters, G values of one of them, T trials.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.statistics.forest import Forest

MOST_VALUES = 8
"""Numbers with more values than this are cut into `NUM_BINS` ranges of equally many trials."""
NUM_BINS = 4

Values = Mapping[str, Sequence[Any]]
"""Of each parameter the value that every trial has, [T]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Where the variance between trials comes from."""

    of_parameter: dict[str, float]
    """Explained by a parameter alone, largest first; fractions of the variance between trial means."""
    interactions: float
    """Explained by parameters together only."""
    exact: bool
    """Whether the trials are a complete grid, whose variance falls into parts without a model."""


class Decomposition:
    """Decomposes the variance between the means of trials; where they are no complete grid, as a random forest has it.

    A forest is fitted meanwhile by another process, so whoever needs the shares later begins this early.

    Source: first-order indices of functional ANOVA, on a forest as Hutter et al. 2014 fit one; the means are over
    the trials that were run in place of a uniform distribution.
    """

    def __init__(self, values_DT: Values, means_T: NDArray[np.float64]) -> None:
        """Begins.

        Args:
            means_T: of at least two trials, not all equal.
        """
        assert means_T.min() < means_T.max()
        self._names = list(values_DT)
        self._exact = _of_grid(values_DT, means_T) if _is_complete(values_DT, len(means_T)) else None
        if self._exact is None:
            self._forest = Forest(np.stack([_codes(values_T) for values_T in values_DT.values()], axis=1), means_T)

    @cached_property
    def shares(self) -> Shares:
        """What each parameter explains."""
        found = self._exact or dict(zip(self._names, self._forest.of_parameter(), strict=True))
        return Shares(
            of_parameter=dict(sorted(found.items(), key=lambda item: -item[1])),
            interactions=max(0.0, 1 - sum(found.values())),
            exact=self._exact is not None,
        )


def _is_complete(values_DT: Values, num_trials: int) -> bool:
    """Whether every combination of values is there, once."""
    points = {tuple(map(repr, point)) for point in zip(*values_DT.values(), strict=True)}
    sizes = [len(set(map(repr, values_T))) for values_T in values_DT.values()]
    return len(points) == num_trials == math.prod(sizes)


def _of_grid(values_DT: Values, means_T: NDArray[np.float64]) -> dict[str, float]:
    """Variance of the means at each value of a parameter, over the variance of all."""
    found = {}
    for name, values_T in values_DT.items():
        written = [repr(value) for value in values_T]
        means_G = [means_T[[w == value for w in written]].mean() for value in dict.fromkeys(written)]
        found[name] = float(np.var(means_G) / means_T.var())
    return found


def _codes(values_T: Sequence[Any]) -> NDArray[np.float64]:
    """A parameter as numbers: itself, on a logarithmic scale where it spans more than one order, or its rank."""
    if all(is_number(value) for value in values_T):
        numbers = np.array(values_T, dtype=float)
        return np.log(numbers) if numbers.min() > 0 and numbers.max() > 10 * numbers.min() else numbers
    seen = list(dict.fromkeys(map(repr, values_T)))
    return np.array([seen.index(repr(value)) for value in values_T], float)


def is_number(value: Any) -> bool:
    """Whether values can be ordered and cut into ranges; True and False are words."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def ranges(values_T: Sequence[Any]) -> list[tuple[Any, list[int]]] | None:
    """Cuts the values of a parameter into few ranges.

    Returns:
        (low, high) and the places of the trials in it, or None where there are so few values that each stands alone.
    """
    if not all(is_number(value) for value in values_T) or len(set(map(repr, values_T))) <= MOST_VALUES:
        return None
    ordered = sorted(range(len(values_T)), key=lambda place: float(values_T[place]))
    parts = [part.tolist() for part in np.array_split(np.array(ordered), NUM_BINS)]
    return [((values_T[part[0]], values_T[part[-1]]), part) for part in parts]
