"""Statistics of repeated runs: pure functions over arrays.

Axes: S seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Mean and spread of one metric over seeds."""

    n: int
    mean: float
    sd: float | None
    """Sample standard deviation (ddof = 1); None for a single value."""
    low: float | None
    """95% Student-t interval of the mean; None for a single value."""
    high: float | None


def summarise(values_S: Sequence[float], level: float = 0.95) -> Summary:
    """Mean, sample standard deviation and Student-t interval.

    Args:
        values_S: one value per seed; at least one, all finite.
        level: of the interval.
    """
    assert len(values_S) > 0
    assert all(math.isfinite(value) for value in values_S)
    n = len(values_S)
    mean = math.fsum(values_S) / n
    if n == 1:
        return Summary(n=1, mean=mean, sd=None, low=None, high=None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values_S) / (n - 1))
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, (1 + level) / 2)) * sd / math.sqrt(n)
    return Summary(n=n, mean=mean, sd=sd, low=mean - half, high=mean + half)
