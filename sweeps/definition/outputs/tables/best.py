"""`best`."""

from sweeps.definition.outputs.options import OutputOptions, Parameter


class Options(OutputOptions):
    """For each value of a parameter the trial with the best mean on val."""

    title = "The best trial of each value"

    group: Parameter | None = None
    """The parameter; default: the first that varies."""
