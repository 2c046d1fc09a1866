"""`seeds`."""

from sweeps.definition.outputs.options import FigureOptions


class Options(FigureOptions):
    """Every seed run, with the means of the trials."""

    place = 20
