"""Scores of trials, and comparisons that were planned before the runs: hypotheses, ablations, confirmations.

A score stands on seeds, and where it is known what each test image brings to it, on images too; then intervals and
p-values are for fresh seeds and fresh images (`images`), else for other seeds on the very same images (`stats`).

Axes: S seeds, N images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweeps.statistics.images import Clusters, Parts, Table, difference, interval
from sweeps.statistics.stats import LEVEL, Summary, no_spread, summarise, t_above, t_test

LEAST_PAIRS = 3
"""Of a planned comparison: scores are counts of images, so two differences are equal, or nearly so, by chance alone."""

MOST_SEEDS = 1_000
MOST_TIMES = 1_000
"""How many times the images there are; what more of them would show is nobody's plan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnImages:
    """What each image brings to a score."""

    values_SN: Table
    clusters_N: Clusters | None
    """Which images depend on each other; None where none do."""
    bounds: tuple[float, float]
    """The least and the greatest value of the score."""
    effective: float | None = None
    """Images that the score stands on where they count unequally; see `images.interval`."""

    @property
    def num_clusters(self) -> int:
        """Independent images."""
        return self.values_SN.shape[1] if self.clusters_N is None else len(np.unique(self.clusters_N))

    @property
    def largest_share(self) -> float:
        """Of all images that of the largest cluster."""
        sizes = [1] if self.clusters_N is None else np.unique(self.clusters_N, return_counts=True)[1]
        return float(np.max(sizes)) / int(self.values_SN.shape[1])


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One score of a trial over its seeds."""

    values_S: tuple[float, ...]
    on_images: OnImages | None = None
    """None where it is not known, or cannot be used: of one seed, or of one image."""


def mean_of(samples: Sequence[Sample]) -> Sample:
    """The mean of several trials, seed by seed and image by image."""
    values_S = tuple(
        math.fsum(own) / len(samples) for own in zip(*(sample.values_S for sample in samples), strict=True)
    )
    tables = [sample.on_images for sample in samples if sample.on_images is not None]
    if len(tables) < len(samples):
        return Sample(values_S=values_S)
    total_SN = np.zeros(tables[0].values_SN.shape)
    for table in tables:
        total_SN += table.values_SN
    return Sample(values_S=values_S, on_images=replace(tables[0], values_SN=total_SN / len(tables)))


def describe(sample: Sample) -> Summary:
    """Mean, spread over seeds, and interval of the mean."""
    told = summarise(sample.values_S)
    own = sample.on_images
    if own is None:
        return told
    low, high = interval(own.values_SN, own.clusters_N, bounds=own.bounds, effective=own.effective)
    return replace(told, low=low, high=high)


@dataclass(frozen=True, kw_only=True, slots=True)
class Needed:
    """What would show a difference of this size and spread, were seeds and images to go on like these."""

    seeds: int | None
    """On the same images; None when no number up to `MOST_SEEDS` would."""
    images: int | None
    """With the same seeds; None when it is not known, or no number would."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """A difference of two trials, paired by seed, and by image where images are known."""

    values_S: tuple[float, ...]
    parts: Parts | None
    """Of its variance; None where it stands on seeds alone."""
    n: int
    """Seeds."""
    mean: float
    sd: float | None
    """Between seeds (ddof = 1)."""
    low: float | None
    """Interval of the mean difference; None for a single pair, and on seeds alone where all differences are equal."""
    high: float | None
    p: float | None
    """Two-sided p-value; None below `LEAST_PAIRS`, and where it was not wanted."""
    effect: float | None
    """Mean difference over its standard deviation between seeds (Cohen's d_z); None without spread."""

    def test(self, against: float = 0.0, side: str = "both") -> float:
        """P-value for a mean difference other than `against`.

        Args:
            side: the alternative: `both`, `above` or `below`.
        """
        if self.parts is not None:
            return self.parts.p(against, side)
        return t_test(self.values_S, against, side)

    def within(self, margin: float) -> float:
        """P-value of two one-sided tests: small when the mean difference lies between -margin and margin.

        Source: Schuirmann 1987.
        """
        assert margin > 0
        return max(self.test(-margin, "above"), self.test(margin, "below"))

    def beyond(self, margin: float) -> float:
        """Two-sided p-value for a mean difference that is larger than the margin, in either direction."""
        return min(1.0, 2 * min(self.test(margin, "above"), self.test(-margin, "below")))

    def needed(self, num_comparisons: int, level: float = LEVEL) -> Needed:
        """What would reach the level divided by the number of comparisons."""
        level /= max(1, num_comparisons)
        if self.parts is None:
            return Needed(seeds=seeds_needed(self.values_S, level), images=None)
        parts, S, N = self.parts, self.parts.num_seeds, self.parts.num_images
        seeds = _least(S + 1, MOST_SEEDS, lambda n: parts.with_more(seeds=n / S).p() <= level)
        images = _least(N + 1, MOST_TIMES * N, lambda n: parts.with_more(images=n / N).p() <= level)
        return Needed(seeds=seeds, images=images)


def _least(low: int, high: int, enough: Callable[[int], bool]) -> int | None:
    """The least number that is enough, where all above it are."""
    if low > high or not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def seeds_needed(differences_S: Sequence[float], level: float, *, least: int = 2) -> int | None:
    """The number of seeds with which a t test of differences like these reaches a level; None above `MOST_SEEDS`.

    Args:
        differences_S: at least two.
        least: seeds below which no test could.
    """
    told = summarise(differences_S)
    assert told.sd is not None
    if no_spread(told):
        # what the sign test takes
        return next(n for n in range(least, 100) if 2.0 ** (1 - n) <= level) if told.mean else None
    for n in range(least, MOST_SEEDS + 1):
        if 2 * t_above(n - 1, abs(told.mean) / (told.sd / math.sqrt(n))) <= level:
            return n
    return None


def paired(a: Sample, b: Sample, *, tested: bool = True) -> Paired:
    """Compares a with b; differences are a - b.

    Args:
        a: of the same seeds in the same order as `b`, and on the same images.
        tested: whether its p-value is wanted, which takes longer than all else.
    """
    values_S = tuple(one - other for one, other in zip(a.values_S, b.values_S, strict=True))
    told = summarise(values_S)
    parts = None
    if a.on_images is not None and b.on_images is not None:
        own = a.on_images
        parts = difference(
            own.values_SN, b.on_images.values_SN, own.clusters_N, bounds=own.bounds, effective=own.effective
        )
    found = Paired(
        values_S=values_S,
        parts=parts,
        n=told.n,
        mean=told.mean,
        sd=told.sd,
        low=told.low if parts is None else parts.mean - parts.half(),
        high=told.high if parts is None else parts.mean + parts.half(),
        p=None,
        effect=None if told.sd is None or no_spread(told) else told.mean / told.sd,
    )
    return replace(found, p=found.test()) if tested and told.n >= LEAST_PAIRS else found


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
