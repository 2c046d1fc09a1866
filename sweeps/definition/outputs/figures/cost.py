"""`cost`."""

from sweeps.definition.outputs.options import FigureOptions


class Options(FigureOptions):
    """Score against seconds of training."""

    place = 50
