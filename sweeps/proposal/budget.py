"""What fits into the time: size, epochs and seeds of the first study, and how long it is going to take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweeps.proposal.speed import TAIL, Speed

SIZES = (224, 192, 160, 128, 112, 96, 80, 64, 48, 32)
"""Pixels of a side, from the one that ImageNet's weights were trained at to the least a ResNet makes sense of."""
FEWEST_STEPS, MOST_STEPS = 120, 1500
"""Steps of the optimiser that a fit should have, and beyond which a first look gains little."""
FEWEST_EPOCHS, MOST_EPOCHS = 4, 30
SEEDS = (3, 5)
"""The fewest and the most: three show a spread."""
STAGE_EPOCHS = (1, 10)
STAGE_SHARE = 0.3
"""Of the time that a pretrain stage may take."""
START_LOADS, END_LOADS = 3.0, 2.5
"""A study's start and its end, in times of what a worker takes to load: databases, workers, report, pictures."""
FIT_S = 0.4
"""Of each fit, beside its epochs: building the network, storing it."""
LABELS_LOADS = 2.5
"""The check of labels beside its features: a small study of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a study is about to do, as far as it decides the time."""

    num_train: int
    num_val: int
    num_all: int
    workers: int
    num_whole: int
    """Trials that train the whole network."""
    num_tail: int
    """Trials that train its last stage, on stored outputs of the others; heads alone take next to nothing."""
    stores_features: bool
    """Whether outputs of a frozen network are computed once."""
    has_stage: bool
    """Whether the study makes them itself, from all images in four positions."""
    checks_labels: bool
    decode_s: float = 0.0
    """Seconds to decode all images once."""
    num_fresh: int = 0
    """Seed runs that confirm the best trials, behind all others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What was chosen, and what it takes."""

    size: int
    epochs: int
    num_seeds: int
    stage_epochs: int
    """0 where there is no stage."""
    begin_s: float
    """From the start of the study to its first fit: loading, the stage, the features."""
    seed_s: float
    """For all trials with one seed."""
    end_s: float
    """From the last fit to the end: report, labels, pictures."""
    fits: bool
    """Whether it is within what was asked for."""

    @property
    def seconds(self) -> float:
        """In all."""
        return self.begin_s + self.num_seeds * self.seed_s + self.end_s

    def with_seeds(self, number: int) -> "Budget":
        """The same for another number of seeds."""
        return replace(self, num_seeds=number)


def choose(work: Work, speed: Speed, *, most_s: float, batch_size: int, sides: Sequence[int]) -> Budget:
    """The largest size that leaves room for enough epochs and seeds, then more epochs, then more seeds.

    Args:
        most_s: seconds from now on.
        sides: of the images, ascending; none is made larger than most of them are.
    """
    sizes = [size for size in SIZES if size <= largest_size(sides)]
    fewest, most = epochs_of(work.num_train, batch_size)

    def at(size: int, epochs: int, num_seeds: int, stage_epochs: int) -> Budget:
        return estimate(
            work, speed, size=size, epochs=epochs, num_seeds=num_seeds, stage_epochs=stage_epochs, most_s=most_s
        )

    first_stage = STAGE_EPOCHS[0] if work.has_stage else 0
    tried = [at(size, fewest, SEEDS[0], first_stage) for size in sizes]
    tried.append(at(sizes[-1], FEWEST_EPOCHS, SEEDS[0], first_stage))
    best = next((budget for budget in tried if budget.fits), tried[-1])
    if not best.fits:
        return best
    stages = range(first_stage, STAGE_EPOCHS[1] + 1) if work.has_stage else [0]
    for stage_epochs in stages:
        longer = at(best.size, best.epochs, best.num_seeds, stage_epochs)
        if longer.fits and _stage_s(work, speed, best.size, stage_epochs) <= STAGE_SHARE * most_s:
            best = longer
    for epochs in range(best.epochs, most + 1):
        longer = at(best.size, epochs, best.num_seeds, best.stage_epochs)
        best = longer if longer.fits else best
    for num_seeds in range(best.num_seeds, SEEDS[1] + 1):
        best = more if (more := best.with_seeds(num_seeds)).seconds <= most_s else best
    return best


def largest_size(sides: Sequence[int]) -> int:
    """The largest size that makes most images no larger; see `choose`."""
    median = sides[len(sides) // 2]
    return next((size for size in SIZES if size <= median), SIZES[-1])


def epochs_of(num_train: int, batch_size: int) -> tuple[int, int]:
    """The fewest and the most epochs that a fit of so many images gets."""
    steps = max(1, math.ceil(num_train / batch_size))
    fewest = min(MOST_EPOCHS, max(FEWEST_EPOCHS, math.ceil(FEWEST_STEPS / steps)))
    return fewest, min(MOST_EPOCHS, max(fewest, MOST_STEPS // steps))


def estimate(
    work: Work, speed: Speed, *, size: int, epochs: int, num_seeds: int, stage_epochs: int, most_s: float
) -> Budget:
    """How long a study takes."""
    whole, forward = speed.whole(size), speed.forward(size)
    num_trials = max(1, work.num_whole + work.num_tail)
    epoch_s = (work.num_whole + TAIL * work.num_tail) * (work.num_train * whole + work.num_val * forward)
    features_s = work.num_all * forward if work.stores_features else 0.0
    begin_s = START_LOADS * speed.load_s + _stage_s(work, speed, size, stage_epochs) + features_s
    end_s = END_LOADS * speed.load_s
    if work.checks_labels:
        end_s += LABELS_LOADS * speed.load_s + work.decode_s + work.num_all * forward
    seed_s = (epochs * epoch_s + fits_s(work, speed.load_s)) / min(work.workers, num_trials)
    end_s += work.num_fresh / num_trials * seed_s
    found = Budget(
        size=size,
        epochs=epochs,
        num_seeds=num_seeds,
        stage_epochs=stage_epochs,
        begin_s=begin_s,
        seed_s=seed_s,
        end_s=end_s,
        fits=True,
    )
    return replace(found, fits=found.seconds <= most_s)


def fits_s(work: Work, load_s: float) -> float:
    """Seconds of the fits of one seed beside their epochs, on a machine that takes so long to load libraries."""
    return max(1, work.num_whole + work.num_tail) * FIT_S * max(1.0, load_s / 2)


def _stage_s(work: Work, speed: Speed, size: int, epochs: int) -> float:
    """A stage has one worker, and every image four times, of which it trains on most."""
    if not work.has_stage:
        return 0.0
    return 4 * work.decode_s + 4 * work.num_all * epochs * (0.9 * speed.whole(size) + 0.05 * speed.forward(size))
