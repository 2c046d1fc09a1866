"""`flat`: one row for each trial, with one seed or the mean over seeds."""

from collections.abc import Sequence
from dataclasses import replace

from sweeps.definition.outputs.tables.flat import Options
from sweeps.reporting.cells import MISSING, number, show
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.table import Column, Table, assemble, mean_column, notes, parameters, test_scores


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """One seed, or the mean over seeds."""
    columns = parameters(
        results, trials, always=("optimizer", "lr", "momentum"), without=("epochs", "batch_size", options.by)
    )
    if results.expects("max_epoch") or results.expects("best_epoch"):
        columns.append(Column(header="Epochs (best)", cells=[_epochs(trial) for trial in trials]))
    if any("batch_size" in trial.values for trial in trials):
        columns.append(
            Column(header="Batch size", cells=[show("batch_size", t.values.get("batch_size")) for t in trials])
        )
    columns += [_with_n(mean_column(trials, metric, spread=True), trials) for metric in test_scores(results)]
    several = (
        ["Mean ± standard deviation over n seeds; epochs are means."]
        if any(len(trial.states) > 1 for trial in trials)
        else []
    )
    return [assemble(columns, None, several + notes(results, trials))]


def _with_n(column: Column, trials: Sequence[Trial]) -> Column:
    cells = [
        (cell, f" (n={len(trial.states)})") if trial.state == "complete" and len(trial.states) > 1 else cell
        for cell, trial in zip(column.cells, trials, strict=True)
    ]
    return replace(column, cells=cells)


def _epochs(trial: Trial) -> str:
    if not trial.states:
        most = trial.values.get("epochs")
        return MISSING if most is None else f"{most} ({MISSING})"
    return f"{number(trial.mean('max_epoch'))} ({number(trial.mean('best_epoch'))})"
