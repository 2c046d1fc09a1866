"""Names and places of pretrained networks, known without training or torch."""

import datetime
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import CheckpointError, ConfigError
from resnet_tl.files import write_text
from resnet_tl.identity import Environment, digest, fingerprint
from resnet_tl.result import Epoch, FitResult

HISTORY = "history.json"
"""The learning curve of a stage, beside its checkpoint folder; stages of older versions have none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageResult:
    """What the training of a stage came to."""

    best_epoch: int
    """The epoch whose network was selected."""
    metrics: dict[str, float]
    """`split/name` for val and test with the selected network; fractions."""
    score: float
    """The one of them by which the epoch was selected."""
    finished: str
    """ISO time, UTC."""
    wall_s: float | None
    """Seconds of training and evaluating, restarts included; None where a version trained it that kept no curve."""
    history: tuple[Epoch, ...]
    """The learning curve; empty where a version trained it that kept none."""


def stage_fingerprint(trial: TrialConfig, data: Prepared, seed: int, environment: Environment) -> str:
    """Names the weights that a stage produces.

    Raises:
        ConfigError: the stage starts from weights; it must start from none.
    """
    if trial.weights != "none":
        raise ConfigError(f"A pretrain stage must have `weights: none`, but got {trial.weights!r}.")
    of_trial = fingerprint(
        trial,
        data=data.fingerprint,
        weights="none",
        num_classes=len(data.classes),
        channels=data.channels,
        environment=environment,
    )
    return digest([of_trial, seed])


def place(name: str, cache: Path) -> Path:
    """The checkpoint folder of a stage, by its fingerprint."""
    return cache / "pretrained" / name / "checkpoint"


def is_made(checkpoint: Path) -> bool:
    """Whether a stage has been trained."""
    return (checkpoint / "model.json").exists()


def write_history(path: Path, result: FitResult) -> None:
    """Keeps the learning curve of a stage that has been trained just now."""
    content = {
        "finished": _text(datetime.datetime.now(datetime.UTC)),
        "wall_s": result.wall_s,
        "epochs": [asdict(epoch) for epoch in result.history],
    }
    write_text(path, json.dumps(content, indent=1) + "\n")


def result_of(checkpoint: Path, monitor: str) -> StageResult:
    """What the training of a stage came to; without torch, which reading its tensors needs.

    Args:
        checkpoint: of a stage that has been trained.
        monitor: the score by which its epoch was selected.

    Raises:
        CheckpointError: its description or its learning curve is damaged.
    """
    card, curve = checkpoint / "model.json", checkpoint.parent / HISTORY

    def without_curve(content: Any) -> StageResult:
        metrics = {name: float(value) for name, value in content["metrics"].items()}
        made = datetime.datetime.fromtimestamp(card.stat().st_mtime, datetime.UTC)
        return StageResult(
            best_epoch=int(content["epoch"]),
            metrics=metrics,
            score=metrics[monitor],
            finished=_text(made),
            wall_s=None,
            history=(),
        )

    plain = _read(card, without_curve, remove=checkpoint)
    if not curve.exists():
        return plain

    def with_curve(content: Any) -> StageResult:
        return replace(
            plain,
            finished=_text(datetime.datetime.fromisoformat(content["finished"])),
            wall_s=float(content["wall_s"]),
            history=tuple(Epoch(**epoch) for epoch in content["epochs"]),
        )

    return _read(curve, with_curve, remove=curve)


def _read(path: Path, parse: Callable[[Any], StageResult], *, remove: Path) -> StageResult:
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged ({type(error).__name__} {error}); remove {remove}.") from None


def _text(time: datetime.datetime) -> str:
    return time.isoformat(timespec="seconds")
