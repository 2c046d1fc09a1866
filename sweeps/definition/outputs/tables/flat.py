"""`flat`."""

from sweeps.definition.outputs.options import PerValueOptions


class Options(PerValueOptions):
    """One row for each trial, with one seed as it is or the mean over seeds."""

    title = "Scores"
