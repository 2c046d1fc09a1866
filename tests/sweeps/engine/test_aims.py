"""A study with several aims, run as a user runs it."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import optuna
import pandas as pd
import pytest

from tests.conftest import Run, write_images

STUDY = """
study:
  name: aimed
  question: Which head?
  method: grid
  metric: [val/accuracy, trained_parameters]
  seeds: [0, 1]
  space: {head: {values: [linear, mlp_relu]}, lr: {values: [1e-5, 1e-3]}}
  tables: [pareto, summary]
  figures: [pareto]
trial: {backbone: resnet18, weights: pre, freeze: all, optimizer: sgd, epochs: 1, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
pretrain:
  pre:
    trial: {optimizer: sgd, lr: 1e-2, epochs: 1, batch_size: 8}
    data: {source: image_folder, root: images, size: 32, split_seed: 1}
run: {cache: cache, workers: 1}
"""
LINEAR, MLP = "1,539", "132,099"
"""Parameters of heads on 512 features for three classes."""


def record(out: Path) -> optuna.Study:
    return optuna.load_study(study_name="aimed", storage=f"sqlite:///{out / 'studies.db'}")


def test_a_grid_with_several_aims_shows_their_front_and_may_change_them(tmp_path: Path, run: Run) -> None:
    write_images(tmp_path / "images", count=20)
    (tmp_path / "aimed.yaml").write_text(STUDY)
    done = run("sweeps.run", "study=aimed.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    report = (tmp_path / "reports" / "aimed.md").read_text()
    assert "Aims: val/accuracy (more is better), trained_parameters (less is better)." in report
    table = report.split("## Pareto front")[1].split("##")[0]
    assert f"**{LINEAR}** | yes |" in table
    assert f"| {MLP} | " in table
    assert "Front in resamples" in table
    assert "aimed.pareto.svg" in report
    assert (tmp_path / "reports" / "aimed.pareto.svg").exists()
    study = record(tmp_path)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    means = pd.read_csv(tmp_path / "reports" / "aimed.csv").groupby("trial")["val/accuracy"].mean()
    assert {trial.user_attrs["trial"]: trial.values for trial in study.trials} == {
        number: [pytest.approx(means[number], abs=1e-12), [1539.0, 132099.0][number // 2]] for number in range(4)
    }

    read = run("sweeps.report", "results=reports/aimed.csv", "table={pareto: {aims: [val/accuracy, seconds]}}")
    assert read.returncode == 0, read.stdout + read.stderr
    assert "| On the front | Front in resamples |" in read.stdout
    lacking = run("sweeps.report", "results=reports/aimed.csv", "table=pareto")
    assert lacking.returncode == 2
    assert "no trial has trained_parameters, which a CSV file lacks" in lacking.stderr

    more = run("sweeps.run", "study=aimed.yaml", "study.metric=[val/accuracy, seconds, val/loss]")
    assert more.returncode == 0, more.stdout + more.stderr
    assert "nothing was trained" in more.stdout
    about = json.loads((tmp_path / "reports" / "aimed.about.json").read_text())["about"]
    assert (about["metric"], about["aims"]) == ("val/accuracy", ["seconds", "val/loss"])
    assert len(record(tmp_path).directions) == 3

    with contextlib.closing(sqlite3.connect(tmp_path / "studies.db")) as ledger, ledger:  # of before there was a score
        ledger.execute("""UPDATE sweeps_seed_runs SET metrics = json_remove(metrics, '$."val/ece"')""")
    words = ("study=aimed.yaml", "study.space={lr: {values: [1e-3]}}")
    other = run("sweeps.run", *words, "study.name=other", "study.metric=[val/accuracy, val/ece]")
    assert other.returncode == 0, other.stdout + other.stderr
    assert "taken over" not in other.stdout, "they lack one of the aims"
    assert "2 seed runs are taken over" in run("sweeps.run", *words, "study.name=third").stdout


def test_an_aim_that_the_images_cannot_give_is_refused_by_the_dry_run(tmp_path: Path, run: Run) -> None:
    write_images(tmp_path / "images" / "train")
    write_images(tmp_path / "images" / "val", classes=("bars",))
    (tmp_path / "aimed.yaml").write_text(STUDY)
    told = run("sweeps.run", "study=aimed.yaml", "study.metric=[val/accuracy, val/auroc]", "run.dry_run=true")
    assert told.returncode == 2
    assert "`val/auroc` needs images of two classes in val" in told.stderr


@pytest.mark.slow
def test_bayes_with_several_aims_goes_on_as_if_never_stopped_and_keeps_its_aims(tmp_path: Path, run: Run) -> None:
    write_images(tmp_path / "images", count=20)
    text = STUDY.replace("method: grid", "method: bayes\n  trials: 16").replace(
        "{values: [1e-5, 1e-3]}", "{distribution: log_uniform_values, min: 1e-5, max: 1e+76}"
    )
    (tmp_path / "aimed.yaml").write_text(text)
    whole = run("sweeps.run", "study=aimed.yaml", "run.out=whole", "run.workers=2")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    parts = [run("sweeps.run", "study=aimed.yaml", "run.out=parts", "run.max_trials=9") for _ in range(2)]
    assert [part.returncode for part in parts] == [3, 0], parts[-1].stderr
    one, other = (pd.read_csv(tmp_path / out / "reports" / "aimed.csv") for out in ("whole", "parts"))
    pd.testing.assert_frame_equal(one.drop(columns="wall_s"), other.drop(columns="wall_s"), check_exact=True)
    states = {trial.user_attrs["trial"]: trial.state.name.lower() for trial in record(tmp_path / "whole").trials}
    assert states == one.groupby("trial")["trial_state"].first().replace("diverged", "pruned").to_dict()
    assert set(states.values()) == {"complete", "pruned"}, "a rate that high leaves no number"

    timed = text.replace("trained_parameters]", "seconds]").replace("trials: 16", "trials: 12")
    (tmp_path / "timed.yaml").write_text(timed)
    first = run("sweeps.run", "study=timed.yaml", "run.out=kept")
    assert first.returncode == 0, first.stdout + first.stderr
    shutil.copytree(tmp_path / "kept", tmp_path / "anew")
    optuna.delete_study(study_name="aimed", storage=f"sqlite:///{tmp_path / 'anew' / 'studies.db'}")
    for out in ("kept", "anew"):
        more = run("sweeps.run", "study=timed.yaml", "study.trials=16", f"run.out={out}")
        assert more.returncode == 0, more.stdout + more.stderr
    kept, anew = (pd.read_csv(tmp_path / out / "reports" / "aimed.csv") for out in ("kept", "anew"))
    pd.testing.assert_frame_equal(kept.drop(columns="wall_s"), anew.drop(columns="wall_s"), check_exact=True)

    refused = run("sweeps.run", "study=aimed.yaml", "run.out=whole", "study.metric=[val/accuracy, seconds]")
    assert refused.returncode == 2
    assert "`study.metric` was [val/accuracy, trained_parameters], but is [val/accuracy, seconds] now" in refused.stderr
