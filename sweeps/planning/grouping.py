"""Which seed runs go to a worker together. Pure: a function of what is still to do."""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from resnet_tl.config import TrialConfig
from resnet_tl.device import MOST_HEADS
from sweeps.records import TrialRecord

ALONE = 2
"""Attempts after which members of a group that failed are tried one by one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Todo:
    """A seed run that waits for a worker."""

    trial: TrialRecord
    seed: int
    until: int | None = None
    """The epoch to which it is to be trained for now; None for its end."""
    attempt: int = 0
    """How often its worker was lost."""
    was_short: bool = False
    """Whether memory was short when it was tried."""


def take(
    todo: deque[Todo], *, group_of: Callable[[TrialConfig], str | None], device: str, workers: int
) -> list[list[Todo]]:
    """Takes out the next seed run with all that can share its work, cut into groups of equal size.

    Args:
        todo: not empty.
        group_of: the name of a group, or None for a seed run that goes alone.
        device: `cpu` or `cuda`.
        workers: all of them get a group, if there are as many seed runs.
    """
    first = todo[0]
    names: dict[int, str | None] = {}

    def name_of(item: Todo) -> str | None:
        if item.attempt >= ALONE:
            return None
        if item.trial.number not in names:
            names[item.trial.number] = group_of(item.trial.config)
        return names[item.trial.number]

    name = name_of(first)
    if name is None:
        return [[todo.popleft()]]
    alike = [item for item in todo if name_of(item) == name]
    rest = [item for item in todo if name_of(item) != name]
    todo.clear()
    todo.extend(rest)
    number = min(workers * -(-len(alike) // (workers * MOST_HEADS[device])), len(alike))
    ends = [len(alike) * group // number for group in range(number + 1)]
    return [alike[start:end] for start, end in itertools.pairwise(ends)]
