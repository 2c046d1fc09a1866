"""Racing on seeds: which trials can no longer win over all planned seeds, told from the first few of them.

All trials run their first seeds; then, seed by seed, those that are out of reach of the best are stopped. What is
decided hangs on the scores of the seeds before alone, so that it can be told again at any time from the ledger.

The target is the best mean over the *planned* seeds, on this very `val`: a finite population of which the first n seeds
are a sample, so that what is open shrinks to nothing at the last one. Gaps to the leader are paired by seed. With so
few seeds their variance says little on its own; it is shrunk towards what the gaps of all trials have in common
(Smyth 2004, "Linear models and empirical Bayes methods for assessing differential expression").

Axes: T trials, S seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sweeps.statistics.stats import t_quantile

FEWEST = 2
"""Seeds before the first look: one shows no spread."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """When a trial is stopped; see `out_of_reach`."""

    risk: float
    regret: float
    simultaneous: bool = False


def rule_of(written: Mapping[str, Any]) -> Rule:
    """The rule that `study.pruner` says."""
    return Rule(**{name: written[name] for name in ("risk", "regret", "simultaneous")})


@dataclass(frozen=True, kw_only=True, slots=True)
class Race:
    """Where a race stands. Trials are known by their place in the order that was given."""

    num_seeds: int
    """Seeds that those in the race have, or are to have next."""
    lacking: tuple[tuple[int, int], ...]
    """Trial and seed of what is to run before anything more is decided; empty at the end."""
    stopped: Mapping[int, int]
    """Trials that are out of reach, with the number of seeds after which they were."""
    left: Mapping[int, int]
    """The same of trials that left for want of a number: a seed run of theirs diverged or failed."""


def race(
    rule: Rule,
    *,
    seeds: Sequence[int],
    better: Literal["min", "max"],
    scores: Sequence[Mapping[int, float | None]],
    are_all: bool = True,
) -> Race:
    """Replays a race from what is known.

    Args:
        seeds: planned, in order.
        scores: of each trial by seed: a number, or None where a seed run ended without one.
        are_all: whether these are all trials; before that no trial is stopped.
    """
    sign = 1.0 if better == "max" else -1.0
    racing, stopped, left = list(range(len(scores))), dict[int, int](), dict[int, int]()
    for n in range(min(FEWEST, len(seeds)), len(seeds) + 1):
        lacking = tuple((trial, seed) for trial in racing for seed in seeds[:n] if seed not in scores[trial])
        if lacking or not are_all:
            return Race(num_seeds=n, lacking=lacking, stopped=stopped, left=left)
        numberless = [trial for trial in racing if any(scores[trial][seed] is None for seed in seeds[:n])]
        left.update(dict.fromkeys(numberless, n))
        racing = [trial for trial in racing if trial not in left]
        values_TS = np.array([[sign * float(scores[trial][seed] or 0.0) for seed in seeds[:n]] for trial in racing])
        if len(racing) > 1 and n < len(seeds):
            out_T = out_of_reach(values_TS, len(seeds), rule)
            stopped.update({trial: n for trial, out in zip(racing, out_T, strict=True) if out})
            racing = [trial for trial in racing if trial not in stopped]
    return Race(num_seeds=len(seeds), lacking=(), stopped=stopped, left=left)


def looks(num_seeds: int) -> int:
    """How often trials may be dropped: after each seed but the first ones and the last."""
    return max(0, num_seeds - FEWEST)


def out_of_reach(values_TS: Floats, num_planned: int, rule: Rule) -> NDArray[np.bool_]:
    """Tells which trials are given up.

    A trial is given up where its mean over all planned seeds is, but for `rule.risk`, not ahead of the leader's by more
    than `rule.regret`. The leader is the first of those with the best mean so far, and stays. `rule.risk` is that of
    giving up a trial that would have been so far ahead, over all looks together: of each trial, or where
    `rule.simultaneous`, of any of them (Bonferroni).

    Args:
        values_TS: of the first S seeds, in which all trials took part; more is better.
        num_planned: seeds in all.
        rule: its `regret` is in the unit of the values.

    Returns:
        For each trial whether it is given up, [T].
    """
    num_trials, n = values_TS.shape
    none = np.zeros(num_trials, dtype=bool)
    if n < FEWEST or n >= num_planned or num_trials < 2:
        return none
    means_T = values_TS.mean(1)
    leader = int(means_T.argmax())
    gaps_TS = values_TS[leader] - values_TS
    others = np.arange(num_trials) != leader
    variances_T = gaps_TS[others].var(1, ddof=1)
    own_df = n - 1
    prior_df, prior = shared_variance(variances_T, own_df)
    if math.isinf(prior_df):
        shrunk_T, df = np.full(len(variances_T), prior), 1e6
    else:
        shrunk_T = (prior_df * prior + own_df * variances_T) / (prior_df + own_df)
        df = prior_df + own_df
    share = rule.risk / looks(num_planned) / (num_trials - 1 if rule.simultaneous else 1)
    open_T = t_quantile(df, 1 - share) * np.sqrt(shrunk_T * (1 / n - 1 / num_planned))
    given_up = none.copy()
    given_up[others] = gaps_TS[others].mean(1) + rule.regret > open_T
    return given_up


def shared_variance(variances_T: Floats, df: float) -> tuple[float, float]:
    """What variances have in common: the degrees of freedom and the value of a scaled inverse chi-square prior.

    By moments of their logarithms, section 6.2 of Smyth 2004. Infinite degrees of freedom: they differ no more than
    chance lets them.

    Args:
        variances_T: each with `df` degrees of freedom; zeros count as a hundred-thousandth of the median.
    """
    middle = float(np.median(variances_T))
    if middle <= 0:
        middle = float(variances_T.max())
    if middle <= 0 or len(variances_T) < 2:
        return math.inf, float(variances_T.mean())
    logs_T = np.log(np.maximum(variances_T, 1e-5 * middle))
    from scipy.special import digamma, polygamma

    centred_T = logs_T - digamma(df / 2) + math.log(df / 2)
    spread = float(centred_T.var(ddof=1) - polygamma(1, df / 2))
    if spread <= 0:
        return math.inf, float(np.exp(centred_T.mean()))
    prior_df = 2 * _inverse_trigamma(spread)
    return prior_df, float(np.exp(centred_T.mean() + digamma(prior_df / 2) - math.log(prior_df / 2)))


def _inverse_trigamma(value: float) -> float:
    """By Newton's method on its reciprocal, which is convex; appendix of Smyth 2004."""
    from scipy.special import polygamma

    found = 0.5 + 1 / value
    for _ in range(50):
        now = float(polygamma(1, found))
        step = now * (1 - now / value) / float(polygamma(2, found))
        found += step
        if -step / found < 1e-8:
            break
    return found
