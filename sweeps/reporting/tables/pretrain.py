"""`pretrain`: the networks that the study trained itself, for its trials to start from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.tables.pretrain import Options
from sweeps.records import StageRecord, StudyRecord
from sweeps.reporting.cells import MISSING, label, score
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.table import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stage:
    """A stage for one depth."""

    name: str
    backbone: str
    record: StageRecord
    num_trials: int
    """That start from it."""


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """A row for each stage and depth."""
    if results.about is None or not results.about.pretrain:
        raise ConfigError(
            "The table pretrain needs a study with stages under `pretrain:`, from the ledger or from a CSV file with "
            "its NAME.about.json."
        )
    stages = list(_stages(results.about, trials))
    monitors = {stage.record.monitor for stage in stages}
    rows = []
    for stage in stages:
        record, backbone = stage.record, stage.backbone
        best, seconds, value = (known.get(backbone) for known in (record.best_epochs, record.wall_s, record.scores))
        own = "" if len(monitors) == 1 else f"{label(record.monitor)} "
        rows.append(
            (
                stage.name,
                backbone,
                str(record.data["source"]),
                MISSING if record.num_train is None else f"{record.num_train:,}",
                MISSING if record.num_classes is None else f"{record.num_classes:,}",
                f"{record.trial.get('epochs', MISSING)} ({MISSING if best is None else best})",
                MISSING if value is None else f"{own}{score(record.monitor, value)}",
                MISSING if seconds is None else f"{seconds:,.1f}",
                str(stage.num_trials),
            )
        )
    return [
        Table(
            title="Pretrained networks",
            header=(
                "Stage",
                "Backbone",
                "Images",
                "Train images",
                "Classes",
                "Epochs (best)",
                label(monitors.pop()) if len(monitors) == 1 else "Val score",
                "Seconds",
                "Trials",
            ),
            rows=tuple(rows),
            notes=(
                "Each was trained once, from random weights, and is scored on val of its own images at its selected "
                "epoch. Seconds are of that training, also where an earlier study did it; trials are those that start "
                "from it.",
            ),
        )
    ]


def starts_from_stage(results: Results) -> bool:
    """Whether any trial starts from a network that the study pretrained."""
    names = set(results.about.pretrain) if results.about else set()
    return any(_start(trial)[0] in names for trial in results.trials)


def _stages(about: StudyRecord, trials: Sequence[Trial]) -> Iterator[_Stage]:
    starts = [_start(trial) for trial in trials]
    for name, record in about.pretrain.items():
        used = [backbone for weights, backbone in starts if weights == name]
        # one that no trial starts from has been trained for no depth
        for backbone in dict.fromkeys([*record.scores, *used]) or [str(record.trial.get("backbone", MISSING))]:
            yield _Stage(name=name, backbone=backbone, record=record, num_trials=used.count(backbone))


def _start(trial: Trial) -> tuple[str, str]:
    return str(trial.values.get("weights")), str(trial.values.get("backbone"))
