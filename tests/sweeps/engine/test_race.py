"""A race on seeds, run as a user runs it."""

import json
import sqlite3
from pathlib import Path

import optuna
import pandas as pd
import pytest

from tests.conftest import Run, write_images

STUDY = """
study:
  name: raced
  question: Which rate?
  method: grid
  seeds: [0, 1, 2, 3]
  space:
    lr: {values: [1e-5, 1e-4, 1e-3, 1e-2]}
    momentum: {values: [0.0, 0.9]}
  pruner: {kind: race}
  tables: [summary, flat]
trial: {backbone: resnet18, weights: pre, freeze: all, optimizer: sgd, epochs: 8, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
pretrain:
  pre:
    trial: {optimizer: sgd, lr: 1e-2, epochs: 1, batch_size: 8}
    data: {source: image_folder, root: images, size: 32, split_seed: 1}
run: {cache: cache, workers: 2}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", count=40)
    (tmp_path / "raced.yaml").write_text(STUDY)
    return tmp_path


def frame(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "reports" / "raced.csv")


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    columns = [name for name in one if name not in ("wall_s", "trial_state", "study")]
    pd.testing.assert_frame_equal(
        one[columns].reset_index(drop=True), other[columns].reset_index(drop=True), check_exact=True
    )


def test_what_survives_is_what_runs_without_a_race_and_is_done_once(home: Path, run: Run) -> None:
    told = run("sweeps.run", "study=raced.yaml", "run.dry_run=true")
    assert "race: trials that can hardly win any more get no more seeds" in told.stdout
    done = run("sweeps.run", "study=raced.yaml", "run.out=raced")
    assert done.returncode == 0, done.stdout + done.stderr
    raced = frame(home / "raced")
    assert "over all seeds they can hardly win any more" in done.stdout
    stopped = raced[raced["trial_state"] == "pruned"]["trial"].unique()
    assert len(stopped)
    assert set(raced["state"]) == {"complete"}, "a seed run's state is its own"
    whole = raced[raced["trial_state"] == "complete"]
    assert (whole.groupby("trial").size() == 4).all()
    assert len(raced) < 8 * 4
    report = (home / "raced" / "reports" / "raced.md").read_text()
    assert f"{len(stopped)} of 8 trials were stopped by the race" in report
    assert "(pruned, n=2)" in report
    assert f"{len(raced)} of {len(raced)} seed runs done" in report

    again = run("sweeps.run", "study=raced.yaml", "run.out=raced")
    assert "nothing was trained" in again.stdout
    status = json.loads(run("sweeps.status", "study=raced", "run.out=raced", "format=json").stdout)[0]
    assert sorted(status["stopped"]) == sorted(int(number) for number in stopped)
    assert status["missing"] == 0

    alone = run("sweeps.run", "study=raced.yaml", "run.out=alone", "run.workers=1")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    same(raced, frame(home / "alone"))

    record = optuna.load_study(study_name="raced", storage=f"sqlite:///{home / 'raced' / 'studies.db'}")
    states = {trial.user_attrs["trial"]: trial.state.name for trial in record.trials}
    assert {number for number, state in states.items() if state == "PRUNED"} == set(stopped)
    assert len(states) == 8
    with sqlite3.connect(home / "raced" / "mlruns" / "mlflow.db") as connection:
        assert {row[0] for row in connection.execute("SELECT status FROM runs")} == {"FINISHED"}
    connection.close()

    every = run("sweeps.run", "study=raced.yaml", "study.pruner=none", "run.out=raced")
    assert every.returncode == 0, every.stdout + every.stderr
    full = frame(home / "raced")
    assert len(full) == 8 * 4
    assert set(full["trial_state"]) == {"complete"}
    same(raced, full.merge(raced[["trial", "seed"]]))
    best = full.groupby("trial")["val/accuracy"].mean()
    assert best.max() - best[whole["trial"].unique()].max() <= 0.003


@pytest.mark.slow
def test_a_limit_holds_a_race_up_and_more_seeds_open_it_again(home: Path, run: Run) -> None:
    held = run("sweeps.run", "study=raced.yaml", "run.out=held", "run.max_trials=3")
    assert held.returncode == 3, held.stdout + held.stderr
    part = frame(home / "held")
    assert sorted(part["seed"].unique()) == [0], "nobody is judged before all trials have their first seed"
    assert set(part["trial_state"]) == {"incomplete"}
    assert run("sweeps.run", "study=raced.yaml", "run.out=held").returncode == 0
    assert run("sweeps.run", "study=raced.yaml", "run.out=whole").returncode == 0
    same(frame(home / "held"), frame(home / "whole"))

    seeds = "study.seeds=[0,1,2,3,4,5]"
    assert run("sweeps.run", "study=raced.yaml", seeds, "run.out=held").returncode == 0
    assert run("sweeps.run", "study=raced.yaml", seeds, "run.out=anew").returncode == 0
    more, anew = frame(home / "held"), frame(home / "anew")
    same(anew, more.merge(anew[["trial", "seed"]]))
    left = set(anew[anew["trial_state"] == "complete"]["trial"])
    assert left == set(more[more["trial_state"] == "complete"]["trial"])


@pytest.mark.slow
def test_random_points_race_too_and_winners_are_confirmed(home: Path, run: Run) -> None:
    words = [
        "study.method=random",
        "study.trials=6",
        "study.space={lr: {distribution: log_uniform_values, min: 1e-5, max: 0.1}}",
        "study.confirm={top: 2, seeds: 2}",
    ]
    done = run("sweeps.run", "study=raced.yaml", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    found = frame(home)
    search, fresh = found[found["study"] == "raced"], found[found["study"] != "raced"]
    assert search["trial"].nunique() == 6
    whole = search[search["trial_state"] == "complete"]
    means = whole.groupby("trial")["val/accuracy"].mean().sort_values(ascending=False, kind="stable")
    assert set(fresh["trial"]) == set(means.index[:2])
    assert "nothing was trained" in run("sweeps.run", "study=raced.yaml", *words).stdout
