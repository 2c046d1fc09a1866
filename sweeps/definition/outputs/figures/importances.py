"""`importances`."""

from sweeps.definition.outputs.options import FigureOptions


class Options(FigureOptions):
    """How much of the spread between trials each parameter explains."""

    place = 40
