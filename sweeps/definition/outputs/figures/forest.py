"""`forest`."""

from sweeps.definition.outputs.options import FigureOptions


class Options(FigureOptions):
    """Differences to the best trial, or in an ablation to its base, with their intervals."""

    place = 25
