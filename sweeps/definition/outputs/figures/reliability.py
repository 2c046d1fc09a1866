"""`reliability`."""

from sweeps.definition.outputs.options import FigureOptions


class Options(FigureOptions):
    """How often the best trial is right, against how sure it is."""

    place = 70
