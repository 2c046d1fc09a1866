"""Racing on seeds: which trials can no longer win over all planned seeds, told from the first few of them.

All trials run their first seed, and a third of them, the pilots, a second one: from these it is known how much a gap
between two trials differs from seed to seed. From then on, seed by seed, trials that are out of reach of the best are
stopped. What is decided hangs on the scores of the seeds before alone, so that it can be told again at any time from
the ledger.

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
"""Seeds that show a spread."""
FEWEST_PILOTS = 3
MOST_DF = 1e6
"""Degrees of freedom that are as good as infinite."""

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

    def lacking(trials: Sequence[int], n: int) -> tuple[tuple[int, int], ...]:
        return tuple((trial, seed) for trial in trials for seed in seeds[:n] if seed not in scores[trial])

    def values(trials: Sequence[int], n: int) -> Floats:
        """Of those in the race, in which all have a number by then; the others leave it."""
        numberless = [trial for trial in trials if any(scores[trial][seed] is None for seed in seeds[:n])]
        left.update(dict.fromkeys(numberless, n))
        racing[:] = [trial for trial in racing if trial not in left]
        rows = [[sign * float(scores[trial][seed] or 0.0) for seed in seeds[:n]] for trial in trials if trial in racing]
        return np.array(rows).reshape(-1, n)

    def stop(trials: Sequence[int], out_T: NDArray[np.bool_], n: int) -> None:
        stopped.update({trial: n for trial, out in zip(trials, out_T, strict=True) if out})
        racing[:] = [trial for trial in racing if trial not in stopped]

    def now(waiting: tuple[tuple[int, int], ...]) -> Race:
        return Race(lacking=waiting, stopped=stopped, left=left)

    if (waiting := lacking(racing, 1)) or not are_all:
        return now(waiting)
    first_T = values(list(racing), 1)[:, 0]
    if len(seeds) > FEWEST:
        asked = [racing[place] for place in pilots(first_T)]
        if waiting := lacking(asked, FEWEST):
            return now(waiting)
        known_PS = values(asked, FEWEST)
        others = [trial for trial in racing if trial not in asked]
        if others and len(known_PS):
            gaps_T = values(list(racing), 1).max() - values(others, 1)[:, 0]
            stop(others, out_of_reach_at_first(gaps_T, known_PS, len(racing), len(seeds), rule), 1)
    for n in range(FEWEST, len(seeds) + 1):
        if waiting := lacking(racing, n):
            return now(waiting)
        values_TS = values(list(racing), n)
        stop(list(racing), out_of_reach(values_TS, len(seeds), rule), n)
    return now(())


def looks(num_seeds: int) -> int:
    """How often a trial may be stopped: after each seed but the last."""
    return max(1, num_seeds - 1)


def pilots(first_T: Floats) -> list[int]:
    """The trials that have a second seed before any is stopped: a third, the best of the first seed among them.

    They are spread evenly over the ranks of the first seed: of the best alone, which luck has chosen, gaps would differ
    too little between the seeds.
    """
    order = np.argsort(-first_T, kind="stable")
    many = min(len(order), max(FEWEST_PILOTS, math.ceil(len(order) / 3)))
    return [int(order[place]) for place in np.unique(np.linspace(0, len(order) - 1, many).round().astype(int))]


def out_of_reach_at_first(
    gaps_T: Floats, pilots_PS: Floats, num_racing: int, num_planned: int, rule: Rule
) -> NDArray[np.bool_]:
    """Tells which trials are given up after one seed, by the spread of gaps that pilots show between two.

    Args:
        gaps_T: of the first seed, to the best of all.
        pilots_PS: scores of other trials on the first seeds; more is better.
        num_racing: trials in the race, these and the pilots.
        num_planned: seeds in all.
        rule: see `out_of_reach`.
    """
    if len(pilots_PS) < FEWEST_PILOTS:
        return np.zeros(len(gaps_T), dtype=bool)
    leader = int(pilots_PS.mean(1).argmax())
    others = np.arange(len(pilots_PS)) != leader
    prior_df, prior = shared_variance((pilots_PS[leader] - pilots_PS[others]).var(1, ddof=1), pilots_PS.shape[1] - 1)
    share = _share(rule, num_racing, num_planned)
    reach = t_quantile(min(prior_df, MOST_DF), 1 - share) * math.sqrt(prior * (1 - 1 / num_planned))
    return np.asarray(gaps_T + rule.regret > reach)


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
        shrunk_T, df = np.full(len(variances_T), prior), MOST_DF
    else:
        shrunk_T = (prior_df * prior + own_df * variances_T) / (prior_df + own_df)
        df = prior_df + own_df
    share = _share(rule, num_trials, num_planned)
    open_T = t_quantile(df, 1 - share) * np.sqrt(shrunk_T * (1 / n - 1 / num_planned))
    given_up = none.copy()
    given_up[others] = gaps_TS[others].mean(1) + rule.regret > open_T
    return given_up


def _share(rule: Rule, num_racing: int, num_planned: int) -> float:
    """The risk of one trial at one look."""
    return rule.risk / looks(num_planned) / (num_racing - 1 if rule.simultaneous else 1)


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
