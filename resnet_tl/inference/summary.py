"""An evaluation as a person reads it, and as files.

Axes: K classes, R bins of probability.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_tl.files import write_text
from resnet_tl.inference.evaluate import Evaluation
from resnet_tl.inference.rows import csv_rows, probabilities, probability_columns
from resnet_tl.metrics import METRICS, NUM_BINS

MOST_CLASSES = 30
"""Rows of the table of classes that are printed."""
MOST_CROSSED = 12
"""Classes whose confusion matrix is printed: more columns do not fit a terminal."""


def printed(found: Evaluation) -> str:
    """Scores, classes, confusion matrix and reliability as text."""
    lines = [*found.notes, f"{len(found.names):,} images of {found.split}:"]
    width = max(len(name) for name in METRICS)
    for name in METRICS:
        value = found.metrics.get(f"{found.split}/{name}")
        lines.append(f"  {name:{width}}  {'none' if value is None else f'{value:.4f}'}")
    return "\n".join([*lines, "", *_classes(found), "", *_confusion(found), "", *_reliability(found)])


def _classes(found: Evaluation) -> list[str]:
    by_class = found.by_class
    counts_K = np.bincount(found.labels_N, minlength=len(found.classes))
    occurring = [number for number in range(len(found.classes)) if counts_K[number]]
    rows = [["class", "images", *by_class]] + [
        [
            found.classes[k],
            f"{counts_K[k]:,}",
            *("none" if np.isnan(values_K[k]) else f"{values_K[k]:.4f}" for values_K in by_class.values()),
        ]
        for k in occurring[:MOST_CLASSES]
    ]
    more = len(occurring) - MOST_CLASSES
    return [*_aligned(rows), *([f"… and {more} more classes"] if more > 0 else [])]


def _confusion(found: Evaluation) -> list[str]:
    if len(found.classes) > MOST_CROSSED:
        wrong = found.confusion_KK.copy()
        np.fill_diagonal(wrong, 0)
        pairs = [divmod(int(cell), len(found.classes)) for cell in wrong.ravel().argsort(kind="stable")[::-1][:10]]
        rows = [["true", "predicted", "images"]] + [
            [found.classes[t], found.classes[p], f"{wrong[t, p]:,}"] for t, p in pairs if wrong[t, p]
        ]
        return ["Most frequent confusions:", *_aligned(rows, num_words=2)]
    rows = [["true \\ predicted", *found.classes]]
    rows += [[name, *map(str, row)] for name, row in zip(found.classes, found.confusion_KK.tolist(), strict=True)]
    return _aligned(rows)


def _reliability(found: Evaluation) -> list[str]:
    rows = [["largest probability", "images", "mean", "right"]]
    for low, (count, sure, right) in zip(_bins(), found.reliability_R3.tolist(), strict=True):
        if count:
            rows.append([f"{low:.1f}-{low + 1 / NUM_BINS:.1f}", f"{int(count):,}", f"{sure / count:.3f}",
                         f"{right / count:.3f}"])  # fmt: skip
    return _aligned(rows)


def _bins() -> list[float]:
    return [number / NUM_BINS for number in range(NUM_BINS)]


def _aligned(rows: Sequence[Sequence[str]], *, num_words: int = 1) -> list[str]:
    """Words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:{width}}" if place < num_words else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def write(folder: Path, found: Evaluation, about: dict[str, Any]) -> None:
    """Stores `metrics.json`, `confusion.csv`, `reliability.csv` and `predictions.csv`, each whole or not at all.

    Args:
        about: what was scored, to stand in the JSON file.
    """
    content = about | {
        "split": found.split,
        "num_images": len(found.names),
        "metrics": found.metrics,
        "by_class": {
            metric: {
                name: value for name, value in zip(found.classes, values_K.tolist(), strict=True) if not np.isnan(value)
            }
            for metric, values_K in found.by_class.items()
        },
        "notes": list(found.notes),
    }
    write_text(folder / "metrics.json", json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    with csv_rows(folder / "confusion.csv", ["true class", *(f"predicted {name}" for name in found.classes)]) as rows:
        rows.writerows([name, *row] for name, row in zip(found.classes, found.confusion_KK.tolist(), strict=True))
    header = ["from", "to", "num_images", "mean largest probability", "fraction right"]
    with csv_rows(folder / "reliability.csv", header) as rows:
        for low, (count, sure, right) in zip(_bins(), found.reliability_R3.tolist(), strict=True):
            of_bin = [f"{sure / count:.6g}", f"{right / count:.6g}"] if count else ["", ""]
            rows.writerow([f"{low:.1f}", f"{low + 1 / NUM_BINS:.1f}", int(count), *of_bin])
    with csv_rows(
        folder / "predictions.csv", ["image", "true class", "class", *probability_columns(found.classes)]
    ) as rows:
        for name, label, log_p_K in zip(found.names, found.labels_N.tolist(), found.log_p_NK, strict=True):
            best = found.classes[int(log_p_K.argmax())]
            rows.writerow([name, found.classes[label], best, *probabilities(log_p_K)])
