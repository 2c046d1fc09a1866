"""`heatmap`."""

from sweeps.definition.outputs.options import FigureOptions, Parameter


class Options(FigureOptions):
    """Mean scores by two parameters."""

    place = 30

    rows: Parameter | None = None
    """The parameter down; default: the one that explains most."""
    columns: Parameter | None = None
    """The parameter across; default: the one that explains most of the rest."""
