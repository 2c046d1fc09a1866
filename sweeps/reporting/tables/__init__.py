"""The tables that people publish, one module for each family of kinds.

All numbers come from `results`. A trial with a failed, diverged or pruned seed run shows that word in place of a mean;
a planned result that is not there yet is `/`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sweeps.definition.tables import TableSpec
from sweeps.reporting.results import Results, Trial, distinct
from sweeps.reporting.tables.answers import hypotheses
from sweeps.reporting.tables.attribution import ablation, importances, slices
from sweeps.reporting.tables.best import best, imagenet
from sweeps.reporting.tables.cells import name_of, show
from sweeps.reporting.tables.parts import Table
from sweeps.reporting.tables.pivot import pivot
from sweeps.reporting.tables.rows import flat, lists
from sweeps.reporting.tables.summary import confirmed, summary

OF_TRIALS: dict[str, Callable[[Results, Sequence[Trial], TableSpec], list[Table]]] = {
    "flat": flat,
    "lists": lists,
    "summary": summary,
    "pivot": pivot,
    "best": best,
}
OF_STUDIES: dict[str, Callable[[Results], list[Table]]] = {
    "imagenet": lambda results: [imagenet(results)],
    "ablation": ablation,
    "importances": importances,
    "slices": slices,
    "confirmed": confirmed,
    "hypotheses": hypotheses,
}


def make(results: Results, spec: TableSpec) -> list[Table]:
    """The tables of one kind; several when the study asks for one per value of a parameter.

    Raises:
        ConfigError: the results lack what the table shows.
    """
    if spec.kind in OF_STUDIES:
        return OF_STUDIES[spec.kind](results)
    build = OF_TRIALS[spec.kind]
    if spec.by is None:
        return build(results, results.trials, spec)
    tables = []
    for value in distinct(trial.values.get(spec.by) for trial in results.trials):
        part = [trial for trial in results.trials if trial.values.get(spec.by) == value]
        for table in build(results, part, spec):
            title = f"{name_of(spec.by)}: {show(spec.by, value)}"
            tables.append(replace(table, title=f"{title}, {table.title}" if table.title else title))
    return tables
