"""`best`: one row for each value of a parameter."""

from collections.abc import Sequence
from typing import Any

from resnet_tl.architecture import BACKBONES
from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.tables.best import Options
from sweeps.reporting.cells import MISSING, name_of, number, show
from sweeps.reporting.results import Results, Trial, distinct
from sweeps.reporting.table import Column, Table, assemble, mean_column, notes, test_scores


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """The trial with the best mean on `val`, and what it scored on `test`."""
    group = options.group or next(iter(results.varying()), None)
    if group is None:
        raise ConfigError("`best` needs a parameter with several values: {best: {group: backbone}}.")
    chosen = []
    for value in distinct(trial.values.get(group) for trial in trials):
        part = [trial for trial in trials if trial.values.get(group) == value]
        chosen.append(min(part, key=results.sort_key))
    first = Column(header=name_of(group), cells=[show(group, trial.values.get(group)) for trial in chosen])
    if group == "backbone":
        first = Column(header="ResNet", cells=[_resnet(trial.values) for trial in chosen])
    varying = [name for name in results.varying() if name not in (group, "epochs", "weights")]
    columns = [first]
    for name in varying:
        cells = [show(name, t.value(name)) if t.state == "complete" else MISSING for t in chosen]
        columns.append(Column(header=name_of(name), cells=cells))
    if results.expects("best_epoch"):
        cells = [number(t.mean("best_epoch")) if t.state == "complete" else MISSING for t in chosen]
        columns.append(Column(header="Best epoch", cells=cells))
    columns += [mean_column(chosen, metric, spread=False) for metric in test_scores(results)]
    told = [
        f"For each {name_of(group).lower()} the trial with the best mean {results.metric}.",
        *notes(results, chosen),
    ]
    return [assemble(columns, None, told)]


def _resnet(values: dict[str, Any]) -> str:
    """`18 v.1`: depth and version of the ImageNet weights."""
    backbone, weights = str(values["backbone"]), str(values.get("weights"))
    depth = backbone.removeprefix("resnet")
    if weights == "imagenet":
        weights = BACKBONES[backbone].imagenet_versions[-1]
    return f"{depth} v.{weights[-1]}" if weights.startswith("IMAGENET1K_V") else depth
