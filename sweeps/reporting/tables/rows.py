"""Tables with one row for each trial: `flat` and `lists`."""

from collections.abc import Sequence

from resnet_tl.metrics import metric_of
from sweeps.definition.tables import TableSpec
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.tables.cells import MISSING, number, score, show, title
from sweeps.reporting.tables.parts import (
    Column,
    Table,
    assemble,
    entries,
    list_cells,
    mean_column,
    notes,
    parameters,
    plain,
    test_scores,
)


def flat(results: Results, trials: Sequence[Trial], spec: TableSpec) -> list[Table]:
    """One seed, or the mean over seeds."""
    columns = parameters(
        results, trials, always=("optimizer", "lr", "momentum"), without=("epochs", "batch_size", spec.by)
    )
    if results.expects("max_epoch") or results.expects("best_epoch"):
        columns.append(Column(header="Epochs (best)", cells=[_epochs(trial) for trial in trials]))
    if any("batch_size" in trial.values for trial in trials):
        columns.append(
            Column(header="Batch size", cells=[show("batch_size", t.values.get("batch_size")) for t in trials])
        )
    columns += [mean_column(trials, metric, spread=False) for metric in test_scores(results)]
    several = ["Means over seeds."] if any(len(trial.states) > 1 for trial in trials) else []
    return [assemble(columns, None, several + notes(results, trials))]


def _epochs(trial: Trial) -> str:
    if not trial.states:
        most = trial.values.get("epochs")
        return MISSING if most is None else f"{most} ({MISSING})"
    return f"{number(trial.mean('max_epoch'))} ({number(trial.mean('best_epoch'))})"


def lists(results: Results, trials: Sequence[Trial], spec: TableSpec) -> list[Table]:
    """Every seed."""
    columns = parameters(results, trials, without=("epochs", spec.by))
    if results.expects("max_epoch"):
        most = [number(t.mean("max_epoch")) if t.states else str(t.values.get("epochs", MISSING)) for t in trials]
        columns.append(Column(header="Max epoch", cells=most))
    if results.expects("best_epoch"):
        cells = list_cells([entries(trial, "best_epoch", plain) for trial in trials], better=None)
        columns.append(Column(header="Best epochs", cells=cells))
    for metric in test_scores(results):
        several = [entries(t, metric, lambda v, m=metric: score(m, v, sign=False)) for t in trials]  # type: ignore[misc]
        columns.append(Column(header=title(metric), cells=list_cells(several, better=metric_of(metric).better)))
    return [assemble(columns, None, notes(results, trials))]
