"""`shifted`."""

from sweeps.definition.outputs.options import PerValueOptions


class Options(PerValueOptions):
    """Trials by rank on test and on each set of `data.shifted`: what other conditions cost, with its interval."""

    title = "Under other conditions"
