"""A pretrain stage that has been trained, as a driver tells a tracker of it."""

from pathlib import Path

from resnet_tl.result import Epoch
from resnet_tl.training.stage import StageResult
from sweeps.tracking.tracker import TrainedStage
from tests.conftest import trial

METRICS = {f"{split}/{name}": 0.25 for split in ("val", "test") for name in ("loss", "accuracy")}


def trained_stage(out: Path, name: str = "drawings", *, num_epochs: int = 2) -> TrainedStage:
    """Args: num_epochs: of its learning curve; 0 for a stage of a version that kept none."""
    network = out / "cache" / name / "checkpoint"
    network.mkdir(parents=True, exist_ok=True)
    (network / "model.json").write_text("{}")
    history = tuple(
        Epoch(epoch=n, lr=0.1 / n, metrics={"train/loss": 1 / n, "val/loss": 2 / n}, wall_s=0.5)
        for n in range(1, num_epochs + 1)
    )
    result = StageResult(
        best_epoch=2, metrics=METRICS, score=0.25, finished="2026-01-01T00:00:10+00:00",
        wall_s=2.5 if history else None, history=history,
    )  # fmt: skip
    return TrainedStage(
        name=name, fingerprint=f"stage of {name}", trial=trial(), seed=7, source="image_folder", data="d1",
        result=result, network=network,
    )  # fmt: skip
