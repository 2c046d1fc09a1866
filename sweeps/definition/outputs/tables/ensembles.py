"""`ensembles`."""

from typing import Literal

from pydantic import field_validator

from sweeps.definition.outputs.options import OutputOptions


class Options(OutputOptions):
    """Networks of the study put together, from their stored predictions, beside the best single one."""

    title = "Ensembles"

    method: Literal["all", "mean", "greedy", "stacking"] = "all"
    """`mean` of probabilities; `greedy` selection with replacement, chosen on val; `stacking` by a regularised logistic
    model, fitted to val."""
    members: Literal["best", "all"] | int | None = None
    """`best`: the seeds of the best trial on val; `all`: those of all complete trials; a number: those of so many best
    trials. Default: best for the mean, all for those that choose."""

    @field_validator("members")
    @classmethod
    def _members(cls, value: Literal["best", "all"] | int | None) -> Literal["best", "all"] | int | None:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"must be best, all or a number of trials from 1 up, but got {value}")
        return value
