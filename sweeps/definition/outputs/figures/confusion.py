"""`confusion`."""

from sweeps.definition.outputs.options import FigureOptions


class Options(FigureOptions):
    """What the best trial takes for what."""

    place = 60
