"""`summary`."""

from typing import Literal

from sweeps.definition.outputs.options import PerValueOptions


class Options(PerValueOptions):
    """Trials by rank: mean, standard deviation, interval, and what the lead of the best is worth."""

    title = "Trials by rank"

    ci: Literal["images", "seeds"] = "images"
    """`seeds` adds a column with the intervals for other seeds on the very same images."""
