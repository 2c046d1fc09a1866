"""When a search may end early: more trials would hardly change the answer.

A search that is through with n of N trials is held against its own past: had it been cut at the same share before, at n
of them k = n²/N, would it have named a trial about as good? Over all subsets of k of the n trials that is a matter of
counting, and needs no assumption but that trials could have come in another order, which is true of random ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

FEWEST_TRIALS = 10
"""Before that nothing is judged."""
LOOKS = {"random": 5, "bayes": 500}
"""A search is looked at after each trial, which errs more often than one look. And the later trials of a Bayesian
search are better than the earlier ones, so that its past promises too little. By these factors the risk of one look is
less than what is asked for, so that searches of either kind err about as often as that; by simulation, see
reports/search.md."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StopRule:
    """When a search ends."""

    regret: float
    """By how much the best trial may be behind the best that the whole search would have named."""
    risk: float
    """Of its being behind by more."""


def is_enough(
    rule: StopRule,
    values: Sequence[float],
    *,
    planned: int,
    better: Literal["min", "max"],
    method: Literal["random", "bayes"],
) -> bool:
    """Tells whether a search may end.

    Args:
        values: of the trials that it is through with.
        planned: trials in all.
        method: how trials are found.
    """
    n = len(values)
    if n < FEWEST_TRIALS or n >= planned:
        return False
    sign = 1.0 if better == "max" else -1.0
    best = max(sign * value for value in values)
    far = sum(sign * value < best - rule.regret for value in values)
    k = n * n // planned
    return k > 0 and math.comb(far, k) / math.comb(n, k) <= rule.risk / LOOKS[method]
