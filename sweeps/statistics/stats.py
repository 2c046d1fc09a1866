"""Statistics of repeated runs: pure functions over arrays.

Two kinds of comparison, each with one test that decides:

- **Planned** before the runs (hypotheses, ablations): the paired t test. An exact sign-flip test of n pairs has no
  p-value below 2^(1-n), so it cannot reach 0.05 with fewer than six seeds; the seeds' differences are differences of
  means over many images, for which the t distribution is a good model. Several of them share the level by Holm's rule.
- **With the best of a table**, which these very numbers have chosen: `against_best`, a permutation test whose every
  permutation chooses its best anew. A correction for the number of comparisons alone would not do: the best of many
  equal trials is better than the others in its own data.

Axes: S seeds, T trials, P permutations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""Of every test and, as 1 - LEVEL, of every interval."""

MOST_EXACT = 12
"""Seeds up to which all 2^S sign flips are computed; above, `NUM_FLIPS` are drawn."""

NUM_FLIPS = 9_999

LEAST_PAIRS = 3
"""Of a planned comparison: scores are counts of images, so two differences are equal, or nearly so, by chance alone."""

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
    median = float(np.median(values_S))
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


# -- planned comparisons ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """Differences of two trials, paired by seed."""

    n: int
    mean: float
    sd: float | None
    low: float | None
    """Student-t interval of the mean difference; None for a single pair, and where all differences are the same."""
    high: float | None
    p: float | None
    """Two-sided p-value of the paired t test; None below `LEAST_PAIRS`."""
    effect: float | None
    """Mean difference over its standard deviation (Cohen's d_z); None without spread."""


def differences(a_S: Sequence[float], b_S: Sequence[float]) -> list[float]:
    """a - b, seed by seed."""
    return [a - b for a, b in zip(a_S, b_S, strict=True)]


def paired(a_S: Sequence[float], b_S: Sequence[float], level: float = LEVEL) -> Paired:
    """Compares a with b; differences are a - b.

    Args:
        a_S: one value per seed, the same seeds in the same order as `b_S`.
    """
    gaps_S = differences(a_S, b_S)
    told = summarise(gaps_S, level)
    return Paired(
        n=told.n,
        mean=told.mean,
        sd=told.sd,
        low=told.low,
        high=told.high,
        p=None if told.n < LEAST_PAIRS else t_test(gaps_S),
        effect=None if told.sd is None or _no_spread(told) else told.mean / told.sd,
    )


def _no_spread(told: Summary) -> bool:
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
    if _no_spread(told):
        if abs(gap) <= 1e-9 * max(abs(told.mean), abs(against), 1e-6):
            return 1.0
        one_sided = 2.0**-told.n if gap > 0 else 1.0
        return 2.0 ** (1 - told.n) if side == "both" else one_sided
    t = gap / (told.sd / math.sqrt(told.n))
    if side == "both":
        return 2 * t_above(told.n - 1, abs(t))
    return t_above(told.n - 1, t)


def effect_interval(effect: float, n: int, level: float = LEVEL) -> tuple[float, float] | None:
    """Interval of a standardised mean difference; None where it is too large to be computed.

    Args:
        effect: mean difference over its standard deviation, of n pairs.

    Source: inverts the noncentral t distribution (Cumming and Finch 2001).
    """
    from scipy.optimize import brentq
    from scipy.stats import nct

    t = effect * math.sqrt(n)

    def bound(probability: float, direction: float) -> float | None:
        """The noncentrality at which a larger t is met with one minus this probability."""

        def gap(shift: float) -> float:
            return float(nct.cdf(t, n - 1, shift)) - probability

        near, step = t, direction
        start = gap(near)
        while math.isfinite(start) and math.isfinite(gap(near + step)):
            if gap(near + step) * start <= 0:
                return float(brentq(gap, *sorted((near, near + step))))
            near, step = near + step, 1.5 * step
        return None

    low, high = bound(1 - level / 2, -1.0), bound(level / 2, 1.0)
    return None if low is None or high is None else (low / math.sqrt(n), high / math.sqrt(n))


def equivalence(a_S: Sequence[float], b_S: Sequence[float], margin: float) -> float:
    """P-value of two one-sided tests: small when the mean difference lies between -margin and margin.

    Args:
        margin: greater than 0, in the unit of the metric; at least two pairs.

    Source: Schuirmann 1987.
    """
    assert margin > 0
    gaps_S = differences(a_S, b_S)
    return max(t_test(gaps_S, -margin, "above"), t_test(gaps_S, margin, "below"))


def beyond(a_S: Sequence[float], b_S: Sequence[float], margin: float) -> float:
    """Two-sided p-value for a mean difference that is larger than the margin, in either direction."""
    gaps_S = differences(a_S, b_S)
    return min(1.0, 2 * min(t_test(gaps_S, margin, "above"), t_test(gaps_S, -margin, "below")))


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
    signs_PS = _signs(num_seeds)
    choice_PT = signs_PS @ choice_TS.T
    score_PT = signs_PS @ (score_TS.T / num_seeds)
    best = int(choice_PT[0].argmax()) if best is None else best
    own_T = score_PT[0, best] - score_PT[0]
    # sums in another order differ in their last bits: what is equal must count as reached
    slack = 1e-12 * max(1.0, float(np.abs(score_PT).max()))
    tie = 1e-12 * max(1.0, float(np.abs(choice_PT).max()))
    others = [trial for trial in np.argsort(own_T, kind="stable").tolist() if trial != best]
    chosen_P, picked_P, least_P = choice_PT[:, best].copy(), score_PT[:, best].copy(), score_PT[:, best].copy()
    p_T: dict[int, float] = {}
    for trial in others:  # from the closest to the furthest: the trials among which a flip picks grow by one each time
        better_P = choice_PT[:, trial] > chosen_P + tie
        chosen_P = np.where(better_P, choice_PT[:, trial], chosen_P)
        picked_P = np.where(better_P, score_PT[:, trial], picked_P)
        least_P = np.minimum(least_P, score_PT[:, trial])
        p_T[trial] = float((picked_P - least_P >= own_T[trial] - slack).mean())
    least = 0.0
    for trial in reversed(others):
        p_T[trial] = least = max(least, p_T[trial])
    return AgainstBest(best=best, p=tuple(p_T.get(trial) for trial in range(num_trials)), attainable=attainable)


def _signs(num_seeds: int) -> Array:
    """Sign flips [P, S]; the first is none at all."""
    if num_seeds <= MOST_EXACT:
        bits_PS = (np.arange(2**num_seeds)[:, None] >> np.arange(num_seeds) & 1).astype(np.float64)
        return 1 - 2 * bits_PS
    drawn = np.random.default_rng(0).integers(0, 2, (NUM_FLIPS, num_seeds))
    return np.concatenate([np.ones((1, num_seeds)), 1 - 2 * drawn.astype(np.float64)])


def seeds_needed(
    differences_S: Sequence[float], num_comparisons: int, *, by_flips: bool = False, level: float = LEVEL
) -> int | None:
    """How many seeds would show a difference of this size and spread, were they to go on like these.

    The least number for which a t test reaches the level divided by the number of comparisons.

    Args:
        differences_S: at least two.
        by_flips: for `against_best`, whose p-values cannot be less than 2^(1-n).

    Returns:
        None when no number up to 1,000 would.
    """
    told = summarise(differences_S)
    assert told.sd is not None
    least = next(n for n in range(2, 100) if not by_flips or 2.0 ** (1 - n) <= level)
    if _no_spread(told):
        # what the sign test takes
        return (
            next(n for n in range(2, 100) if 2.0 ** (1 - n) <= level / max(1, num_comparisons)) if told.mean else None
        )
    for n in range(least, 1001):
        t = abs(told.mean) / (told.sd / math.sqrt(n))
        if 2 * t_above(n - 1, t) <= level / max(1, num_comparisons):
            return n
    return None


def roughly(needed: int) -> str:
    """A number of seeds in words, where nobody has reason to know it exactly."""
    return str(needed) if needed <= 100 else "more than 100"
