"""Statistics of scores that stand on images: what fresh seeds *and* fresh images would give.

A seed run scores every test image, so a trial is a table of S seeds by N images, and both are draws: another seed gives
another network, another sample other images. The mean of the table varies by its seeds, by its images, and by what the
two do together; an interval over seeds alone answers for these very images only, and two trials that are equally good
differ on any given images, for all their seeds alike.

The variance of a mean is taken apart as in a two-way layout without replication (Scheffé 1959, chapter 7): with the
mean squares of rows `MS_s`, of columns `MS_i` and of the rest `MS_e`, the seeds' part is `(MS_s − MS_e) / SN`, and that
of images, with the rest, `MS_i / SN`. Each part gets the t quantile of its own degrees of freedom. Images that belong
together (copies, near copies, one patient's) are one cluster: their deviations are summed, and counted once.

Scores that are no means of images (F1, AUROC) enter as the mean of their linear parts; see `resnet_tl.image_scores`.

Simulated coverage, cell by cell: reports/false_claims.md.

Axes: S seeds, N images, G clusters, T trials, P draws.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.statistics.stats import LEVEL, AgainstBest, step_down, t_quantile

Array = NDArray[np.float64]
Table = NDArray[Any]
"""Seeds by images: whether each is right, or any number."""
Clusters = NDArray[np.int64]

NUM_DRAWS = 4_999
"""Of the multipliers in `against_best_on_images`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The variance of the mean of a table, seeds by clusters of images, taken apart."""

    num_seeds: int
    num_images: int
    df_of_images: float
    """Degrees of freedom of the images' part: independent images less one, or of clusters of unequal size fewer."""
    mean: float
    """Of the table with its pseudo-images."""
    raw_mean: float
    """Of the table as it is."""
    rows: float
    """Variance of the mean as the means of single seeds show it: from the seeds, and from images and seeds together."""
    images: float
    """Variance of the mean that comes from the images, and from images and seeds together."""
    together: float
    """Of both, what comes from images and seeds together."""

    def half(self, level: float = LEVEL) -> float:
        """Half of the interval of the mean."""
        return math.sqrt(self._squared(level / 2))

    def seeds(self, level: float = LEVEL) -> float:
        """Variance of the mean that comes from the seeds, as a test of a level takes it; see `share_of_rest`."""
        return max(self.rows - share_of_rest(self.num_seeds, level) * self.together, 0.0)

    def _squared(self, tail: float) -> float:
        return (
            t_quantile(self.num_seeds - 1, 1 - tail) ** 2 * self.seeds(2 * tail)
            + t_quantile(self.df_of_images, 1 - tail) ** 2 * self.images
        )

    def p(self, against: float = 0.0, side: str = "both") -> float:
        """P-value of the mean: the level at which the interval's bound stands at `against`.

        Args:
            against: the mean under the null hypothesis.
            side: the alternative: `both`, `above` or `below`.
        """
        gap = self.mean - against
        if side == "below":
            gap = -gap
        tail = self._tail(abs(gap))
        if side == "both":
            return min(1.0, 2 * tail)
        return tail if gap > 0 else 1 - tail

    def _tail(self, gap: float) -> float:
        """The probability on one side at which half the interval is as long as a distance."""
        if gap == 0 or self.rows + self.images <= 0:
            return 0.5 if gap == 0 else 0.0
        low, high = 0.0, 0.5  # the half-width falls from infinity to 0 between them
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._squared(middle) > gap * gap else (low, middle)
        return high

    def with_more(self, *, seeds: float = 1.0, images: float = 1.0) -> "Parts":
        """The same with so many times the seeds and the images, were they to go on like these."""
        num_seeds = round(self.num_seeds * seeds)
        together = self.together / (seeds * images)
        return Parts(
            num_seeds=num_seeds,
            num_images=round(self.num_images * images),
            df_of_images=(self.df_of_images + 1) * images - 1,
            mean=self.mean,
            raw_mean=self.raw_mean,
            rows=max((self.rows - self.together) / seeds + together, 0.0),
            images=(self.images - self.together) / images + together,
            together=together,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Components:
    """The variance of a mean by source, unbiased but for a cut at 0; `Parts` are what intervals are made of."""

    seeds: float
    images: float
    together: float
    """What seeds and images do together, and the rest, which no table can tell apart."""

    @property
    def total(self) -> float:
        """Of the mean."""
        return self.seeds + self.images + self.together


def components_of(values_SN: Table, clusters_N: Clusters | None = None) -> Components:
    """Where the variance of a table's mean comes from.

    Args:
        values_SN: of two seeds and two clusters at least.

    Source: the estimators of a balanced two-way layout with random effects (Searle, Casella and McCulloch 1992,
    section 4.3), which are those of restricted maximum likelihood where none is negative.
    """
    S = values_SN.shape[0]
    cells_SG = _cells(values_SN - float(values_SN.mean()), _grouping(clusters_N))
    ms_seeds, ms_images, ms_rest, G = _of_cells(cells_SG)
    scale = S * G
    return Components(
        seeds=max(ms_seeds - ms_rest, 0.0) / scale,
        images=max(ms_images - ms_rest, 0.0) / scale,
        together=ms_rest / scale,
    )


def _of_cells(cells_SG: Array) -> tuple[float, float, float, int]:
    """Mean squares of seeds, of clusters and of the rest; and the number of clusters."""
    cells_SG = cells_SG - cells_SG.mean()
    S, G = cells_SG.shape
    rows_S, columns_G = cells_SG.mean(1), cells_SG.mean(0)
    ms_seeds = G * float(rows_S @ rows_S) / (S - 1)
    ms_images = S * float(columns_G @ columns_G) / (G - 1)
    squares = float(np.einsum("sg,sg->", cells_SG, cells_SG))
    ms_rest = max(squares - (S - 1) * ms_seeds - (G - 1) * ms_images, 0.0) / ((S - 1) * (G - 1))
    return ms_seeds, ms_images, ms_rest, G


def share_of_rest(num_seeds: int, level: float = LEVEL) -> float:
    """How much of `MS_e` is taken off `MS_s` by a test of a level.

    All of it would leave the seeds' part unbiased, and make it 0 too often where seeds are few, the more so the
    stricter the level, since a small part is what a test then rests on. With this share a comparison of two equal
    trials keeps its level for three seeds and more, from 5% down to 0.2%, whatever the sizes of the parts (within a few
    percent of the level, by simulation with known `MS_i` and `MS_e`).
    """
    if num_seeds < 3:
        return 0.0
    return (num_seeds - 1) / (num_seeds + 1) * float(min(1.0, (level / LEVEL) ** (1 / (num_seeds - 2))))


def parts_of(
    values_SN: Table,
    clusters_N: Clusters | None = None,
    pseudo: Sequence[float] = (),
    effective: float | None = None,
) -> Parts:
    """Takes the variance of a table's mean apart.

    Args:
        values_SN: of two seeds and two clusters at least, all finite.
        clusters_N: the cluster of each image; default: each is one of its own.
        pseudo: values of images that are added to the table, each a cluster of its own and the same for all seeds. A
            mean near the end of its range rests on a few images, whose scatter says little; one image at each end
            keeps its variance from being taken for 0.
        effective: as `interval` has it.
    """
    S, N = values_SN.shape
    assert S >= 2
    values_SN = np.asarray(values_SN, dtype=np.float64)
    raw_mean = float(values_SN.mean())
    extra = np.broadcast_to(np.asarray(pseudo, dtype=np.float64), (S, len(pseudo)))
    mean = (raw_mean * N + float(sum(pseudo))) / (N + len(pseudo))
    rest_SN = values_SN - mean
    own_SG = _cells(rest_SN, _grouping(clusters_N))
    num_clusters = own_SG.shape[1]
    columns = num_clusters + len(pseudo)
    cells_SG = np.concatenate([own_SG * (N / num_clusters), extra - mean], axis=1) * (columns / (N + len(pseudo)))
    ms_seeds, ms_images, ms_rest, _ = _of_cells(cells_SG)
    scale = S * columns
    images = ms_images / scale
    return Parts(
        num_seeds=S,
        num_images=N,
        df_of_images=max(min(_effective(clusters_N, N), N if effective is None else effective), 2.0) - 1,
        mean=mean,
        raw_mean=raw_mean,
        rows=ms_seeds / scale,
        images=images,
        together=min(ms_rest / scale, images),
    )


def parts_of_score(
    values_SN: Table,
    clusters_N: Clusters | None = None,
    *,
    bounds: tuple[float, float],
    effective: float | None = None,
) -> Parts:
    """What the interval of a score is made of; between two finite bounds of the score as a fraction of the way.

    Args:
        bounds: the least and the greatest value of the score.
        effective: as `interval` has it.
    """
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high)):
        return parts_of(values_SN, clusters_N)
    values_SN = (np.asarray(values_SN, dtype=np.float64) - low) / (high - low)
    N = values_SN.shape[1]
    weight, mean = N / (N if effective is None else min(effective, N)), float(values_SN.mean())
    ends = (mean - weight * mean, mean + weight * (1 - mean))  # an image wrong, one right, each with the largest weight
    return parts_of(values_SN, clusters_N, pseudo=ends, effective=effective)


def interval(
    values_SN: Table,
    clusters_N: Clusters | None = None,
    *,
    bounds: tuple[float, float],
    effective: float | None = None,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Interval of a score for fresh seeds and fresh images.

    Between two finite bounds it is Wilson's interval (1927) of as many independent images as have this variance, at
    most S × N, so that it never leaves them; else the mean with half the width on either side.

    Args:
        values_SN: of two seeds and two clusters at least.
        bounds: the least and the greatest value of the score.
        effective: images that the score stands on where they count unequally, as those of a rare class do in an average
            over classes; default: all.
    """
    low, high = bounds
    parts = parts_of_score(values_SN, clusters_N, bounds=bounds, effective=effective)
    if not (math.isfinite(low) and math.isfinite(high)):
        half = parts.half(level)
        return max(parts.mean - half, low), min(parts.mean + half, high)
    counted = values_SN.shape[1] if effective is None else min(effective, values_SN.shape[1])
    z = t_quantile(math.inf, 1 - level / 2)
    share = min(max(parts.raw_mean, 0.0), 1.0)
    inside = (share * counted + 1) / (counted + 2)
    count = min(len(values_SN) * counted, inside * (1 - inside) * z**2 / parts.half(level) ** 2)
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    # Wilson's interval holds the share, and where all are right it ends there, which rounding must not undo
    ends = max(min(centre - half, share), 0.0), min(max(centre + half, share), 1.0)
    return low + (high - low) * ends[0], low + (high - low) * ends[1]


def interval_of_one(
    values_N: Table,
    clusters_N: Clusters | None = None,
    *,
    bounds: tuple[float, float],
    effective: float | None = None,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Interval of the score of one network, or one ensemble, for fresh images.

    Args:
        values_N: what each image brings to the score, of two clusters at least.
    """
    # the same row twice has no variance between seeds, so that what is left is that of the images
    return interval(np.stack([values_N, values_N]), clusters_N, bounds=bounds, effective=effective, level=level)


def difference(
    a_SN: Table,
    b_SN: Table,
    clusters_N: Clusters | None = None,
    *,
    bounds: tuple[float, float],
    effective: float | None = None,
) -> Parts:
    """A difference of two trials on the same seeds and images, a − b, paired on both.

    Args:
        bounds: of the score; where both are finite, two pseudo-images are added on which one trial alone is right.
        effective: as `interval` has it.
    """
    width = (bounds[1] - bounds[0]) * (1 if effective is None else max(a_SN.shape[1] / effective, 1.0))
    return parts_of(
        np.subtract(a_SN, b_SN, dtype=np.float64),
        clusters_N,
        pseudo=(width, -width) if math.isfinite(width) else (),
        effective=effective,
    )


def between_sets(
    a_SN: Table,
    b_SM: Table,
    clusters: tuple[Clusters | None, Clusters | None] = (None, None),
    *,
    bounds: tuple[float, float],
    effective: tuple[float | None, float | None] = (None, None),
) -> Parts:
    """The difference of one trial's scores on two sets of images, a − b, paired by seed; images are others.

    The seeds' part is that of the differences of single seeds, the images' parts add up, with the degrees of freedom
    of Welch (1947).

    Args:
        a_SN: of two seeds and two clusters at least.
        b_SM: of the same seeds, on M other images.
        clusters: of the images of a and of b.
        bounds: the least and the greatest value of the score.
        effective: of a and of b, as `interval` has it.
    """
    one, other = (
        parts_of_score(table, own, bounds=bounds, effective=count)
        for table, own, count in zip((a_SN, b_SM), clusters, effective, strict=True)
    )
    low, high = bounds
    width = high - low if math.isfinite(low) and math.isfinite(high) else 1.0
    gaps_S = (a_SN.mean(1, dtype=np.float64) - b_SM.mean(1, dtype=np.float64)) / width
    images = one.images + other.images
    sizes = one.images**2 / one.df_of_images + other.images**2 / other.df_of_images
    scale = width**2
    return Parts(
        num_seeds=one.num_seeds,
        num_images=one.num_images + other.num_images,
        df_of_images=images**2 / sizes if sizes > 0 else min(one.df_of_images, other.df_of_images),
        mean=width * float(gaps_S.mean()),
        raw_mean=width * float(gaps_S.mean()),
        rows=scale * float(gaps_S.var(ddof=1)) / len(gaps_S),
        images=scale * images,
        together=scale * (one.together + other.together),
    )


def against_best_on_images(
    choice: Sequence[Table],
    score: Sequence[Table],
    choice_clusters_N: Clusters | None = None,
    score_clusters_N: Clusters | None = None,
    *,
    best: int,
    signs: tuple[float, float] = (1.0, 1.0),
    same_images: bool = False,
    num_draws: int = NUM_DRAWS,
) -> AgainstBest:
    """Tests whether the trial that `choice` prefers scores higher than each of the others, on fresh seeds and images.

    Signs of seeds cannot be flipped here: the luck that an image brings to one trial is the same for all seeds. So
    it is drawn how far the means of all trials would move with other seeds and other images: each seed and each cluster
    gets a normal multiplier, that of a seed on `choice` and `score` alike. Every draw picks its own best, as in
    `stats.against_best`, whose step-down procedure this is. Both parts carry the t distribution's own spread, by a
    common factor √(ν/χ²_ν) of each draw with the degrees of freedom of seeds and of clusters; that of seeds is reduced
    by what images and seeds do together, which the images' part has already.

    Args:
        choice: for each trial what the best is chosen by, [S, N of val].
        score: for each trial what is compared, [S, N of test].
        best: the place of the trial that tables call the best.
        signs: of choice and score, 1 where higher is better, -1 where lower is.
        same_images: whether both are of the same images in the same order, as with folds, so that the luck which an
            image brings has a part in choosing as well.

    Source: multipliers on both ways of a two-way layout, as in Davezies, D'Haultfœuille and Guyonvarch 2021, section 3.
    """
    draws = np.random.default_rng(0)
    S = score[0].shape[0]
    tails_P = _tails(S - 1, num_draws, draws)
    seeds_PS = draws.standard_normal((num_draws, S), dtype=np.float32) * tails_P[:, None]
    means_T, score_TS, score_GT = _spread(score, score_clusters_N)
    _, choice_TS, choice_GT = _spread(choice, choice_clusters_N)
    if same_images:
        both_TP = _drawn(np.concatenate([score_GT, choice_GT], axis=1), num_draws, draws)
        by_images = both_TP[: len(score)], both_TP[len(score) :]
    else:
        by_images = _drawn(score_GT, num_draws, draws), _drawn(choice_GT, num_draws, draws)
    # of few clusters, or a large one among small ones, the spread itself is poorly known
    for drawn_TP, clusters_N, table in zip(
        by_images, (score_clusters_N, choice_clusters_N), (score, choice), strict=True
    ):
        drawn_TP *= _tails(_effective(clusters_N, table[0].shape[1]) - 1, num_draws, draws)
    score_TP = signs[1] * (score_TS @ seeds_PS.T + by_images[0])
    choice_TP = signs[0] * (choice_TS @ seeds_PS.T + by_images[1])
    counts_T = step_down(choice_TP, score_TP, signs[1] * (means_T[best] - means_T), best=best)
    p = tuple(None if trial == best else (float(count) + 1) / (num_draws + 1) for trial, count in enumerate(counts_T))
    return AgainstBest(best=best, p=p, attainable=1 / (num_draws + 1))


def _spread(tables: Sequence[Table], clusters_N: Clusters | None) -> tuple[Array, NDArray[np.float32], Array]:
    """The mean of each trial [T]; how far a multiplier of a seed moves it, [T, S], and one of a cluster, [G, T]."""
    T, (S, N) = len(tables), tables[0].shape
    means_T = np.array([float(table.mean(dtype=np.float64)) for table in tables])
    grouping = _grouping(clusters_N)
    G = N if grouping is None else len(grouping.weight_G)
    rows_TS, columns_TG, common_SG, squares = np.zeros((T, S)), np.zeros((T, G)), np.zeros((S, G)), 0.0
    for trial, table_SN in enumerate(tables):
        cells_SG = _cells(table_SN - means_T[trial], grouping)
        cells_SG = cells_SG - cells_SG.mean()
        rows_TS[trial], columns_TG[trial] = cells_SG.mean(1), cells_SG.mean(0)
        squares += float(np.einsum("sg,sg->", cells_SG, cells_SG))
        common_SG += cells_SG / T
    # what all trials share moves none of them past another, so the parts are of what is a trial's own; the choice on
    # val leans on the same seeds, for which the share of a stricter level allows
    own_TS, own_TG = rows_TS - common_SG.mean(1), columns_TG - common_SG.mean(0)
    squares -= T * float(np.einsum("sg,sg->", common_SG, common_SG))
    of_seeds, of_images = G * float((own_TS**2).sum()), S * float((own_TG**2).sum())
    rest = max(squares - of_seeds - of_images, 0.0) / (G - 1)  # all over S - 1 and the trials
    kept = max(of_seeds - share_of_rest(S, LEVEL / 4) * rest, 0.0) / of_seeds if of_seeds > 0 else 0.0
    by_seeds_TS = (rows_TS * math.sqrt(kept * poorly_known(S) / (S * (S - 1)))).astype(np.float32)
    return means_T, by_seeds_TS, columns_TG.T / math.sqrt(G * (G - 1))


def poorly_known(num_seeds: int) -> float:
    """What the seeds' part is multiplied by, since how far the luck of a seed on val goes with that on test is itself
    known from these seeds alone. In simulations with three seeds, 5.7% of false claims become 5.1%."""
    return 1 + 1 / (num_seeds * (num_seeds - 1))


def _tails(df: float, num_draws: int, draws: np.random.Generator) -> NDArray[np.float32]:
    """What makes normal draws t distributed, [P]."""
    return np.sqrt(df / draws.chisquare(df, num_draws)).astype(np.float32)


def _drawn(by_images_GT: Array, num_draws: int, draws: np.random.Generator) -> NDArray[np.float32]:
    """How far normal multipliers of clusters move the mean of each trial, [T, P]."""
    by_images_RT = by_images_GT
    G, T = by_images_GT.shape
    # a multiplier for each cluster gives normal numbers with this covariance; where trials are fewer, T of them do
    if T < G:
        variances_R, directions_TR = np.linalg.eigh(by_images_GT.T @ by_images_GT)
        by_images_RT = np.sqrt(np.maximum(variances_R, 0.0))[:, None] * directions_TR.T
    images_PR = draws.standard_normal((num_draws, len(by_images_RT)), dtype=np.float32)
    by_images_TR = np.ascontiguousarray(by_images_RT.T, dtype=np.float32)
    return by_images_TR @ images_PR.T


def _effective(clusters_N: Clusters | None, num_images: int) -> float:
    """How many clusters of one size would say as much as these: few where a large one outweighs the rest.

    Source: the effective number of clusters of Carter, Schnepel and Steigerwald 2017, for weights alone.
    """
    if clusters_N is None:
        return num_images
    sizes_G = np.unique(clusters_N, return_counts=True)[1].astype(float)
    return max(float(sizes_G.sum() ** 2 / (sizes_G**2).sum()), 2.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Grouping:
    """Images by cluster."""

    place_N: Clusters
    """The cluster of each image, numbered from 0."""
    weight_G: Array
    """What the summed deviations of a cluster are multiplied by."""


def _grouping(clusters_N: Clusters | None) -> _Grouping | None:
    """How deviations of images become cells; None where each image is a cluster of its own.

    Sums over clusters are scaled so that their mean is that of the images. A large cluster draws the mean to itself, so
    that its own deviation is too small; it is divided by the square root of what the other images are of all (Bell and
    McCaffrey 2002), and as a whole scaled to be itself for equal sizes.
    """
    if clusters_N is None:
        return None
    _, place_N, sizes_G = np.unique(clusters_N, return_inverse=True, return_counts=True)
    G, N = len(sizes_G), len(clusters_N)
    others_G = 1 - np.minimum(sizes_G / N, 0.9)
    return _Grouping(place_N=place_N, weight_G=G / N * np.sqrt((1 - 1 / G) / others_G))


def _cells(rest_SN: Array, grouping: _Grouping | None) -> Array:
    """Deviations from the mean, of images or summed over clusters."""
    if grouping is None:
        return rest_SN
    G = len(grouping.weight_G)
    sums_SG = np.stack([np.bincount(grouping.place_N, weights=own_N, minlength=G) for own_N in rest_SN])
    return sums_SG * grouping.weight_G
