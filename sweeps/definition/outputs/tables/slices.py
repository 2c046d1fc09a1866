"""`slices`."""

from sweeps.definition.outputs.options import OutputOptions


class Options(OutputOptions):
    """Each value of each parameter, averaged over all else."""

    title = "Each value, averaged over all else"
