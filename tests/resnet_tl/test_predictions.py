"""What is kept of predictions says what the metrics say."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl import predictions
from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import CheckpointError
from resnet_tl.metrics import evaluate_many, log_softmax
from resnet_tl.training.seed_run import fit
from tests.conftest import CPU, trial


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 70), st.sampled_from([0.01, 1.0, 60.0, 3e3]))
def test_the_compact_form_has_the_accuracy_and_the_loss_of_the_metrics(
    seed: int, num_classes: int, count: int, scale: float
) -> None:
    draws = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(num_classes), draws.integers(0, num_classes, count)])
    logits = (scale * draws.normal(size=(len(labels), num_classes))).astype(np.float32).astype(np.float64)
    values = evaluate_many(logits[None], labels)
    found = predictions.unpack(predictions.pack(logits, labels))
    assert found.right_N.mean() == values["accuracy"][0]
    assert found.loss_N.mean() == pytest.approx(float(values["loss"][0]), rel=1e-3, abs=1e-7)
    counts_KK, bins_R3 = predictions.confusion_KK(logits, labels), predictions.reliability_R3(logits, labels)
    assert counts_KK.tolist() == reference.confusion_matrix(labels, logits.argmax(1)).tolist()
    assert bins_R3[:, 0].sum() == len(labels)
    assert bins_R3[:, 2].sum() == np.trace(counts_KK)
    assert bins_R3[:, 1].sum() == pytest.approx(np.exp(log_softmax(logits).max(1)).sum())


def test_a_sure_mistake_keeps_its_relative_size() -> None:
    found = predictions.unpack(predictions.pack(np.array([[70.0, 0.0], [0.0, 70.0], [1e9, 0.0]]), np.array([1, 1, 1])))
    assert found.right_N.tolist() == [False, True, False]
    assert found.loss_N.tolist() == pytest.approx([70.0, 0.0, 65504.0])


@pytest.mark.parametrize("changes", [{"head": "mlp_relu"}, {"freeze": "all", "precision": "bf16"}])
@pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")
def test_a_complete_run_keeps_what_its_scores_are_made_of(
    prepared: Prepared, tmp_path: Path, changes: dict[str, object]
) -> None:
    result = fit(trial(**changes), prepared, seed=0, environment=CPU, folder=tmp_path)
    images = prepared.load()
    stored = predictions.read(tmp_path)
    for split in ("val", "test"):
        labels = images.labels_N[images.splits[split]]
        logits = stored[split].astype(np.float64)
        values = evaluate_many(logits[None], labels)
        assert {f"{split}/{name}": float(value_M[0]) for name, value_M in values.items()}.items() <= (
            result.metrics.items()
        )
        assert predictions.pack(logits, labels) == result.compact[split]


def test_a_run_that_diverged_keeps_none(prepared: Prepared, tmp_path: Path) -> None:
    result = fit(trial(lr=1e30), prepared, seed=0, environment=CPU, folder=tmp_path)
    assert result.compact == {}
    assert not (tmp_path / predictions.FILE).exists()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([1e-9, 1e-5, 1e-3, 1.0, 1e5]), st.sampled_from([0.0, 12.0, -7e4, 1e6]))
def test_predictions_of_many_classes_agree_with_the_accuracy(seed: int, scale: float, base: float) -> None:
    draws = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(150), draws.integers(0, 150, 50)])
    logits = base + scale * draws.normal(size=(200, 150)).astype(np.float32).astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        predictions.write(Path(folder), {"val": logits, "test": logits})
        stored = predictions.read(Path(folder))["val"]
    counts_KK = predictions.confusion_KK(stored, labels)
    assert counts_KK.tolist() == predictions.confusion_KK(logits, labels).tolist()
    bins_R3 = predictions.reliability_R3(stored, labels)
    assert bins_R3[:, 2].sum() == np.trace(counts_KK)
    if scale < 1e5:
        assert log_softmax(stored.astype(np.float64)) == pytest.approx(log_softmax(logits), rel=2e-3, abs=2e-3)


def test_logits_of_many_classes_are_stored_in_half_less_the_largest_and_clipped(tmp_path: Path) -> None:
    logits = np.array([[2.0, -1e9, 0.1] + [0.0] * 98])
    predictions.write(tmp_path, {"val": logits, "test": logits})
    found = predictions.read(tmp_path)["test"]
    assert found.dtype == np.float16
    assert found[0, :3].tolist() == [0.0, -65504.0, np.float16(-1.9)]
    predictions.write(tmp_path, {"val": logits[:, :100], "test": logits[:, :100]})
    assert predictions.read(tmp_path)["val"].dtype == np.float32


def test_damaged_files_and_blobs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is missing"):
        predictions.read(tmp_path)
    logits = np.zeros((5, 3))
    path = tmp_path / predictions.FILE
    for wrong, message in (
        ({"val": logits, "test": np.full((5, 3), np.nan)}, "must hold finite logits, but those of test"),
        ({"val": logits, "test": np.zeros((5, 4))}, "with the same classes"),
    ):
        predictions.write(tmp_path, wrong)
        with pytest.raises(CheckpointError, match=message):
            predictions.read(tmp_path)
    predictions.write(tmp_path, {"val": logits, "test": logits})
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"val"', b'"vax"'))
    with pytest.raises(CheckpointError, match="must hold the logits of val and test, but holds"):
        predictions.read(tmp_path)
    for content in (whole[:-3], b"", b"nonsense" * 9):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is damaged"):
            predictions.read(tmp_path)
    blob = predictions.pack(logits, np.zeros(5, dtype=np.int64))
    for content, message in (
        (blob[:-1], "of 5 images must have 19 bytes, but got 18"),
        (b"", "must begin with"),
        (b"x" + blob[1:], "must begin with"),
        (blob[:-2] + np.float16(-1).tobytes(), "finite losses from 0 up"),
    ):
        with pytest.raises(CheckpointError, match=message):
            predictions.unpack(content)


def test_predictions_need_no_torch() -> None:
    code = "import sys, resnet_tl.predictions; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
