"""`summary`."""

from sweeps.definition.outputs.options import PerValueOptions


class Options(PerValueOptions):
    """Trials by rank: mean, standard deviation, interval, and what the lead of the best is worth."""
