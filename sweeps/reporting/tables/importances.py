"""`importances`: how much each parameter explains."""

from collections.abc import Sequence

from sweeps.definition.outputs.tables.importances import Options
from sweeps.reporting.cells import label, name_of, score
from sweeps.reporting.importance import attribution
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.table import Table, left_out


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """How much of the spread between trials each parameter explains."""
    found = attribution(results)
    rows = [(name_of(name), f"{100 * share:.0f}%") for name, share in found.shares.of_parameter.items()]
    rows.append(("together only", f"{100 * found.shares.interactions:.0f}%"))
    noise = (
        f" Between seeds of one trial {label(results.metric).lower()} has a standard deviation of "
        f"{score(results.metric, found.noise_sd)}, between trials of {score(results.metric, found.trial_sd)}."
        if found.noise_sd is not None
        else ""
    )
    how = "" if found.shares.exact else ", in a random forest fitted to them"
    told = [
        f"Share of the variance between the means of {found.num_trials} trials ({results.metric}) that a parameter "
        f"explains on its own{how}.{noise}",
        *left_out(results),
    ]
    return [Table(title=None, header=("Parameter", "Explains"), rows=tuple(rows), notes=tuple(told))]
