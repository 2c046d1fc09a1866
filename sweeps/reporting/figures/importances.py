"""`importances`: how much each parameter explains."""

from sweeps.definition.outputs.figures.importances import Options
from sweeps.reporting.cells import name_of
from sweeps.reporting.chart import Bars
from sweeps.reporting.importance import attribution
from sweeps.reporting.results import Results


def draw(results: Results, options: Options) -> Bars:
    """One bar for each parameter, and one for what only several together explain."""
    found = attribution(results).shares
    parts = {name_of(name): share for name, share in found.of_parameter.items()} | {"together only": found.interactions}
    return Bars(
        names=tuple(parts),
        values=tuple(100 * value for value in parts.values()),
        x_label=f"Variance between trial means explained (%), {results.metric}",
    )


def caption(results: Results, options: Options) -> str:
    """What stands under the picture."""
    return "Share of the variance between trials that each parameter explains alone"
