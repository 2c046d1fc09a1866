"""Which trial, and which of its seed runs, is the better one: the same for choosing, for reports and for exports."""

from typing import Literal


def rank_key(score: float | None, number: int, *, better: Literal["min", "max"]) -> tuple[bool, float, int]:
    """What to sort by so that the best comes first.

    Args:
        score: None, for which nothing can be said, comes last.
        number: of the trial, or the seed of a run; the lower one is first where scores are equal.
    """
    if score is None:
        return (True, 0.0, number)
    return (False, -score if better == "max" else score, number)
