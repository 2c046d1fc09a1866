"""`pivot`."""

from sweeps.definition.outputs.options import Parameter, PerValueOptions


class Options(PerValueOptions):
    """One parameter down, one across; each cell holds the lists of scores by seed."""

    title = "Two parameters together"

    rows: Parameter | None = None
    """The parameter down; default: the first that varies."""
    columns: Parameter | None = None
    """The parameter across; default: the next that varies."""
