"""Which seed runs go to a worker together. Pure: a function of what is still to do."""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from resnet_tl.config import TrialConfig
from resnet_tl.device import MOST_HEADS
from sweeps.records import TrialRecord

Item = TypeVar("Item")

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Company:
    """Whom a seed run can share its work with: all with the same name, of one seed where they take turns."""

    name: str
    in_turn: bool = False
    """Whether each goes on from where another one ended, in place of being trained side by side."""


def take(
    todo: deque[Todo], *, company_of: Callable[[TrialConfig], Company | None], device: str, workers: int
) -> list[list[Todo]]:
    """Takes out the next seed run with all that can share its work: side by side cut into groups of equal size.

    Args:
        todo: not empty.
        company_of: None for a seed run that goes alone.
        device: `cpu` or `cuda`.
        workers: all of them get a group, if there are as many seed runs that are trained side by side.
    """
    first = todo[0]
    known: dict[int, Company | None] = {}

    def company(item: Todo) -> Company | None:
        if item.attempt >= ALONE:
            return None
        if item.trial.number not in known:
            known[item.trial.number] = company_of(item.trial.config)
        return known[item.trial.number]

    own = company(first)
    if own is None:
        return [[todo.popleft()]]
    is_alike = [company(item) == own and not (own.in_turn and item.seed != first.seed) for item in todo]
    alike = [item for item, joins in zip(todo, is_alike, strict=True) if joins]
    rest = [item for item, joins in zip(todo, is_alike, strict=True) if not joins]
    todo.clear()
    todo.extend(rest)
    if own.in_turn:
        return [alike]
    return side_by_side(alike, device=device, workers=workers)


def side_by_side(alike: list[Item], *, device: str, workers: int) -> list[list[Item]]:
    """Cuts what can be trained side by side into groups of equal size, one at least for each worker if there are as
    many."""
    number = min(workers * -(-len(alike) // (workers * MOST_HEADS[device])), len(alike))
    ends = [len(alike) * group // number for group in range(number + 1)]
    return [alike[start:end] for start, end in itertools.pairwise(ends)]
