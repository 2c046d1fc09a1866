"""The best trials again on fresh seeds, and each option alone: whole studies, run as a user runs them."""

import json
import re
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Run, write_images

STUDY = """
study:
  name: small
  question: Does it work?
  hypotheses:
    - Ten times the rate learns more.
    - {compare: {lr: [1e-3, 1e-2]}, expect: 1e-2}
  method: grid
  direction: maximize
  seeds: [0, 1]
  space:
    lr: {values: [1e-3, 1e-2, 1e-1]}
  tables: [summary, slices]
  figures: [curves, seeds, cost, confusion, reliability]
  confirm: {top: 2, seeds: 3}
trial: {backbone: resnet18, weights: pre, freeze: all, optimizer: sgd, epochs: 3, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
pretrain:
  pre:
    trial: {optimizer: sgd, lr: 1e-2, epochs: 1, batch_size: 8}
    data: {source: image_folder, root: images, size: 32, split_seed: 1}
run: {cache: cache, workers: 2}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_images(tmp_path / "images")
    (tmp_path / "small.yaml").write_text(STUDY)
    return tmp_path


def test_the_best_are_confirmed_on_fresh_seeds_once(home: Path, run: Run) -> None:
    told = run("sweeps.run", "study=small.yaml", "run.dry_run=true")
    assert "then the best 2 run again on 3 fresh seeds (1000 to 1002)" in told.stdout
    done = run("sweeps.run", "study=small.yaml")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "[12/12]" in done.stdout
    frame = pd.read_csv(home / "reports" / "small.csv")
    search, fresh = frame[frame["study"] == "small"], frame[frame["study"] == "small/confirm"]
    assert sorted(search["seed"].unique()) == [0, 1]
    best = search.groupby("trial")["val/accuracy"].mean().sort_values(ascending=False, kind="stable").index[:2]
    assert set(fresh["trial"]) == set(best)
    assert sorted(fresh["seed"]) == [1000, 1000, 1001, 1001, 1002, 1002]

    # Optuna and the rank of a trial know the search alone
    connection = sqlite3.connect(home / "studies.db")
    values = connection.execute(
        "select value from trial_values join trial_user_attributes using (trial_id) where key = 'trial' "
        "order by cast(value_json as integer)"  # Optuna numbers heads that train together as they end
    ).fetchall()
    assert [value for (value,) in values] == pytest.approx(list(search.groupby("trial")["val/accuracy"].mean()))
    report = (home / "reports" / "small.md").read_text()
    for part in (
        "## Hypotheses",
        "## Confirmed on fresh seeds",
        "## Trials by rank",
        "## Pictures",
        "(small.curves.svg)",
    ):
        assert part in report
    assert {p.name for p in (home / "reports").iterdir()} == {
        "small.md", "small.csv", "small.about.json", "small.images.safetensors",
        *(f"small.{kind}.svg" for kind in ("curves", "seeds", "cost", "confusion", "reliability")),
    }  # fmt: skip

    # the pictures are on MLflow, on one run
    tags = sqlite3.connect(home / "mlruns" / "mlflow.db")
    (run_id,) = tags.execute("select run_uuid from tags where key = 'kind' and value = 'report'").fetchone()
    assert len(list((home / "mlruns" / "artifacts" / "small" / run_id / "artifacts").iterdir())) == 6

    # again: nothing is left to do, and the same report comes from the CSV alone
    again = run("sweeps.run", "study=small.yaml")
    assert "nothing was trained" in again.stdout
    assert (home / "reports" / "small.md").read_text() == report
    (home / "elsewhere" / "reports").mkdir(parents=True)
    for name in ("small.csv", "small.about.json", "small.images.safetensors"):
        (home / "elsewhere" / name).write_bytes((home / "reports" / name).read_bytes())
    alone = run("sweeps.report", "results=small.csv", "table=[hypotheses,confirmed,summary]", cwd=home / "elsewhere")
    assert alone.returncode == 0, alone.stderr
    for table in alone.stdout.split("\n\n")[1:-2]:
        assert table in report, table

    # what is asked once the runs have been seen is answered, but not as if it had been asked before
    late = run("sweeps.run", "study=small.yaml", "study.hypotheses=[{compare: {lr: [1e-3, 1e-1]}, expect: 1e-1}]")
    assert "were written or changed on" in late.stdout
    assert "were written or changed on" not in report

    # more fresh seeds extend it; a seed that chose the best cannot confirm them
    more = run("sweeps.run", "study=small.yaml", "study.confirm={top: 2, seeds: 4}")
    assert more.stdout.count("trial ") >= 2
    assert "[14/14]" in more.stdout
    refused = run("sweeps.run", "study=small.yaml", "study.confirm={top: 2, seeds: [1, 7]}")
    assert refused.returncode == 2
    assert "[1] are among `study.seeds`" in refused.stderr

    page = run("sweeps.report", "study=small", "format=html", "figures=all")
    assert page.returncode == 0, page.stderr
    html = (home / "reports" / "small.html").read_text()
    assert html.count("<svg ") == html.count('id="chart-') == 6, "all but two, which need more trials and parameters"
    assert "No picture <code>heatmap</code>" in html
    (needed,) = re.findall(r'data-plotly="([^"]*)"', html)
    assert (home / "reports" / needed).stat().st_size > 1_000_000, "plotly's script stands beside the page"
    assert not re.findall(r"<(?:script|link|img)\b[^>]*(?:src|href)=\"(?!data:)", html), "the page itself needs no file"
    assert len(html) < 1_500_000
    numbers = run("sweeps.report", "study=small", "format=json")
    content = json.loads(numbers.stdout)
    assert content["trials"][0]["scores"]["test/accuracy"]["n"] == 2
    assert content["answers"][0]["verdict"] in ("supported", "contradicted", "undecided")


def test_each_option_is_switched_alone(home: Path, run: Run) -> None:
    space = "{lr: {values: [1e-2, 1e-3]}, momentum: {values: [0.9, 0.0]}, label_smoothing: {values: [0.0, 0.1]}}"
    words = ["study=small.yaml", "study.method=ablation", f"study.space={space}", "study.tables=[ablation]"]
    words += ["study.hypotheses=[]", "study.figures=[]", "study.confirm=null"]
    done = run("sweeps.run", *words)
    assert done.returncode == 0, done.stderr + done.stdout
    frame = pd.read_csv(home / "reports" / "small.csv").drop_duplicates("trial")
    assert frame[["lr", "momentum", "label_smoothing"]].values.tolist() == [
        [0.01, 0.9, 0.0], [0.001, 0.9, 0.0], [0.01, 0.0, 0.0], [0.01, 0.9, 0.1],
    ]  # fmt: skip
    assert "| Label smoothing: 0.1 | 2 |" in done.stdout
    refused = run("sweeps.run", *words[:2], "study.space={lr: {min: 1e-3, max: 1e-2}}", *words[3:])
    assert refused.returncode == 2


def test_studies_on_the_same_images_make_one_table_and_others_are_refused(home: Path, run: Run) -> None:
    base = ["study=small.yaml", "study.hypotheses=[]", "study.figures=[]", "study.confirm=null"]
    run("sweeps.run", *base)
    run("sweeps.run", *base, "study.name=heads", "study.space={head: {values: [linear, mlp_relu]}}", "trial.lr=1e-2")
    run("sweeps.run", *base, "study.name=other", "data.split_seed=5")
    both = run("sweeps.report", "study=[small,heads]")
    assert both.returncode == 0, both.stderr
    assert "| Study | Head | Learning rate | n |" in both.stdout
    assert both.stdout.count("\n| small") == 3, "a trial that both have stands there once"
    assert "small, heads | linear | 1e-2" in both.stdout
    refused = run("sweeps.report", "study=[small,other]")
    assert refused.returncode == 2
    assert "scored on the same test images" in refused.stderr
    assert "data.split_seed" in refused.stderr


def test_runs_on_fresh_seeds_are_counted_from_the_dry_run_to_the_report(home: Path, run: Run) -> None:
    dry = run("sweeps.run", "study=small.yaml", "run.dry_run=true").stdout
    assert "disk: one network for each of 6 seed runs and 6 on fresh seeds to do, about" in dry
    assert "6 seed runs and 6 on fresh seeds in all, 0 done, 12 to do" in dry
    stage = "pretrain pre (resnet18) on image_folder: 24 train images of 3 classes, 1 epoch"
    assert f"{stage}; to be trained first" in dry
    done = run("sweeps.run", "study=small.yaml")
    assert done.returncode == 0, done.stderr + done.stdout
    assert [f"[{number}/12]" in done.stdout for number in range(1, 13)] == [True] * 12
    assert "/6]" not in done.stdout
    (score,) = re.findall(r"pretrain pre: val/accuracy (0\.\d{4})\n", done.stdout)
    report = (home / "reports" / "small.md").read_text()
    assert "3 trials (grid) × 2 seeds; 6 of 6 seed runs and 6 of 6 on fresh seeds done." in report
    assert "`pre` pretrained on image_folder (24 training images; optimizer sgd, " in report
    assert f"; val/accuracy {score})" in report
    dry = run("sweeps.run", "study=small.yaml", "run.dry_run=true").stdout
    assert f"{stage}; trained already: val/accuracy {score}" in dry
    assert "6 seed runs and 6 on fresh seeds in all, 12 done, 0 to do" in dry
    more = run("sweeps.run", "study=small.yaml", "study.confirm={top: 2, seeds: 4}").stdout
    assert re.findall(r"\[\d+/\d+\]", more) == ["[13/14]", "[14/14]"]
    again = run("sweeps.run", "study=small.yaml", "study.confirm={top: 2, seeds: 4}").stdout
    assert "all 6 seed runs and 8 on fresh seeds are done; nothing was trained" in again
    assert "confirmation: 8 of 8 seed runs on fresh seeds" in run("sweeps.status").stdout
