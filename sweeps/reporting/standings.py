"""How trials stand to the best one: what `summary` shows in numbers and the answer says in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sweeps.reporting.results import Results, Trial, comparable, sign
from sweeps.reporting.samples import knows_images, sample
from sweeps.statistics.images import against_best_on_images
from sweeps.statistics.planned import Paired, paired, seeds_needed
from sweeps.statistics.stats import LEVEL, AgainstBest, against_best

Standing = Literal["worse", "not distinguishable", "too few seeds"]


@dataclass(frozen=True, kw_only=True)
class Other:
    """A trial beside the best one."""

    trial: Trial
    difference: Paired
    """Its score less that of the best."""
    p: float
    """Of its being worse, corrected for the best having been picked and for all that are compared."""
    standing: Standing
    seeds_needed: int | None
    """Where seeds are too few for any claim: how many would show a difference of this size and spread."""


@dataclass(frozen=True, kw_only=True)
class Standings:
    """Trials with the same seeds, all against the one with the best mean of the study's metric."""

    best: Trial
    others: tuple[Other, ...]
    """By rank."""
    metric: str
    """What is compared."""
    on_images: bool
    """Whether for fresh seeds and images, or for other seeds on the same images."""
    attainable: float
    """The least p-value that so many seeds can give."""


def standings(results: Results, trials: Sequence[Trial], metric: str) -> Standings | None:
    """Compares trials with the best of them; None where fewer than two can be compared."""
    key = (tuple(sorted(trial.number for trial in trials)), metric)
    known = results.known_standings
    if key not in known:
        known[key] = _standings(results, sorted(trials, key=results.sort_key), metric)
    return known[key]


def _standings(results: Results, trials: Sequence[Trial], metric: str) -> Standings | None:
    whole = comparable(trials, results.metric, metric)
    if len(whole) < 2:
        return None
    num_seeds = len(whole[0].seeds)
    # those that the pruner stopped are of the family too: a seed run is a fixed function of trial and seed, so that
    # looking only at pairs that finished cannot raise the error over all planned ones
    planned = sum(trial.is_stopped for trial in trials) + len(whole)
    share = (planned - 1) / (len(whole) - 1)
    on_images = num_seeds > 1 and knows_images(results, results.metric) and knows_images(results, metric)
    found = _on_images(results, whole, metric) if on_images else _on_seeds(results, whole, metric)
    leads = sample(results, whole[0], metric)
    attainable = min(1.0, found.attainable * share)
    too_few = attainable > LEVEL
    others = []
    for trial, p in zip(whole[1:], found.p[1:], strict=True):
        assert p is not None
        told = paired(sample(results, trial, metric), leads, tested=False)
        p = min(1.0, p * share)
        others.append(
            Other(
                trial=trial,
                difference=told,
                p=p,
                standing="too few seeds" if too_few else "worse" if p <= LEVEL else "not distinguishable",
                seeds_needed=_needed(told, planned) if too_few else None,
            )
        )
    return Standings(best=whole[0], others=tuple(others), metric=metric, on_images=on_images, attainable=attainable)


def _on_images(results: Results, whole: Sequence[Trial], metric: str) -> AgainstBest:
    choice, score = (
        [table for trial in whole if (table := results.on_images(trial, name)) is not None]
        for name in (results.metric, metric)
    )
    return against_best_on_images(
        [table.values_SN for table in choice],
        [table.values_SN for table in score],
        choice[0].clusters_N,
        score[0].clusters_N,
        best=0,
        signs=(sign(results.metric), sign(metric)),
        same_images=results.folds > 0,
    )


def _on_seeds(results: Results, whole: Sequence[Trial], metric: str) -> AgainstBest:
    choice_TS = np.array([trial.scores(results.metric) for trial in whole])
    score_TS = np.array([trial.scores(metric) for trial in whole])
    return against_best(sign(results.metric) * choice_TS, sign(metric) * score_TS, best=0)


def _needed(told: Paired, num_trials: int) -> int | None:
    """Seeds for a test that flips their signs, whose p-values are no less than 2^(1-n)."""
    if told.n < 2:
        return None
    least = next(n for n in range(2, 100) if 2.0 ** (1 - n) <= LEVEL)
    return seeds_needed(told.values_S, LEVEL / max(1, num_trials - 1), least=least)
