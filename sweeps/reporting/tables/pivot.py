"""`pivot`: one parameter down, one across."""

from collections.abc import Sequence
from typing import Literal

from resnet_tl.errors import ConfigError
from resnet_tl.metrics import metric_of
from sweeps.definition.outputs.tables.pivot import Options
from sweeps.reporting.cells import MISSING, name_of, score, show
from sweeps.reporting.inline import Break, Inline, bold, joined
from sweeps.reporting.results import NONE_HERE, Results, Trial, distinct
from sweeps.reporting.table import Table, entries, list_cells, notes, plain, test_scores


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """One table for each combination of the other parameters."""
    varying = [n for n in results.varying() if n not in ("epochs", options.by)]
    down = options.rows or next((n for n in varying if n != options.columns), None)
    across = options.columns or next((n for n in varying if n != down), None)
    if down is None or across is None:
        raise ConfigError("A pivot needs two parameters with several values: {pivot: {rows: lr, columns: batch_size}}.")
    others = [name for name in varying if name not in (down, across)]
    tables = []
    for combination in distinct(tuple(trial.value(name) for name in others) for trial in trials):
        part = [trial for trial in trials if repr(tuple(trial.value(n) for n in others)) == repr(combination)]
        title = ", ".join(
            f"{name_of(n)}: {show(n, v)}" for n, v in zip(others, combination, strict=True) if v != NONE_HERE
        )
        tables.append(_one(results, part, down, across, title or None))
    return tables


def _one(results: Results, trials: Sequence[Trial], down: str, across: str, title: str | None) -> Table:
    rows = distinct(trial.value(down) for trial in trials)
    columns = distinct(trial.value(across) for trial in trials)
    if all(isinstance(value, int | float) for value in rows):
        rows.sort()
    if all(isinstance(value, int | float) for value in columns):
        columns.sort()
    lines: list[tuple[str, str, Literal["min", "max"] | None]]
    lines = [("epoch", "best_epoch", None)] if results.has("best_epoch") else []
    lines += [(metric_of(m).short, m, metric_of(m).better) for m in test_scores(results)]
    place = {(repr(t.value(down)), repr(t.value(across))): t for t in trials}
    if len(place) < len(trials):
        raise ConfigError(
            f"A pivot of {down} by {across} must have one trial in each cell, but some have several; "
            "add `by:` or another table."
        )
    texts: dict[tuple[str, str], list[Inline]] = {(repr(r), repr(c)): [] for r in rows for c in columns}
    for word, column, better in lines:
        filled = [key for key in texts if key in place and place[key].states]
        text = plain if better is None else (lambda v, m=column: score(m, v, sign=False))
        several = [entries(place[key], column, text) for key in filled]
        for key, cell in zip(filled, list_cells(several, better=better), strict=True):
            texts[key].append((f"{word} = ", cell))
    body = tuple(
        (bold(show(down, r)), *(joined(Break(), texts[repr(r), repr(c)]) or MISSING for c in columns)) for r in rows
    )
    return Table(
        title=title,
        header=("", *(show(across, c) for c in columns)),
        rows=body,
        notes=(f"Down: {name_of(down).lower()}; across: {name_of(across).lower()}.", *notes(results, trials)),
    )
