"""Rungs within a run: which trials go on after their first epochs, told from their learning curves so far.

Successive halving (Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter
optimization"): all trials train to the first rung, the best share of them goes on to the next, and so on; those that
pass the last one train to their end. With one rung it is the plain "one epoch each, then the best k" (Bohdal et al.
2023, "PASHA"). The first epochs can mislead: where slow learners end up ahead, what is usual elsewhere (one epoch, then
a third) loses the best trial more often than not. So by default the first rung is late and few are stopped at each;
reports/search.md has what either saves and loses.

What is compared at a rung is the value at the epoch that would be selected if training ended there: the mean over the
first `seeds` seeds. It hangs on these runs up to this epoch alone, so that it can be told again at any time from the
ledger.
"""

import math
from bisect import bisect, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sweeps.statistics.ranking import rank_key


@dataclass(frozen=True, kw_only=True, slots=True)
class Rungs:
    """When a trial trains no further."""

    eta: float
    """Of those at a rung the best 1/eta go on, rounded up; the next one is `eta` times as far."""
    min_epochs: int | None = None
    """The first rung; None: at a third of the longest training."""
    epochs: tuple[int, ...] | None = None
    """The rungs themselves, in place of what `min_epochs` and `eta` give."""
    keep: int | None = None
    """How many go on after the last rung, and at least after each; None leaves it to `eta`."""
    seeds: int = 1
    """How many of the planned seeds take part; the others are trained whole, by those that are left."""

    def below(self, most_epochs: int) -> list[int]:
        """The rungs at which a training of so many epochs can be stopped."""
        if self.epochs is not None:
            return [epoch for epoch in self.epochs if epoch < most_epochs]
        first = self.min_epochs or math.ceil(most_epochs / 3)
        found: list[int] = []
        number = 0
        while (epoch := round(first * self.eta**number)) < most_epochs:
            if not found or epoch > found[-1]:
                found.append(epoch)
            number += 1
        return found

    def num_left(self, at_rung: int, *, is_last: bool) -> int:
        """How many of those at a rung go on."""
        if self.keep is not None and is_last:
            return min(at_rung, self.keep)
        return min(at_rung, max(self.keep or 1, math.ceil(at_rung / self.eta)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """What is known of one seed run."""

    best: tuple[float, ...] = ()
    """After each epoch, the value at the epoch selected by then."""
    has_ended: bool = False
    """Whether no epoch is to come: it is complete, or it diverged or failed."""
    value: float | None = None
    """Its value when it is complete, else None."""

    def has_reached(self, epoch: int) -> bool:
        """Whether it is known what it has there."""
        return self.has_ended or len(self.best) >= epoch

    def at(self, epoch: int) -> float | None:
        """Its value after an epoch that it has reached; None where it ended before without one."""
        return self.best[epoch - 1] if len(self.best) >= epoch else self.value


NOTHING = Course()
"""Of a seed run that has not begun."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnRungs:
    """Where trials stand. They are known by their place in the order that was given."""

    lacking: tuple[tuple[int, int, int], ...]
    """Trial, seed and epoch of what is to be trained before anything more is decided; empty behind the last rung."""
    through: tuple[int, ...]
    """Trials that have passed the last rung."""
    stopped: Mapping[int, int]
    """Trials that are stopped, with the epoch after which they were."""
    left: tuple[int, ...]
    """Trials that left for want of a number: a seed run of theirs diverged or failed."""
    waiting: tuple[int, ...] = ()
    """Trials at a rung where it is not known yet what earlier ones have there."""
    is_open: bool = False
    """Whether something is to be decided once all trials are known."""


@dataclass
class _Before:
    """At one rung, the trials that were through before another one was proposed."""

    num: int = 0
    """Of all trials, how many of the first were looked at."""
    keys: list[tuple[bool, float, int]] = field(default_factory=list)
    """In order, of those that came to the rung."""
    is_open: bool = False
    """Whether one of them may still come to it."""


def _mean_at(own: Mapping[int, Course], seeds: Sequence[int], epoch: int) -> float | None:
    """The mean of a trial's seed runs after an epoch that all have reached; None where one ended without a value."""
    values = [own.get(seed, NOTHING).at(epoch) for seed in seeds]
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def on_rungs(
    rule: Rungs,
    *,
    seeds: Sequence[int],
    better: Literal["min", "max"],
    most_epochs: int,
    courses: Sequence[Mapping[int, Course]],
    are_all: bool = True,
) -> OnRungs:
    """Replays the rungs from what is known.

    Args:
        seeds: planned, in order.
        most_epochs: the longest training among the trials.
        courses: of each trial by seed.
        are_all: whether these are all trials; before that none is stopped.
    """
    judged = seeds[: rule.seeds]
    rungs = rule.below(most_epochs)
    going, stopped, left = list(range(len(courses))), dict[int, int](), list[int]()
    for epoch in rungs:
        lacking = tuple(
            (trial, seed, epoch)
            for trial in going
            for seed in judged
            if not courses[trial].get(seed, NOTHING).has_reached(epoch)
        )
        if lacking or not are_all:
            return OnRungs(lacking=lacking, through=(), stopped=stopped, left=tuple(left), is_open=True)
        order = []
        for trial in list(going):
            mean = _mean_at(courses[trial], judged, epoch)
            if mean is None:
                going.remove(trial)
                left.append(trial)
            else:
                order.append((rank_key(mean, trial, better=better), trial))
        ranked = [trial for _, trial in sorted(order)]
        out = ranked[rule.num_left(len(ranked), is_last=epoch == rungs[-1]) :]
        stopped |= dict.fromkeys(out, epoch)
        going = [trial for trial in going if trial not in stopped]
    return OnRungs(lacking=(), through=tuple(going), stopped=stopped, left=tuple(left))


def on_rungs_in_order(
    rule: Rungs,
    *,
    seeds: Sequence[int],
    better: Literal["min", "max"],
    most_epochs: int,
    courses: Sequence[Mapping[int, Course]],
    behind: int,
) -> OnRungs:
    """The same for trials that are proposed one after the other, each of which is judged as soon as it is at a rung.

    It goes on if it is among the best share of itself and those trials that were through before it was proposed, so
    that it matters neither how many run at once nor which of them is quicker.

    Args:
        behind: of the trials before it, the last so many less one are not through when a trial is proposed.
    """
    judged, rungs = seeds[: rule.seeds], rule.below(most_epochs)
    lacking, stopped = list[tuple[int, int, int]](), dict[int, int]()
    through, left, waits = list[int](), list[int](), list[int]()
    keys: dict[tuple[int, int], tuple[bool, float, int]] = {}
    """To sort by, of those that came to a rung, by trial and epoch."""
    before = {epoch: _Before() for epoch in rungs}
    for trial, own in enumerate(courses):
        for epoch in rungs:
            if waiting := [(trial, s, epoch) for s in judged if not own.get(s, NOTHING).has_reached(epoch)]:
                lacking += waiting
                break
            mean = _mean_at(own, judged, epoch)
            if mean is None:
                left.append(trial)
                break
            keys[trial, epoch] = rank_key(mean, trial, better=better)
            those = before[epoch]
            for t in range(those.num, trial - behind + 1):
                those.num = t + 1
                if (t, epoch) in keys:
                    insort(those.keys, keys[t, epoch])
                elif t not in stopped and t not in left:
                    those.is_open = True
            if those.is_open:
                waits.append(trial)  # one of them failed, say, and is tried again
                break
            if bisect(those.keys, keys[trial, epoch]) >= rule.num_left(len(those.keys) + 1, is_last=False):
                stopped[trial] = epoch
                break
        else:
            through.append(trial)
    return OnRungs(
        lacking=tuple(lacking), through=tuple(through), stopped=stopped, left=tuple(left), waiting=tuple(waits)
    )
