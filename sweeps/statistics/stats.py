"""Statistics of repeated runs: pure functions over the scores of seeds.

`planned` compares what was named before the runs. With the best of a table, which these very numbers have chosen, it
is `against_best`, a permutation test whose every permutation chooses its best anew. A correction for the number of
comparisons alone would not do: the best of many equal trials is better than the others in its own data. `images` does
the same where it is known how each image was scored.

Axes: S seeds, T trials, P permutations.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""Of every test and, as 1 - LEVEL, of every interval."""

MOST_EXACT = 12
"""Seeds up to which all 2^S sign flips are computed; above, `NUM_FLIPS` are drawn."""

NUM_FLIPS = 9_999

ROUNDING = 1e-9
"""Values that differ by less, relative to their mean, are the same."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Location and spread of one metric over seeds."""

    n: int
    mean: float
    median: float
    sd: float | None
    """Sample standard deviation (ddof = 1); None for a single value."""
    low: float | None
    """Student-t interval of the mean; None for a single value, and where all are the same."""
    high: float | None


def summarise(values_S: Sequence[float], level: float = LEVEL) -> Summary:
    """Mean, median, sample standard deviation and Student-t interval.

    Args:
        values_S: one value per seed; at least one, all finite.
        level: one minus the coverage of the interval.
    """
    assert len(values_S) > 0
    assert all(math.isfinite(value) for value in values_S)
    n = len(values_S)
    mean = math.fsum(values_S) / n
    median = float(statistics.median(values_S))
    if n == 1:
        return Summary(n=1, mean=mean, median=median, sd=None, low=None, high=None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values_S) / (n - 1))
    if max(values_S) - min(values_S) <= ROUNDING * max(abs(mean), 1e-6):
        # no spread was seen, from which none could be judged: an interval of width 0 would claim certainty
        return Summary(n=n, mean=mean, median=median, sd=sd, low=None, high=None)
    half = t_quantile(n - 1, 1 - level / 2) * sd / math.sqrt(n)
    return Summary(n=n, mean=mean, median=median, sd=sd, low=mean - half, high=mean + half)


@lru_cache(maxsize=4096)
def t_quantile(df: float, probability: float) -> float:
    """Of the t distribution; of the normal one where `df` is infinite."""
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def t_above(df: float, t: float) -> float:
    """Probability of a larger t."""
    from scipy.special import stdtr

    return float(stdtr(df, -t))


def bootstrap_interval(values_S: Sequence[float], level: float = LEVEL) -> tuple[float, float] | None:
    """Bias-corrected and accelerated bootstrap interval of the mean; None below three values or without spread.

    With few seeds it is too narrow (of three values it covers about 75%), so tables show the t interval.

    Source: Efron 1987, "Better bootstrap confidence intervals", as `scipy.stats.bootstrap` computes it.
    """
    if len(values_S) < 3 or min(values_S) == max(values_S):
        return None
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.asarray(values_S, dtype=float),),
        np.mean,
        confidence_level=1 - level,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def no_spread(told: Summary) -> bool:
    """Whether all values are the same, but for rounding."""
    return told.sd is not None and told.sd <= ROUNDING * max(abs(told.mean), 1e-6)


def t_test(differences_S: Sequence[float], against: float = 0.0, side: str = "both") -> float:
    """P-value of the one-sample t test; where all values are the same that of the sign test, which knows no spread.

    Args:
        differences_S: at least two.
        against: the mean under the null hypothesis.
        side: the alternative: `both`, `above` or `below`.
    """
    told = summarise(differences_S)
    assert told.sd is not None
    gap = told.mean - against
    if side == "below":
        gap = -gap
    if no_spread(told):
        if abs(gap) <= 1e-9 * max(abs(told.mean), abs(against), 1e-6):
            return 1.0
        one_sided = 2.0**-told.n if gap > 0 else 1.0
        return 2.0 ** (1 - told.n) if side == "both" else one_sided
    t = gap / (told.sd / math.sqrt(told.n))
    if side == "both":
        return 2 * t_above(told.n - 1, abs(t))
    return t_above(told.n - 1, t)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number: the chance of one false claim or more among them stays at the level.

    Source: Holm 1979; as R's `p.adjust`.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    least = 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


# -- with the best, chosen from the same data ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class AgainstBest:
    """Every trial against the one that scored best."""

    best: int
    """Its place among the trials."""
    p: tuple[float | None, ...]
    """Corrected p-value of each trial's being worse than the best; None for the best itself."""
    attainable: float
    """The least p-value that so many seeds can give, whatever the data."""


def against_best(choice_TS: Array, score_TS: Array, best: int | None = None) -> AgainstBest:
    """Tests whether the trial that `choice` prefers scores higher than each of the others.

    Under the null hypothesis that some trials are equally good, a seed's differences between them are as likely as the
    same ones with the opposite sign. So the signs of whole seeds are flipped, of `choice` and `score` together; each
    flip chooses its own best trial and gives the largest lead of that one over any other. The p-value of a trial is the
    share of flips whose largest lead, among this trial and those closer to the best, reaches its own; and no less than
    that of any trial further behind. It allows for the best having been picked, for the number of trials, for any
    correlation between trials or between choice and score, and for spreads that differ from trial to trial. Trials that
    are plainly worse do not hide smaller differences, since each is set aside once it has been dealt with.

    Args:
        choice_TS: what the best is chosen by (the higher mean), typically on val.
        score_TS: what is compared, typically on test; higher is better.
        best: which of several with the same highest mean is called so; default: the first.

    Source: Westfall and Young 1993, the step-down max-type procedure, with sign flips of seeds in place of resampling.
    """
    num_trials, num_seeds = choice_TS.shape
    assert num_trials >= 2
    assert num_seeds >= 1
    attainable = max(2.0 ** (1 - num_seeds), 1 / (NUM_FLIPS + 1) if num_seeds > MOST_EXACT else 0.0)
    signs_SP = _signs(num_seeds).T
    choice_TP = choice_TS @ signs_SP
    score_TP = (score_TS / num_seeds) @ signs_SP
    best = int(choice_TP[:, 0].argmax()) if best is None else best
    own_T = score_TP[best, 0] - score_TP[:, 0]
    # sums in another order differ in their last bits: what is equal must count as reached
    slack = 1e-12 * max(1.0, float(np.abs(score_TP).max()))
    tie = 1e-12 * max(1.0, float(np.abs(choice_TP).max()))
    counts_T = step_down(choice_TP, score_TP, own_T - slack, best=best, tie=tie)
    p = tuple(None if trial == best else float(count) / signs_SP.shape[1] for trial, count in enumerate(counts_T))
    return AgainstBest(best=best, p=p, attainable=attainable)


def step_down(
    choice_TP: NDArray[Any], score_TP: NDArray[Any], own_T: Array, *, best: int, tie: float = 0.0
) -> NDArray[np.int64]:
    """In how many draws the largest lead of that draw's own best, among a trial and those closer to the best, reaches
    the trial's own; and no fewer than of any trial further behind. [T], 0 for the best.

    Args:
        choice_TP: what each draw picks its best by.
        score_TP: what it compares.
        own_T: how far each trial lies behind the best in the data.
        best: the place of the one that the data picked.
        tie: what is preferred by no more counts as equal.
    """
    others = [trial for trial in np.argsort(own_T, kind="stable").tolist() if trial != best]
    chosen_P, picked_P, least_P = choice_TP[best], score_TP[best], score_TP[best]
    counts_T = np.zeros(len(own_T), np.int64)
    for trial in others:  # from the closest to the furthest: the trials among which a draw picks grow by one each time
        better_P = choice_TP[trial] > chosen_P + tie
        chosen_P = np.where(better_P, choice_TP[trial], chosen_P)
        picked_P = np.where(better_P, score_TP[trial], picked_P)
        least_P = np.minimum(least_P, score_TP[trial])
        counts_T[trial] = (picked_P - least_P >= own_T[trial]).sum()
    least = 0
    for trial in reversed(others):
        counts_T[trial] = least = max(least, int(counts_T[trial]))
    return counts_T


def _signs(num_seeds: int) -> Array:
    """Sign flips [P, S]; the first is none at all."""
    if num_seeds <= MOST_EXACT:
        bits_PS = (np.arange(2**num_seeds)[:, None] >> np.arange(num_seeds) & 1).astype(np.float64)
        return 1 - 2 * bits_PS
    drawn = np.random.default_rng(0).integers(0, 2, (NUM_FLIPS, num_seeds))
    return np.concatenate([np.ones((1, num_seeds)), 1 - 2 * drawn.astype(np.float64)])
