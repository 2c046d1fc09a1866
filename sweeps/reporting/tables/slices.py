"""`slices`: the values of each parameter, averaged over all else."""

from collections.abc import Sequence

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.tables.slices import Options
from sweeps.records import count
from sweeps.reporting.cells import interval, label, name_of, score, show, show_range
from sweeps.reporting.importance import slices_of
from sweeps.reporting.results import NONE_HERE, Results, Trial, comparable, distinct
from sweeps.reporting.samples import chance, described, sample
from sweeps.reporting.table import Table, left_out
from sweeps.statistics.planned import mean_of


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """For each parameter its values, averaged over all else."""
    metrics = [m for m in dict.fromkeys([results.metric, results.on_test]) if results.has(m)]
    whole = comparable(results.trials, results.metric)
    rows: list[tuple[str, ...]] = []
    num_seeds = 0
    for name in results.varying():
        for value, own in slices_of(results, name):
            cells: list[str] = []
            for metric in metrics:
                told = described(mean_of([sample(results, trial, metric) for trial in own]), metric)
                num_seeds = max(num_seeds, told.n)
                cells.append(score(metric, told.mean))
                cells.append(interval(metric, told))
            rows.append((name_of(name), show_range(name, value), str(len(own)), *cells))
        with_score = {repr(trial.value(name)) for trial in whole}
        empty = ["/"] * (2 * len(metrics))
        for value in distinct(trial.value(name) for trial in results.trials):
            if value != NONE_HERE and repr(value) not in with_score:
                rows.append((name_of(name), show(name, value), "0", *empty))
    if not whole or not rows:
        raise ConfigError("The table slices needs complete trials with the same seeds and a parameter that varies.")
    header = ["Parameter", "Value", "Trials"]
    for metric in metrics:
        header += [label(metric), "95% CI"]
    told_of = (
        f"Means over all trials with that value, and over {count(num_seeds, 'seed')}; intervals say nothing of trials "
        "that were not run.",
        *(chance(results, whole, metric, what=f"Those of {label(metric).lower()}") for metric in metrics),
        *left_out(results),
    )
    return [Table(title=None, header=tuple(header), rows=tuple(rows), notes=told_of)]
