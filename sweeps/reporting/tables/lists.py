"""`lists`: one row for each trial, with every seed."""

from collections.abc import Sequence

from resnet_tl.metrics import metric_of
from sweeps.definition.outputs.tables.lists import Options
from sweeps.reporting.cells import MISSING, number, score, title
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.table import Column, Table, assemble, entries, list_cells, notes, parameters, plain, test_scores


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """Every seed."""
    columns = parameters(results, trials, without=("epochs", options.by))
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
