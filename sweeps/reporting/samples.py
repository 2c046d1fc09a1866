"""Scores of trials as statistics take them: over seeds, and over images where it is known what each image got."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from resnet_tl.metrics import metric_of
from sweeps.records import count
from sweeps.reporting.cross_validation import chance_told
from sweeps.reporting.results import Results, Trial
from sweeps.statistics.images import parts_of_score
from sweeps.statistics.planned import OnImages, Sample, describe
from sweeps.statistics.stats import Summary, summarise

MUCH = 0.1
"""Share of the images from which on a group is said to be large."""


FEW = 6
"""Seeds below which the t distribution's multiplier is far from 1.96."""


class ImageScores(Protocol):
    """What each image got in the seed runs of trials."""

    def on_images(self, trial: Trial, column: str) -> OnImages | None:
        """What each image of the split brings to a score; None where that is not known for all seeds of the trial."""

    def order(self) -> str | None:
        """Names the images in their order, so that two studies can be compared image by image."""


def sample(results: Results, trial: Trial, column: str) -> Sample:
    """A score of a complete trial."""
    own = None
    if len(trial.seeds) > 1 and knows_images(results, column):
        own = results.on_images(trial, column)
    return Sample(values_S=tuple(trial.scores(column)), on_images=own)


def summary(results: Results, trial: Trial, column: str, *, seeds_only: bool = False) -> Summary:
    """Mean, spread and interval of a score of a complete trial.

    Args:
        seeds_only: the interval for other seeds on the very same images.
    """
    if seeds_only:
        return summarise(trial.scores(column))
    return described(sample(results, trial, column), column)


def described(own: Sample, column: str) -> Summary:
    """Mean, spread and interval of a score; of a calibration error no interval, since few images make it look large."""
    told = describe(own)
    return told if metric_of(column).of_images else replace(told, low=None, high=None)


def knows_images(results: Results, column: str) -> bool:
    """Whether what each image got is known of all complete trials, so that one rule holds for a whole table."""
    known = results.known_images
    if column not in known:
        whole = [side for trial in results.trials for side in (trial, trial.fresh) if side and side.state == "complete"]
        scored = [trial for trial in whole if trial.mean(column) is not None]
        tables = (results.on_images(trial, column) for trial in scored)
        known[column] = bool(scored) and all(table is not None and table.num_clusters > 1 for table in tables)
    return known[column]


def chance(results: Results, trials: Sequence[Trial], column: str, *, what: str = "Intervals and p-values") -> str:
    """Which chance the intervals and tests of a table take account of, for its notes."""
    told = _chance(results, trials, column, what)
    return f"{told} {chance_told(results.folds)}" if results.folds else told


def _chance(results: Results, trials: Sequence[Trial], column: str, what: str) -> str:
    scored = [trial for trial in trials if trial.state == "complete" and trial.mean(column) is not None]
    if scored and all(len(trial.seeds) == 1 for trial in scored):
        return "One seed for each trial: there are no intervals and no tests."
    first = results.on_images(scored[0], column) if scored else None
    if first is not None and first.num_clusters == 1:
        return f"{what} are for other seeds on these very test images: all of them are one group."
    if metric_of(column).of_images is None:
        return (
            f"{metric_of(column).short} itself has no interval, since few images make it look larger than it is; "
            "intervals and p-values of differences are for other seeds on these very images."
        )
    if not knows_images(results, column):
        return (
            f"{what} are for other seeds on these very test images, and say nothing of new images: "
            "what each image got is not known."
        )
    if first is None:
        return f"{what} are for fresh seeds and fresh images."
    N, G = first.values_SN.shape[1], first.num_clusters
    together = f", {G:,} of them independent (copies and images of one group count once)" if G < N else ""
    if first.largest_share > MUCH:
        together += f"; {first.largest_share:.0%} of the images are one group, so that they rest on little"
    unknown = "" if first.clusters_N is not None else ", each taken as independent"
    seeds = {len(trial.seeds) for trial in scored}
    told = f"{count(seeds.pop(), 'seed')} and " if len(seeds) == 1 else ""
    split = column.partition("/")[0]
    return f"{what} are for fresh seeds and fresh images, from {told}{N:,} {split} images{together}{unknown}."


def advice(own: Sample) -> list[str]:
    """What more seeds and more images would do to an interval: one sentence; none where images are not known."""
    table = own.on_images
    if table is None:
        return []
    parts = parts_of_score(table.values_SN, table.clusters_N, bounds=table.bounds, effective=table.effective)
    half = parts.half()
    if not half:
        return []
    seeds, images = (1 - parts.with_more(**more).half() / half for more in ({"seeds": 4}, {"images": 2}))
    return [
        f"Four times as many seeds would narrow the interval of the best by {seeds:.0%}"
        + (" (few seeds make it long)" if parts.num_seeds < FEW else "")
        + f"; twice as many images by {images:.0%}."
    ]
