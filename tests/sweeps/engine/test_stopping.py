"""A search that ends when more trials would hardly change the answer, run as a user runs it."""

from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Run, write_images

STUDY = """
study:
  name: ended
  question: Which rate?
  method: METHOD
  trials: 30
  seeds: [0]
  space: {lr: {distribution: log_uniform_values, min: 1e-6, max: 1e-5}}
  stop: {regret: 0.5}
  tables: [summary, checklist]
trial: {backbone: resnet18, weights: pre, freeze: all, optimizer: sgd, epochs: 1, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
pretrain:
  pre:
    trial: {optimizer: sgd, lr: 1e-2, epochs: 1, batch_size: 8}
    data: {source: image_folder, root: images, size: 32, split_seed: 1}
run: {cache: cache, workers: 2}
"""


@pytest.mark.parametrize("method", ["random", pytest.param("bayes", marks=pytest.mark.slow)])
def test_a_search_ends_with_its_reason_and_stays_ended(tmp_path: Path, run: Run, method: str) -> None:
    write_images(tmp_path / "images", count=20)
    (tmp_path / "ended.yaml").write_text(STUDY.replace("METHOD", method))
    done = run("sweeps.run", "study=ended.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    found = pd.read_csv(tmp_path / "reports" / "ended.csv")
    tried = len(found)
    assert tried == 13, "ten are judged, and by then three more are under way"
    report = (tmp_path / "reports" / "ended.md").read_text()
    reason = f"The search ended after {tried} of 30 trials (study.stop)"
    assert reason in done.stdout
    assert reason in report
    assert f"{tried} of {tried} seed runs done" in report

    again = run("sweeps.run", "study=ended.yaml")
    assert "nothing was trained" in again.stdout
    assert (tmp_path / "reports" / "ended.md").read_text() == report

    alone = run("sweeps.run", "study=ended.yaml", "run.out=alone", "run.workers=1")
    assert alone.returncode == 0
    other = pd.read_csv(tmp_path / "alone" / "reports" / "ended.csv")
    pd.testing.assert_frame_equal(found.drop(columns="wall_s"), other.drop(columns="wall_s"), check_exact=True)

    more = run("sweeps.run", "study=ended.yaml", "study.stop=none", "study.trials=15")
    assert more.returncode == 0
    full = pd.read_csv(tmp_path / "reports" / "ended.csv")
    assert len(full) == 15
    assert "The search ended" not in (tmp_path / "reports" / "ended.md").read_text()
