"""The command line that scores a network."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from resnet_tl.metrics import METRICS
from tests.conftest import Run
from tests.resnet_tl.trained import Trained


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(path.open(newline="", encoding="utf-8")))


def test_scores_are_printed_and_stored(three: Trained, run: Run, tmp_path: Path) -> None:
    words = [f"checkpoint={three.checkpoint}", "data.source=image_folder", f"data.root={three.config.root}"]
    done = run("resnet_tl.evaluate", *words, "split=all", "out=scores")
    assert (done.returncode, done.stderr) == (0, "")
    content = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert content["num_images"] == 60
    for name in METRICS:
        assert re.search(rf"^  {name} +{content['metrics'][f'all/{name}']:.4f}$", done.stdout, re.MULTILINE)
    confusion = rows_of(tmp_path / "scores" / "confusion.csv")
    assert confusion[0] == ["true class", "predicted bars", "predicted dots", "predicted rings"]
    counts_KK = np.array([row[1:] for row in confusion[1:]], dtype=int)
    assert counts_KK.sum(1).tolist() == [20, 20, 20]
    assert np.trace(counts_KK) / 60 == pytest.approx(content["metrics"]["all/accuracy"])
    predictions = rows_of(tmp_path / "scores" / "predictions.csv")
    assert predictions[0] == ["image", "true class", "class", "p(bars)", "p(dots)", "p(rings)"]
    assert sum(row[1] == row[2] for row in predictions[1:]) == np.trace(counts_KK)
    assert sum(int(row[2]) for row in rows_of(tmp_path / "scores" / "reliability.csv")[1:]) == 60


def test_all_problems_of_the_options_are_told_at_once(run: Run) -> None:
    done = run("resnet_tl.evaluate", "checkpont=x", "calibrate=1", "data.sorce=image_folder")
    assert done.returncode == 2
    for part in ("`checkpont` is not an option; did you mean `checkpoint`?", "`checkpoint=…` must be given",
                 "`calibrate` must be true or false, but got 1", "did you mean `source`?"):  # fmt: skip
        assert part in done.stderr
