"""Studies scored on images under other conditions, from the start to the report."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from resnet_tl.config import DataConfig
from resnet_tl.inference.evaluate import evaluate
from tests.conftest import Run, write_images

STUDY = """
study:
  name: shifted
  question: Does it hold in the dark?
  method: grid
  seeds: [0, 1, 2]
  space: {freeze: {values: [all, none]}}
trial: {backbone: resnet18, weights: none, optimizer: adam, lr: 3e-3, epochs: 2, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
run: {cache: cache, workers: 2}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", count=16)
    for path in sorted((tmp_path / "images").rglob("*.png")):
        if path.parent.name != "rings":  # a set may lack a class
            dark = tmp_path / "dark" / path.parent.name / path.name
            dark.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(255 - np.asarray(Image.open(path))).save(dark)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def test_other_conditions_have_columns_of_their_own_and_change_nothing_else(home: Path, run: Run) -> None:
    plain = run("sweeps.run", "study=study.yaml", "study.name=plain")
    assert plain.returncode == 0, plain.stderr
    done = run("sweeps.run", "study=study.yaml", "data.shifted={dark: dark}")
    assert done.returncode == 0, done.stderr
    assert "taken over" not in done.stdout, "a set more is other data: its networks are trained with it"
    before, frame = (pd.read_csv(home / "reports" / f"{name}.csv") for name in ("plain", "shifted"))
    same = ["trial", "seed", "best_epoch", *(name for name in before if "/" in name)]
    pd.testing.assert_frame_equal(frame[same], before[same])

    data = DataConfig.model_validate({"source": "image_folder", "root": str(home / "dark")})
    for row in frame.to_dict("records"):
        network = home / "mlruns" / "networks" / "shifted" / f"{row['fingerprint']}-{row['seed']}" / "checkpoint"
        told = evaluate(network, data, split="all")
        for name in ("accuracy", "loss", "f1", "confidence"):
            assert row[f"dark/{name}"] == pytest.approx(told.metrics[f"all/{name}"], abs=2e-6)

    report = (home / "reports" / "shifted.md").read_text()
    assert "## Under other conditions" in report
    assert "Dark acc less that on test (95% CI)" in report
    assert "32 of dark, under other conditions, scored beside test." in report
    assert "1 of 3 classes have no image in dark: rings." in report
    gap = 100 * (frame[frame.trial == 0]["dark/accuracy"] - frame[frame.trial == 0]["test/accuracy"]).mean()
    assert f"{gap:+.2f} [" in report
    table = run("sweeps.report", "results=reports/shifted.csv", "table=shifted")
    again = run("sweeps.report", "study=shifted", "table=shifted")
    assert table.returncode == 0, table.stderr
    assert table.stdout == again.stdout


def test_a_set_more_is_another_study_and_says_so(home: Path, run: Run) -> None:
    first = run("sweeps.run", "study=study.yaml", "study.seeds=[0]", "study.space={freeze: {values: [all]}}")
    assert first.returncode == 0, first.stderr
    told = run("sweeps.run", "study=study.yaml", "data.shifted={dark: dark}")
    assert told.returncode == 2
    assert "images.under other conditions.dark: not set in the ledger, " in told.stderr
    assert "python -m resnet_tl.evaluate checkpoint=" in told.stderr
    folds = run("sweeps.run", "study=study.yaml", "study.name=cut", "data.shifted={dark: dark}", "study.folds=3")
    assert folds.returncode == 2
    assert "`data.shifted` needs splits that are the same for all seeds" in folds.stderr


def test_a_set_without_the_metric_leaves_the_report_whole(home: Path, run: Run) -> None:
    for name in ("dots",):  # one class alone has no AUROC
        (home / "one" / name).mkdir(parents=True)
        for path in sorted((home / "dark" / name).iterdir())[:6]:
            path.rename(home / "one" / name / path.name)
    words = ("study.metric=val/auroc", "study.space={freeze: {values: [all]}}", "data.shifted={one: one}")
    done = run("sweeps.run", "study=study.yaml", *words)
    assert done.returncode == 0, done.stderr
    report = (home / "reports" / "shifted.md").read_text()
    assert "The table shifted needs AUROC on one for every trial" in report
    frame = pd.read_csv(home / "reports" / "shifted.csv")
    assert frame["one/accuracy"].notna().all()
    assert "one/auroc" not in frame


def test_sets_of_one_name_are_compared_where_they_are_the_same(home: Path, run: Run) -> None:
    one = "study.space={freeze: {values: [all]}}"
    (home / "dark").rename(home / "night")
    for name, words in {"first": (), "same": ("trial.lr=1e-2",), "other": ("trial.lr=1e-2",)}.items():
        if name == "other":
            next((home / "night").rglob("*.png")).unlink()
        done = run("sweeps.run", "study=study.yaml", f"study.name={name}", one, "data.shifted={dark: night}", *words)
        assert done.returncode == 0, done.stderr
    plain = run("sweeps.run", "study=study.yaml", "study.name=plain", one, "trial.lr=1e-1")
    assert plain.returncode == 0, plain.stderr
    assert "Dark acc" in run("sweeps.report", "study=[first,same]").stdout
    refused = run("sweeps.report", "study=[first,other]")
    assert refused.returncode == 2
    assert "those called dark differ between first and other" in refused.stderr
    beside = run("sweeps.report", "study=[first,plain]")
    assert beside.returncode == 0, beside.stderr
    assert "The table shifted needs acc on dark for every trial" in beside.stdout
