from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from resnet_tl.metrics import MACRO, METRICS, by_class, evaluate_many, log_softmax
from resnet_tl.predictions import confusion_KK


def calibration_error(p: np.ndarray, right: np.ndarray) -> float:
    """By the definition, bin by bin."""
    total = 0.0
    for low in range(10):
        inside = (p.max(1) >= low / 10) & ((p.max(1) < (low + 1) / 10) | (low == 9))
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - p.max(1)[inside].mean())
    return total


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(2, 60), st.booleans())
def test_metrics_agree_with_scikit_learn(seed: int, num_classes: int, count: int, ties: bool) -> None:
    draws = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(num_classes), draws.integers(0, num_classes, count)])
    logits = draws.normal(size=(len(labels), num_classes)).round(1 if ties else 6)
    values = evaluate_many(logits[None], labels)
    got = {name: value_M[0] for name, value_M in values.items()}
    p = torch.tensor(logits).softmax(1).numpy()
    # the same scores to the last bit, so that rounding breaks no tie on one side only
    log_p = log_softmax(logits)
    assert log_p == pytest.approx(torch.tensor(logits).log_softmax(1).numpy())
    predicted = torch.tensor(logits).argmax(1).numpy()
    kwargs = {"average": "macro", "zero_division": 0, "labels": np.arange(num_classes)}
    expected = {
        "loss": reference.log_loss(labels, p, labels=np.arange(num_classes)),
        "accuracy": reference.accuracy_score(labels, predicted),
        "precision": reference.precision_score(labels, predicted, **kwargs),
        "recall": reference.recall_score(labels, predicted, **kwargs),
        "f1": reference.f1_score(labels, predicted, **kwargs),
        "auroc": np.mean([reference.roc_auc_score(labels == k, log_p[:, k]) for k in range(num_classes)]),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "confidence": p[np.arange(len(labels)), labels].mean(),
        "brier": ((np.eye(num_classes)[labels] - p) ** 2).sum(1).mean(),  # theirs has several classes from 1.7 on
        "ece": calibration_error(p, predicted == labels),
    }
    assert got == pytest.approx(expected, abs=1e-6)
    counts_KK = confusion_KK(logits, labels)
    assert counts_KK.tolist() == reference.confusion_matrix(labels, predicted, labels=np.arange(num_classes)).tolist()


def test_a_class_that_is_never_predicted_has_precision_zero() -> None:
    got = evaluate_many(np.array([[[1.0, 0.0], [1.0, 0.0]]]), np.array([0, 1]))
    assert got["precision"] == 0.25
    assert got["auroc"] == 0.5


def test_whatever_is_listed_is_computed_within_its_bounds() -> None:
    draws = np.random.default_rng(0)
    labels = np.arange(30) % 3
    values = evaluate_many(draws.normal(size=(4, 30, 3)), labels)
    assert list(values) == list(METRICS)
    for name, metric in METRICS.items():
        low, high = metric.bounds
        assert metric.name == name
        assert values[name].shape == (4,)
        assert ((low <= values[name]) & (values[name] <= high)).all()


def test_a_better_prediction_scores_better_by_every_metric() -> None:
    labels = np.arange(30) % 3
    right = 5 * np.eye(3)[labels]
    values = evaluate_many(np.stack([right, -right]), labels)
    for name, metric in METRICS.items():
        sign = 1 if metric.better == "max" else -1
        assert sign * values[name][0] > sign * values[name][1], name


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(3, 8), st.integers(1, 40))
def test_classes_that_do_not_occur_are_in_no_average(seed: int, num_classes: int, count: int) -> None:
    draws = np.random.default_rng(seed)
    present = np.sort(draws.permutation(num_classes)[:2])
    labels = np.concatenate([present, draws.choice(present, count)])
    logits = draws.normal(size=(len(labels), num_classes))
    log_p, predicted = log_softmax(logits), logits.argmax(1)
    got = {name: value_M[0] for name, value_M in evaluate_many(logits[None], labels).items()}
    kwargs = {"average": "macro", "zero_division": 0, "labels": present}
    assert got["precision"] == pytest.approx(reference.precision_score(labels, predicted, **kwargs))
    assert got["recall"] == pytest.approx(reference.recall_score(labels, predicted, **kwargs))
    assert got["f1"] == pytest.approx(reference.f1_score(labels, predicted, **kwargs))
    assert got["auroc"] == pytest.approx(np.mean([reference.roc_auc_score(labels == k, log_p[:, k]) for k in present]))
    for values_K in by_class(log_p, predicted, labels).values():
        assert np.flatnonzero(~np.isnan(values_K)).tolist() == present.tolist()


def test_there_is_no_auroc_where_one_class_alone_occurs() -> None:
    values = evaluate_many(np.random.default_rng(0).normal(size=(2, 5, 3)), np.ones(5, dtype=np.int64))
    assert np.isnan(values.pop("auroc")).all()
    assert all(np.isfinite(value_M).all() for value_M in values.values())


def test_ranking_classes_in_parts_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(60) % 7
    logits = np.random.default_rng(0).normal(size=(3, 60, 7)).round(1)
    whole = evaluate_many(logits, labels)["auroc"]
    monkeypatch.setattr("resnet_tl.metrics.AT_ONCE", 3 * 60 * 2)
    assert evaluate_many(logits, labels)["auroc"].tolist() == whole.tolist()


def test_what_a_score_is_stands_in_the_documentation() -> None:
    told = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text()
    for metric in METRICS.values():
        assert f"| {metric.name} | {metric.means} |" in told
    assert MACRO in told
    assert all(("macro average" in metric.means) == (metric.of_class is not None) for metric in METRICS.values())
