"""Seed runs on images that are cut into folds: a fit for each fold, and one result of all of them.

Each fit is what it would be on a data set with these splits: the same seed, its own selected epoch. Its networks are
let go; what they said of their own val and test images is put together, so that scores are of all images.

Axes: F folds, K classes, N images.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from resnet_tl import predictions
from resnet_tl.batching import SCORED_AT_ONCE
from resnet_tl.data.folds import splits_of
from resnet_tl.files import is_full
from resnet_tl.model.starting_point import StartingPoint
from resnet_tl.result import Epoch, FitResult
from resnet_tl.training.loop import OnEpoch, OnLogits, scores_of
from resnet_tl.training.member import Member

Train = Callable[[Sequence[Member], StartingPoint, OnEpoch, OnLogits | None], list[FitResult]]
"""Trains members on images that are cut; `loop.Loop` with a learner."""


def cross_validate(train: Train, members: Sequence[Member], start: StartingPoint, on_epoch: OnEpoch) -> list[FitResult]:
    """Trains members once for each fold.

    Args:
        start: whose images no fold was cut of yet.
        on_epoch: called with the mean epochs of a member once all its fits have ended.

    Returns:
        One result for each member; see `_result`.

    Raises:
        DataError: the images cannot be cut with a member's seed.
    """
    num_outputs = 2 * len(start.images.labels_N) * len(start.data.classes)
    size = max(SCORED_AT_ONCE // num_outputs, 1)
    results: dict[int, FitResult] = {}
    for seed in dict.fromkeys(member.seed for member in members):  # each cuts its own folds
        numbers = [number for number, member in enumerate(members) if member.seed == seed]
        for first in range(0, len(numbers), size):
            part = numbers[first : first + size]
            told = _of_one_cut(train, [members[number] for number in part], start)
            for number, result in zip(part, told, strict=True):
                results[number] = result
                for epoch in result.history:
                    on_epoch(number, epoch)
    return [results[number] for number in range(len(members))]


def _of_one_cut(train: Train, members: Sequence[Member], start: StartingPoint) -> list[FitResult]:
    """Results of members of one seed."""
    data, images = start.data, start.images
    N, K = len(images.labels_N), len(data.classes)
    fold_N = data.cut(images, members[0].seed)
    fits: list[list[FitResult]] = [[] for _ in members]
    said = [{split: np.empty((N, K)) for split in predictions.SPLITS} for _ in members]
    for fold in range(data.folds):
        going = [number for number, done in enumerate(fits) if all(fit.state == "complete" for fit in done)]
        if not going:
            break
        splits = splits_of(fold_N, fold, data.folds)

        def take(
            place: int,
            logits: Mapping[str, NDArray[np.float64]],
            going: Sequence[int] = going,
            splits: Mapping[str, NDArray[np.int64]] = splits,
        ) -> None:
            for split, logits_NK in logits.items():
                said[going[place]][split][splits[split]] = logits_NK

        alone = [replace(members[number], folder=None) for number in going]
        ended = train(alone, start.on(images.with_splits(splits)), _ignore, take)
        for number, fit in zip(going, ended, strict=True):
            fits[number].append(fit)
    return [_result(*of_member, images.labels_N) for of_member in zip(members, fits, said, strict=True)]


def _ignore(_: int, __: Epoch) -> None:
    pass


def _result(
    member: Member, fits: Sequence[FitResult], said: Mapping[str, NDArray[np.float64]], labels_N: NDArray[np.int64]
) -> FitResult:
    """One result of all fits: scores of the predictions of all images, means of what has no predictions.

    It has diverged where a fit has; the fits after that one were not made.
    """
    last = fits[-1]
    history, wall_s = _mean_history(fits), math.fsum(fit.wall_s for fit in fits)
    if last.state == "diverged":
        reason = f"in the fit of fold {len(fits)}, {last.reason}"
        return replace(last, history=history, wall_s=wall_s, reason=reason)
    metrics: dict[str, float] = {}
    for split, logits_NK in said.items():
        metrics |= scores_of(split, logits_NK[None], labels_N)[0]
    unsaved = None
    if member.folder is not None:
        try:
            predictions.write(member.folder, said)
        except OSError as error:
            if not is_full(error):
                raise
            unsaved = str(error.filename or member.folder)
    epochs = [fit.best_epoch for fit in fits if fit.best_epoch is not None]
    return replace(
        last,
        max_epoch=max(fit.max_epoch for fit in fits),
        best_epoch=round(math.fsum(epochs) / len(epochs)),
        metrics=metrics,
        compact={split: predictions.pack(logits_NK, labels_N) for split, logits_NK in said.items()},
        history=history,
        wall_s=wall_s,
        unsaved=unsaved,
    )


def _mean_history(fits: Sequence[FitResult]) -> list[Epoch]:
    """The mean of the learning curves, for the epochs that all fits have; their times add up."""
    means = []
    for same in zip(*(fit.history for fit in fits), strict=False):  # patience may have ended some earlier
        names = [name for name in same[0].metrics if all(name in epoch.metrics for epoch in same)]
        means.append(
            Epoch(
                epoch=same[0].epoch,
                lr=math.fsum(epoch.lr for epoch in same) / len(same),
                metrics={name: math.fsum(epoch.metrics[name] for epoch in same) / len(same) for name in names},
                wall_s=math.fsum(epoch.wall_s for epoch in same),
            )
        )
    return means
