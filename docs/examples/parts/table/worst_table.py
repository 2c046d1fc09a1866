"""`study.tables: [worst]`: how bad the unluckiest seed of each trial is."""

from sweeps.definition.outputs.options import OutputOptions
from sweeps.reporting.cells import label, score
from sweeps.reporting.table import Table


class Options(OutputOptions):
    """The unluckiest seed of each trial, where all of them are complete."""

    title = "Unluckiest seeds"

    metric: str = "test/accuracy"
    """What it is judged by: the least of it."""


def draw(results, trials, options):
    rows = []
    for trial in trials:
        seed, value = min(zip(trial.seeds, trial.columns[options.metric], strict=True), key=lambda pair: pair[1])
        rows.append((str(trial.number), str(seed), score(options.metric, value)))
    return [Table(title=None, header=("Trial", "Seed", label(options.metric)), rows=tuple(rows))]
