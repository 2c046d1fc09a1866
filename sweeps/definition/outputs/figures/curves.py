"""`curves`."""

from sweeps.definition.outputs.options import FigureOptions


class Options(FigureOptions):
    """Learning curves of the best trials."""

    place = 10
