"""A stage is trained once, and is known whole or not at all: its network with what its training came to."""

import json
from pathlib import Path

import pytest

from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import CheckpointError
from resnet_tl.result import Epoch
from resnet_tl.training import pretraining
from resnet_tl.training.pretraining import pretrain
from resnet_tl.training.stage import is_made, place, result_of, stage_fingerprint
from tests.conftest import CPU, trial

MONITOR = "val/accuracy"


def made(data: Prepared, cache: Path, epochs: list[Epoch] | None = None) -> Path:
    told = epochs.append if epochs is not None else None
    return pretrain(trial(), data, seed=0, environment=CPU, cache=cache, on_epoch=told)


def test_the_learning_curve_is_kept_beside_the_network_and_found_again(binary: Prepared, tmp_path: Path) -> None:
    epochs: list[Epoch] = []
    checkpoint = made(binary, tmp_path, epochs)
    result = result_of(checkpoint, MONITOR)
    assert result.history == tuple(epochs)
    assert [epoch.epoch for epoch in result.history] == [1, 2]
    assert result.wall_s is not None
    assert result.wall_s >= sum(epoch.wall_s for epoch in epochs)
    selected = result.history[result.best_epoch - 1].metrics
    assert result.score == result.metrics[MONITOR] == selected[MONITOR] == max(e.metrics[MONITOR] for e in epochs)
    assert {"test/accuracy", "test/loss"} <= set(result.metrics)
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == ["checkpoint", "history.json", "lock"]
    assert sorted(path.name for path in checkpoint.iterdir()) == ["model.json", "model.safetensors"]
    again: list[Epoch] = []
    assert made(binary, tmp_path, again) == checkpoint
    assert again == []
    assert result_of(checkpoint, MONITOR) == result


def test_a_stage_of_an_older_version_has_no_curve_and_is_not_trained_again(binary: Prepared, tmp_path: Path) -> None:
    checkpoint = made(binary, tmp_path)
    with_curve = result_of(checkpoint, MONITOR)
    (checkpoint.parent / "history.json").unlink()
    older = result_of(made(binary, tmp_path), MONITOR)
    assert (older.history, older.wall_s) == ((), None)
    assert (older.metrics, older.score, older.best_epoch) == (
        with_curve.metrics, with_curve.score, with_curve.best_epoch,
    )  # fmt: skip
    assert older.finished[:10] == with_curve.finished[:10]


def test_a_stage_that_is_made_has_its_curve_whenever_the_kill_came(
    binary: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = place(stage_fingerprint(trial(), binary, 0, CPU), tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "write_history", killed)
        with pytest.raises(KeyboardInterrupt):
            made(binary, tmp_path)
    assert not is_made(checkpoint)
    assert made(binary, tmp_path) == checkpoint
    assert len(result_of(checkpoint, MONITOR).history) == 2
    assert not (checkpoint.parent / "work").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("history.json", "{"),
        ("history.json", json.dumps({"finished": "today", "wall_s": 1.0, "epochs": []})),
        ("history.json", json.dumps({"finished": "2026-01-01T00:00:00+00:00", "wall_s": 1.0, "epochs": [{"lr": 1}]})),
        ("checkpoint/model.json", json.dumps({"epoch": 1, "metrics": {"val/loss": 0.5}})),
        ("checkpoint/model.json", "[]"),
    ],
)
def test_what_is_damaged_is_named_with_what_to_remove(name: str, content: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "stage" / "checkpoint"
    checkpoint.mkdir(parents=True)
    whole = {"epoch": 1, "metrics": {"val/accuracy": 0.5}}
    (checkpoint / "model.json").write_text(json.dumps(whole))
    (checkpoint.parent / name).write_text(content)
    path = checkpoint.parent / name
    with pytest.raises(CheckpointError, match=r"is damaged \(") as caught:
        result_of(checkpoint, MONITOR)
    assert str(caught.value).startswith(f"{path} is damaged")
    assert str(caught.value).endswith(f"; remove {path if name == 'history.json' else checkpoint}.")
