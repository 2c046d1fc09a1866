"""`lists`."""

from sweeps.definition.outputs.options import PerValueOptions


class Options(PerValueOptions):
    """One row for each trial, with every seed."""

    title = "Every seed run"
