"""The tables that people publish: one module for each kind, named as its options in `sweeps.definition.outputs.tables`.

A module has `draw(results, trials, options)`, where `trials` are those to show: all of the study's, or with `by` those
with one value. All numbers come from `results`. A trial with a failed, diverged or pruned seed run shows that word in
place of a mean; a planned result that is not there yet is `/`. Other distributions bring modules of both.
"""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, cast

from sweeps.definition.outputs.options import OutputOptions, PerValueOptions
from sweeps.definition.outputs.registry import TABLES, Spec
from sweeps.reporting.cells import name_of, show
from sweeps.reporting.results import Results, Trial, distinct
from sweeps.reporting.table import Table


class Kind(Protocol):
    """A module of this folder."""

    def draw(self, results: Results, trials: Sequence[Trial], options: OutputOptions) -> list[Table]:
        """Its tables.

        Raises:
            ConfigError: the results lack what the table shows.
        """
        ...


def make(results: Results, spec: Spec) -> list[Table]:
    """The tables of one kind; several when the study asks for one per value of a parameter.

    Raises:
        ConfigError: the results lack what the table shows.
    """
    brought = TABLES.brought(spec.kind)
    kind = cast(Kind, brought or importlib.import_module(f"{__name__}.{spec.kind}"))
    by = spec.options.by if isinstance(spec.options, PerValueOptions) else None
    if by is None:
        return kind.draw(results, results.trials, spec.options)
    tables = []
    for value in distinct(trial.values.get(by) for trial in results.trials):
        part = [trial for trial in results.trials if trial.values.get(by) == value]
        for table in kind.draw(results, part, spec.options):
            title = f"{name_of(by)}: {show(by, value)}"
            tables.append(replace(table, title=f"{title}, {table.title}" if table.title else title))
    return tables
