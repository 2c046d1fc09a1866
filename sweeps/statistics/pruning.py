"""What `study.pruner` decides: rungs within a run first, then a race on seeds among those that are left, or either.

Pure, and told from the ledger alone: which seed runs are to be trained next, and how far; which trials are stopped.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal

from resnet_tl.config import TrialConfig
from resnet_tl.result import Epoch
from sweeps.records import RunState, SeedRun, Stop
from sweeps.statistics.race import Rule, race
from sweeps.statistics.ranking import rank_key
from sweeps.statistics.rungs import Course, Rungs, on_rungs, on_rungs_in_order


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What a study's pruner says; at least one of them."""

    rungs: Rungs | None = None
    race: Rule | None = None


def rules_of(written: Sequence[Mapping[str, Any]]) -> Rules | None:
    """The rules as a study has them written; None where every trial gets every seed."""
    own = {rule["kind"]: {name: value for name, value in rule.items() if name != "kind"} for rule in written}
    if not own:
        return None
    rungs = own.get("rungs")
    if rungs is not None and rungs["epochs"] is not None:
        rungs["epochs"] = tuple(rungs["epochs"])
    return Rules(rungs=Rungs(**rungs) if rungs else None, race=Rule(**own["race"]) if "race" in own else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruning:
    """Where trials stand. They are known by their place in the order that was given."""

    lacking: tuple[tuple[int, int, int | None], ...]
    """Trial, seed and the epoch to which it is to be trained, None for its end, of all that is to run before anything
    more is decided; empty at the end."""
    stopped: Mapping[int, Stop]
    """Trials that can hardly win."""
    waiting: tuple[int, ...] = ()
    """Trials at a rung where it is not known yet what earlier ones have there."""
    left: Mapping[int, int]
    """Those that left for want of a number, since a seed run of theirs diverged or failed, with the seeds that they
    have had."""


def prune(
    rules: Rules,
    *,
    seeds: Sequence[int],
    better: Literal["min", "max"],
    most_epochs: int,
    courses: Sequence[Mapping[int, Course]],
    are_all: bool = True,
    behind: int | None = None,
) -> Pruning:
    """Replays what was decided; see `on_rungs` and `race`.

    Args:
        behind: of a search that proposes trials one after the other; see `on_rungs_in_order`. It has rungs alone.
    """
    stopped: dict[int, Stop] = {}
    left: dict[int, int] = {}
    going: Sequence[int] = range(len(courses))
    at_rungs: tuple[tuple[int, int, int | None], ...] = ()
    waiting: tuple[int, ...] = ()
    if rules.rungs is not None:
        if behind is None:
            found = on_rungs(
                rules.rungs, seeds=seeds, better=better, most_epochs=most_epochs, courses=courses, are_all=are_all
            )
        else:
            found = on_rungs_in_order(
                rules.rungs, seeds=seeds, better=better, most_epochs=most_epochs, courses=courses, behind=behind
            )
        judged = seeds[: rules.rungs.seeds]
        stopped = {trial: Stop(by="rungs", seeds=len(judged), epoch=epoch) for trial, epoch in found.stopped.items()}
        left = dict.fromkeys(found.left, len(judged))
        if behind is None and (found.lacking or (found.is_open and not are_all)):
            return Pruning(lacking=found.lacking, stopped=stopped, left=left)
        at_rungs, going, waiting = found.lacking, found.through, found.waiting

    def ended(trial: int) -> dict[int, float | None]:
        return {seed: course.value for seed, course in courses[trial].items() if course.has_ended}

    if rules.race is None:
        whole = tuple((trial, seed, None) for trial in going for seed in seeds if seed not in ended(trial))
        return Pruning(lacking=at_rungs + whole, stopped=stopped, left=left, waiting=waiting)
    raced = race(rules.race, seeds=seeds, better=better, scores=[ended(trial) for trial in going], are_all=are_all)
    stopped |= {going[place]: Stop(by="race", seeds=many) for place, many in raced.stopped.items()}
    left |= {going[place]: many for place, many in raced.left.items()}
    lacking = tuple((going[place], seed, None) for place, seed in raced.lacking)
    return Pruning(lacking=lacking, stopped=stopped, left=left)


def _selected(history: Sequence[Epoch], config: TrialConfig) -> list[Epoch]:
    """After each epoch, the one that would be selected if training ended there; ties go to the earlier."""

    def key(epoch: Epoch) -> tuple[bool, float, int]:
        return rank_key(epoch.metrics[config.monitor], epoch.epoch, better=config.monitor_mode)

    def better(best: Epoch, epoch: Epoch) -> Epoch:
        return min(best, epoch, key=key)

    return list(accumulate(history, better))


def course_of(run: SeedRun, config: TrialConfig, metric: str) -> Course:
    """What a seed run brings to these decisions.

    Args:
        run: with its learning curve.
        metric: of the study.
    """
    is_complete = run.state == RunState.COMPLETE
    return Course(
        best=tuple(epoch.metrics[metric] for epoch in _selected(run.history or (), config)),
        has_ended=run.state not in (RunState.PAUSED, RunState.PRUNED),
        value=run.metrics[metric] if is_complete else None,
    )


def cut_at(run: SeedRun, config: TrialConfig, epoch: int) -> SeedRun:
    """A seed run as it was when it came to a rung.

    Args:
        run: with its learning curve, which is longer.
    """
    history = (run.history or ())[:epoch]
    best = _selected(history, config)[-1]
    return replace(
        run,
        state=RunState.PAUSED,
        best_epoch=best.epoch,
        metrics={name: value for name, value in best.metrics.items() if name.startswith("val/")},
        wall_s=math.fsum(e.wall_s for e in history),
        reason=None,
        network=None,
        history=history,
        compact=None,
        confusion=None,
        reliability=None,
    )
