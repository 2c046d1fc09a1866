"""The tables that people publish, as plain cells; `documents` writes them out.

All numbers come from the tidy frame. A trial with a failed, diverged or pruned seed run shows that word in place of
a mean; a planned result that is not there yet is `/`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resnet_tl.errors import ConfigError
from resnet_tl.model.architecture import BACKBONES
from sweeps.definition.tables import TableSpec
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.stats import summarise

MISSING = "/"
NAMES = {
    "lr": "Learning rate",
    "bn": "BatchNorm",
    "backbone_lr_factor": "Backbone lr factor",
    "epochs": "Epochs",
}
VALUES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
SHORT = {"accuracy": "acc", "auroc": "AUROC", "f1": "F1"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text; `bold` ones are marked by whatever writes them out."""

    title: str | None
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Column:
    """One column of a table of trials."""

    header: str
    cells: list[str]
    keys: list[float | None] = field(default_factory=list)
    """What the cells are compared by, rounded as shown; empty for columns without a best."""
    lower_is_better: bool = False


def make(results: Results, spec: TableSpec) -> list[Table]:
    """The tables of one kind; several when the study asks for one per value of a parameter.

    Raises:
        ConfigError: the results lack what the table shows.
    """
    if spec.kind == "imagenet":
        return [_imagenet(results)]
    builders: dict[str, Callable[[Results, Sequence[Trial], TableSpec], list[Table]]] = {
        "flat": _flat,
        "lists": _lists,
        "summary": _summary,
        "pivot": _pivot,
        "best": _best,
    }
    build = builders[spec.kind]
    if spec.by is None:
        return build(results, results.trials, spec)
    tables = []
    for value in _distinct(trial.values.get(spec.by) for trial in results.trials):
        part = [trial for trial in results.trials if trial.values.get(spec.by) == value]
        for table in build(results, part, spec):
            title = f"{name_of(spec.by)}: {show(spec.by, value)}"
            tables.append(replace(table, title=_join(title, table.title)))
    return tables


def _join(*titles: str | None) -> str:
    return ", ".join(title for title in titles if title)


# -- words and numbers ------------------------------------------------------------------------------------------------


def name_of(parameter: str) -> str:
    """A parameter's column header."""
    return NAMES.get(parameter, parameter.replace("_", " ").capitalize())


def show(parameter: str, value: Any) -> str:
    """A parameter's value as cells show it."""
    if value is None:
        return "off" if parameter == "patience" else MISSING
    if parameter in ("lr", "weight_decay") and isinstance(value, int | float):
        return scientific(value)
    return VALUES.get(str(value), str(value))


def scientific(value: float) -> str:
    """`1e-6`, `2.5e-4`; zero is `0`."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def momentum(values: dict[str, Any]) -> str:
    """Momentum of SGD, or the betas of Adam."""
    if str(values.get("optimizer")) in ("adam", "adamw"):
        return "(0.9, 0.999)"
    return show("momentum", values.get("momentum"))


def score(metric: str, value: float, *, percent_sign: bool = True) -> str:
    """A loss with 3 decimals; anything else in percent with 2."""
    if metric.endswith("loss"):
        return f"{value:.3f}"
    return f"{100 * value:.2f}" + ("%" if percent_sign else "")


def _rounded(metric: str, value: float) -> float:
    return round(value, 3) if metric.endswith("loss") else round(100 * value, 2)


def _label(metric: str) -> str:
    split, _, name = metric.partition("/")
    return f"{split.capitalize()} {SHORT.get(name, name)}"


def _mean_of(trial: Trial, column: str) -> float | None:
    """Mean over the seed runs, or None when one of them lacks it."""
    values = list(trial.rows[column]) if column in trial.rows else []
    if not values or any(value is None or value != value for value in values):
        return None
    return summarise([float(value) for value in values]).mean


def _number(value: float | None) -> str:
    if value is None:
        return MISSING

    return f"{value:g}" if value == round(value) else f"{value:.1f}"


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if not any(value == other and type(value) is type(other) for other in found):
            found.append(value)
    return found


# -- parts of tables --------------------------------------------------------------------------------------------------


def _assemble(columns: Sequence[_Column], title: str | None, notes: Sequence[str]) -> Table:
    marked = []
    for column in columns:
        present = [key for key in column.keys if key is not None]
        best = (min if column.lower_is_better else max)(present) if present else None
        cells = [
            f"**{cell}**" if column.keys and column.keys[index] is not None and column.keys[index] == best else cell
            for index, cell in enumerate(column.cells)
        ]
        marked.append(cells)
    return Table(
        title=title,
        header=tuple(column.header for column in columns),
        rows=tuple(zip(*marked, strict=True)),
        notes=tuple(notes),
    )


def _parameters(
    results: Results,
    trials: Sequence[Trial],
    *,
    always: Sequence[str] = (),
    without: Sequence[str | None] = (),
) -> list[_Column]:
    """Parameter columns: those that vary among these trials, and those that are always shown."""
    varying = [name for name in results.varying() if len(_distinct(trial.values.get(name) for trial in trials)) > 1]
    present = {name for trial in trials for name in trial.values}
    names = [n for n in varying if n not in always] + [n for n in always if n in present]
    columns = []
    for name in names:
        if name in without:
            continue
        cells = [momentum(t.values) if name == "momentum" else show(name, t.values.get(name)) for t in trials]
        columns.append(_Column(header=name_of(name), cells=cells))
    return columns


def _mean_column(results: Results, trials: Sequence[Trial], metric: str, *, spread: bool) -> _Column:
    cells: list[str] = []
    keys: list[float | None] = []
    for trial in trials:
        if trial.state != "complete":
            cells.append(MISSING if trial.state == "planned" else trial.state)
            keys.append(None)
            continue
        summary = summarise(trial.scores(metric))
        text = score(metric, summary.mean, percent_sign=False)
        if spread and summary.sd is not None:
            text += f" ± {score(metric, summary.sd, percent_sign=False)}"
        cells.append(text + ("" if metric.endswith("loss") else "%"))
        keys.append(_rounded(metric, summary.mean))
    return _Column(header=_label(metric), cells=cells, keys=keys, lower_is_better=metric.endswith("loss"))


def _has(results: Results, *columns: str) -> bool:
    return all(column in results.frame.columns and results.frame[column].notna().any() for column in columns)


def _expects(results: Results, *columns: str) -> bool:
    """Whether a column is to be shown: it has values, or the study has nothing yet."""
    return results.frame.empty or _has(results, *columns)


def _notes(results: Results, trials: Sequence[Trial]) -> list[str]:
    notes = []
    for state in ("failed", "diverged", "pruned"):
        those = [trial for trial in trials if (trial.rows["state"] == state).any()]
        if those:
            told = []
            for trial in those:
                rows = trial.rows[trial.rows["state"] == state]
                seeds = ", ".join(str(int(seed)) for seed in rows["seed"]) if "seed" in rows else str(len(rows))
                told.append(f"trial {trial.number} (seeds {seeds}{_reason(results, rows)})")
            notes.append(f"{len(those)} of {len(trials)} trials {state}: {'; '.join(told)}.")
    if results.seeds is not None:
        planned = len(results.seeds)
        short = [trial for trial in trials if 0 < len(trial.rows) < planned]
        if short:
            told = [f"trial {trial.number} has {len(trial.rows)}" for trial in short]
            notes.append(f"Planned are {planned} seeds for each trial; {', '.join(told)}.")
    waiting = sum(trial.state == "planned" for trial in trials)
    if waiting:
        notes.append(f"{waiting} of {len(trials)} trials have no result yet (`{MISSING}`).")
    return notes


def _reason(results: Results, rows: Any) -> str:
    if "fingerprint" not in rows or "seed" not in rows:
        return ""
    keys = set(zip(rows["fingerprint"], rows["seed"], strict=True))
    reasons = [run.reason for run in results.runs if (run.fingerprint, run.seed) in keys and run.reason]
    return f": {reasons[0].splitlines()[-1]}" if reasons else ""


def _sort_key(trial: Trial, results: Results) -> tuple[int, float, int]:
    if trial.state != "complete" or results.metric not in trial.rows:
        return (1, 0.0, trial.number)
    mean = summarise(trial.scores(results.metric)).mean
    return (0, -mean if results.higher_is_better else mean, trial.number)


# -- the kinds --------------------------------------------------------------------------------------------------------


def _flat(results: Results, trials: Sequence[Trial], spec: TableSpec) -> list[Table]:
    columns = _parameters(
        results, trials, always=("optimizer", "lr", "momentum"), without=("epochs", "batch_size", spec.by)
    )
    if _expects(results, "max_epoch") or _expects(results, "best_epoch"):
        columns.append(_Column(header="Epochs (best)", cells=[_epochs(trial) for trial in trials]))
    if any("batch_size" in trial.values for trial in trials):
        columns.append(
            _Column(header="Batch size", cells=[show("batch_size", t.values.get("batch_size")) for t in trials])
        )
    columns += [_mean_column(results, trials, m, spread=False) for m in _test_scores(results)]
    notes = _notes(results, trials)
    if any(len(trial.rows) > 1 for trial in trials):
        notes.insert(0, "Means over seeds.")
    return [_assemble(columns, None, notes)]


def _test_scores(results: Results) -> list[str]:
    wanted = ["test/loss", "test/accuracy"]
    own = "test/" + results.metric.partition("/")[2]
    if own not in wanted:
        wanted.append(own)
    return [name for name in wanted if _expects(results, name)]


def _epochs(trial: Trial) -> str:
    if trial.rows.empty:
        most = trial.values.get("epochs")
        return MISSING if most is None else f"{most} ({MISSING})"
    return f"{_number(_mean_of(trial, 'max_epoch'))} ({_number(_mean_of(trial, 'best_epoch'))})"


def _entries(trial: Trial, column: str, text: Callable[[float], str]) -> list[tuple[str, float | None]]:
    """Cells of a list: (text, value or None)."""
    found: list[tuple[str, float | None]] = []
    for _, row in trial.rows.iterrows():
        value = row[column]
        if row["state"] != "complete" or value is None or (isinstance(value, float) and math.isnan(value)):
            found.append((str(row["state"]) if row["state"] != "complete" else MISSING, None))
        else:
            found.append((text(float(value)), float(text(float(value)))))
    return found


def _list_cells(entries: Sequence[Sequence[tuple[str, float | None]]], *, lower: bool | None) -> list[str]:
    """Lists as text, the best single entry of all bold."""
    values = [value for cell in entries for _, value in cell if value is not None]
    best = None if lower is None or not values else (min if lower else max)(values)
    cells = []
    for cell in entries:
        words = [f"**{text}**" if value is not None and value == best else text for text, value in cell]
        cells.append(f"[{', '.join(words)}]" if words else MISSING)
    return cells


def _plain_number(value: float) -> str:
    return f"{value:g}"


def _lists(results: Results, trials: Sequence[Trial], spec: TableSpec) -> list[Table]:
    columns = _parameters(results, trials, without=("epochs", spec.by))
    if _expects(results, "max_epoch"):
        most = [
            _number(_mean_of(t, "max_epoch")) if not t.rows.empty else str(t.values.get("epochs", MISSING))
            for t in trials
        ]
        columns.append(_Column(header="Max epoch", cells=most))
    if _expects(results, "best_epoch"):
        entries = [_entries(trial, "best_epoch", _plain_number) for trial in trials]
        columns.append(_Column(header="Best epochs", cells=_list_cells(entries, lower=None)))
    for metric in _test_scores(results):
        entries = [_entries(t, metric, lambda v, m=metric: score(m, v, percent_sign=False)) for t in trials]  # type: ignore[misc]
        loss = metric.endswith("loss")
        header = _label(metric).title() if metric.split("/")[1] in ("loss", "accuracy") else _label(metric)
        columns.append(_Column(header=header + ("" if loss else " (%)"), cells=_list_cells(entries, lower=loss)))
    return [_assemble(columns, None, _notes(results, trials))]


def _summary(results: Results, trials: Sequence[Trial], spec: TableSpec) -> list[Table]:
    trials = sorted(trials, key=lambda trial: _sort_key(trial, results))
    columns = _parameters(results, trials, without=(spec.by,))
    columns.append(_Column(header="n", cells=[str(len(trial.rows)) for trial in trials]))
    own = "test/" + results.metric.partition("/")[2]
    shown = [metric for metric in dict.fromkeys([results.metric, own]) if _expects(results, metric)]
    columns += [_mean_column(results, trials, metric, spread=True) for metric in shown]
    if _expects(results, own):
        columns.append(_Column(header=f"{_label(own)} 95% CI", cells=[_interval(trial, own) for trial in trials]))
    if _expects(results, "wall_s"):
        means = [_mean_of(trial, "wall_s") for trial in trials]
        seconds = [MISSING if mean is None else f"{mean:.1f}" for mean in means]
        columns.append(_Column(header="Seconds", cells=seconds))
    return [_assemble(columns, None, _notes(results, trials))]


def _interval(trial: Trial, metric: str) -> str:
    if trial.state != "complete":
        return MISSING if trial.state == "planned" else trial.state
    summary = summarise(trial.scores(metric))
    if summary.low is None or summary.high is None:
        return "one seed"
    sign = "" if metric.endswith("loss") else "%"
    low, high = (score(metric, value, percent_sign=False) for value in (summary.low, summary.high))
    return f"{low}–{high}{sign}" if summary.low >= 0 else f"{low} to {high}{sign}"


def _pivot(results: Results, trials: Sequence[Trial], spec: TableSpec) -> list[Table]:
    varying = [n for n in results.varying() if n not in ("epochs", spec.by)]
    down = spec.rows or next((n for n in varying if n != spec.columns), None)
    across = spec.columns or next((n for n in varying if n != down), None)
    if down is None or across is None:
        raise ConfigError("A pivot needs two parameters with several values: {pivot: {rows: lr, columns: batch_size}}.")
    others = [name for name in varying if name not in (down, across)]
    tables = []
    for combination in _distinct(tuple(trial.values.get(name) for name in others) for trial in trials):
        part = [trial for trial in trials if tuple(trial.values.get(name) for name in others) == combination]
        title = _join(*(f"{name_of(n)}: {show(n, v)}" for n, v in zip(others, combination, strict=True))) or None
        tables.append(_one_pivot(results, part, down, across, title))
    return tables


def _one_pivot(results: Results, trials: Sequence[Trial], down: str, across: str, title: str | None) -> Table:
    rows = _distinct(trial.values.get(down) for trial in trials)
    columns = _distinct(trial.values.get(across) for trial in trials)
    if all(isinstance(value, int | float) for value in rows):
        rows.sort()
    if all(isinstance(value, int | float) for value in columns):
        columns.sort()
    lines: list[tuple[str, str, bool | None]]
    lines = [("epoch", "best_epoch", None)] if _has(results, "best_epoch") else []
    lines += [
        (SHORT.get(metric.split("/")[1], metric.split("/")[1]), metric, metric.endswith("loss"))
        for metric in _test_scores(results)
    ]
    place = {(repr(t.values.get(down)), repr(t.values.get(across))): t for t in trials}
    if len(place) < len(trials):
        raise ConfigError(
            f"A pivot of {down} by {across} must have one trial in each cell, but some have several; "
            "add `by:` or another table."
        )
    grid = [(r, c) for r in rows for c in columns]
    texts: dict[tuple[str, str], list[str]] = {(repr(r), repr(c)): [] for r, c in grid}
    for word, column, lower in lines:
        filled = [key for key in texts if key in place and not place[key].rows.empty]
        text = _plain_number if lower is None else (lambda v, m=column: score(m, v, percent_sign=False))
        entries = [_entries(place[key], column, text) for key in filled]
        for key, cell in zip(filled, _list_cells(entries, lower=lower), strict=True):
            texts[key].append(f"{word} = {cell}")
    body = tuple(
        (f"**{show(down, r)}**", *(" <br> ".join(texts[repr(r), repr(c)]) or MISSING for c in columns)) for r in rows
    )
    return Table(
        title=title,
        header=("", *(show(across, c) for c in columns)),
        rows=body,
        notes=(f"Down: {name_of(down).lower()}; across: {name_of(across).lower()}.", *_notes(results, trials)),
    )


def _best(results: Results, trials: Sequence[Trial], spec: TableSpec) -> list[Table]:
    group = spec.group or next(iter(results.varying()), None)
    if group is None:
        raise ConfigError("`best` needs a parameter with several values: {best: {group: backbone}}.")
    chosen = []
    for value in _distinct(trial.values.get(group) for trial in trials):
        part = [trial for trial in trials if trial.values.get(group) == value]
        chosen.append(min(part, key=lambda trial: _sort_key(trial, results)))
    first = _Column(header=name_of(group), cells=[show(group, trial.values.get(group)) for trial in chosen])
    if group == "backbone":
        first = _Column(header="ResNet", cells=[_resnet(trial.values) for trial in chosen])
    varying = [name for name in results.varying() if name not in (group, "epochs", "weights")]
    columns = [first]
    for name in varying:
        cells = [show(name, t.values.get(name)) if t.state == "complete" else MISSING for t in chosen]
        columns.append(_Column(header=name_of(name), cells=cells))
    if _expects(results, "best_epoch"):
        cells = [_number(_mean_of(t, "best_epoch")) if t.state == "complete" else MISSING for t in chosen]
        columns.append(_Column(header="Best epoch", cells=cells))
    columns += [_mean_column(results, chosen, metric, spread=False) for metric in _test_scores(results)]
    notes = [
        f"For each {name_of(group).lower()} the trial with the best mean {results.metric}.",
        *_notes(results, chosen),
    ]
    return [_assemble(columns, None, notes)]


def _resnet(values: dict[str, Any]) -> str:
    """`18 v.1`: depth and version of the ImageNet weights."""
    backbone, weights = str(values["backbone"]), str(values.get("weights"))
    depth = backbone.removeprefix("resnet")
    if weights == "imagenet":
        weights = BACKBONES[backbone].imagenet_version
    return f"{depth} v.{weights[-1]}" if weights.startswith("IMAGENET1K_V") else depth


def _imagenet(results: Results) -> Table:
    import torchvision.models

    rows = []
    if not all(trial.values.get("backbone") in BACKBONES for trial in results.trials):
        raise ConfigError(f"The table imagenet needs a column `backbone` with values of {', '.join(BACKBONES)}.")
    for backbone in _distinct(trial.values["backbone"] for trial in results.trials):
        for version in torchvision.models.get_model_weights(backbone):
            meta = version.meta
            scores = meta["_metrics"]["ImageNet-1K"]
            rows.append(
                (
                    backbone.removeprefix("resnet"),
                    f"v.{version.name[-1]}",
                    f"{scores['acc@1']:.2f}%",
                    f"{scores['acc@5']:.2f}%",
                    f"{meta['num_params'] / 1e6:.1f}M",
                    f"{meta['_file_size']:#.3g} Mo".replace(". ", " "),
                )
            )
    return Table(
        title="Published ImageNet results of the starting weights",
        header=("ResNet", "Weights", "Acc @1", "Acc @5", "#Params", "Size"),
        rows=tuple(rows),
        notes=("From torchvision's weight metadata.",),
    )
