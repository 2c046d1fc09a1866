"""`pareto`."""

from sweeps.definition.outputs.options import Aims, FigureOptions


class Options(FigureOptions):
    """The Pareto front of the first two aims."""

    place = 55

    aims: Aims = None
    """As of the table; shown are the first two."""
