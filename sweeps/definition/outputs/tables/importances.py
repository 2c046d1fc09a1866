"""`importances`."""

from sweeps.definition.outputs.options import OutputOptions


class Options(OutputOptions):
    """How much of the spread between trials each parameter explains."""

    title = "Which parameters matter"
