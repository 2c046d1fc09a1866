"""Rungs within a run, run as a user runs them."""

import json
import sqlite3
from pathlib import Path

import optuna
import pandas as pd
import pytest

from tests.conftest import Run, write_images
from tests.sweeps.engine.test_race import same

STUDY = """
study:
  name: laddered
  question: Which rate?
  method: grid
  seeds: [0, 1, 2]
  space:
    lr: {values: [1e-5, 1e-4, 1e-3, 1e-2]}
    momentum: {values: [0.0, 0.9]}
  pruner: {kind: rungs, min_epochs: 1, eta: 3}
  tables: [summary, flat]
trial: {backbone: resnet18, weights: pre, freeze: layer3, optimizer: sgd, epochs: 4, batch_size: 8}
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
    (tmp_path / "laddered.yaml").write_text(STUDY)
    return tmp_path


def frame(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "reports" / "laddered.csv")


@pytest.mark.parametrize(
    ("freeze", "rungs", "left"),
    [
        ("layer3", "{kind: rungs, min_epochs: 1, eta: 3}", [1, 3]),
        pytest.param("all", "{kind: rungs, epochs: [2], keep: 3, seeds: 2}", [2], marks=pytest.mark.slow),
        pytest.param("none", "[{kind: race}, {kind: rungs, eta: 2}]", [1, 2], marks=pytest.mark.slow),
    ],
)
def test_what_passes_is_what_trains_without_rungs(
    home: Path, run: Run, freeze: str, rungs: str, left: list[int]
) -> None:
    plain = ["study=laddered.yaml", f"trial.freeze={freeze}"]
    words = [*plain, f"study.pruner={rungs}"]
    told = run("sweeps.run", *words, "run.dry_run=true")
    assert "training states that wait at rungs take up to" in told.stdout
    assert f"after epoch {left[0]} the best 3 go on" in told.stdout or "the best 4 go on" in told.stdout, told.stdout
    done = run("sweeps.run", *words, "run.out=out")
    assert done.returncode == 0, done.stdout + done.stderr
    found = frame(home / "out")
    pruned = found[found["state"] == "pruned"]
    assert len(pruned)
    assert set(pruned["max_epoch"]) <= set(left)
    assert set(pruned["trial_state"]) == {"pruned"}
    assert pruned["test/accuracy"].isna().all(), "test is looked at with the selected network alone"
    assert pruned["val/accuracy"].notna().all()
    assert not list((home / "out" / "mlruns" / ".work").rglob("state.pt")), "training states of stopped runs are gone"
    report = (home / "out" / "reports" / "laddered.md").read_text()
    assert "were stopped at a rung" in report
    assert f"(pruned, epoch {left[0]})" in report or "| pruned |" in report
    assert f"{len(found)} of {len(found)} seed runs done" in report

    again = run("sweeps.run", *words, "run.out=out")
    assert "nothing was trained" in again.stdout
    status = json.loads(run("sweeps.status", "study=laddered", "run.out=out", "format=json").stdout)[0]
    assert sorted(status["stopped"]) == sorted(found[found["trial_state"] == "pruned"]["trial"].unique())
    assert status["missing"] == 0
    assert status["pruned"] == len(pruned)

    record = optuna.load_study(study_name="laddered", storage=f"sqlite:///{home / 'out' / 'studies.db'}")
    assert len(record.trials) == 8
    assert {t.user_attrs["trial"] for t in record.trials if t.state.name == "PRUNED"} == set(status["stopped"])
    with sqlite3.connect(home / "out" / "mlruns" / "mlflow.db") as connection:
        assert {row[0] for row in connection.execute("SELECT status FROM runs")} == {"FINISHED"}
    connection.close()

    straight = run("sweeps.run", *plain, "study.pruner=none", "run.out=straight", "run.workers=1")
    assert straight.returncode == 0, straight.stdout + straight.stderr
    full = frame(home / "straight")
    assert len(full) == 8 * 3
    whole = found[found["state"] == "complete"]
    same(whole, full.merge(whole[["trial", "seed"]]))


@pytest.mark.slow
def test_without_the_pruner_what_was_stopped_goes_on_to_the_end(home: Path, run: Run) -> None:
    assert run("sweeps.run", "study=laddered.yaml", "run.out=out").returncode == 0
    every = run("sweeps.run", "study=laddered.yaml", "study.pruner=none", "run.out=out")
    assert every.returncode == 0, every.stdout + every.stderr
    assert run("sweeps.run", "study=laddered.yaml", "study.pruner=none", "run.out=straight").returncode == 0
    full = frame(home / "out")
    assert len(full) == 8 * 3
    assert set(full["state"]) == {"complete"}
    same(full, frame(home / "straight"))


@pytest.mark.slow
def test_any_number_of_workers_stops_the_same_trials(home: Path, run: Run) -> None:
    words = ["study=laddered.yaml", "study.pruner=[{kind: rungs, eta: 2}, {kind: race}]"]
    for many in (1, 3):
        assert run("sweeps.run", *words, f"run.out=out{many}", f"run.workers={many}").returncode == 0
    same(frame(home / "out1"), frame(home / "out3"))


def test_a_limit_between_two_rungs_changes_nothing(home: Path, run: Run) -> None:
    held = run("sweeps.run", "study=laddered.yaml", "run.out=held", "run.max_trials=5")
    assert held.returncode == 3, held.stdout + held.stderr
    assert run("sweeps.status", "study=laddered", "run.out=held").returncode == 0
    assert list((home / "held" / "mlruns" / ".work").rglob("state.pt")), "what waits at a rung can go on"
    assert not (home / "held" / "reports" / "laddered.csv").exists(), "what waits at a rung is no result"
    assert run("sweeps.run", "study=laddered.yaml", "run.out=held").returncode == 0
    assert run("sweeps.run", "study=laddered.yaml", "run.out=whole").returncode == 0
    same(frame(home / "held"), frame(home / "whole"))


@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.ray])])
def test_a_bayesian_search_judges_its_trials_one_by_one(home: Path, run: Run, executor: str) -> None:
    words = [
        "study=laddered.yaml",
        "study.method=bayes",
        "study.trials=9",
        "study.seeds=[0,1]",
        "study.space={lr: {distribution: log_uniform_values, min: 1e-6, max: 0.1}}",
    ]
    told = run("sweeps.run", *words, "run.dry_run=true").stdout
    assert "after epochs 1, 3 a trial goes on if it is among the best 1/3 of itself and those" in told
    assert "training states that wait at rungs take up to" in told
    done = run("sweeps.run", *words, "run.out=out", f"run.executor={executor}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = frame(home / "out")
    assert found["trial"].nunique() == 9
    assert (found["state"] == "pruned").any()
    whole = found[found["trial_state"] == "complete"]
    assert (whole.groupby("trial").size() == 2).all()
    assert not list((home / "out" / "mlruns" / ".work").rglob("state.pt"))
    assert "nothing was trained" in run("sweeps.run", *words, "run.out=out").stdout

    assert run("sweeps.run", *words, "run.out=held", "run.max_trials=5", "run.workers=1").returncode == 3
    assert run("sweeps.run", *words, "run.out=held", "run.workers=1").returncode == 0
    same(found, frame(home / "held"))


def test_what_another_study_has_done_stops_and_names_the_same_trials(home: Path, run: Run) -> None:
    one = ["study=laddered.yaml", "study.seeds=[0]"]
    assert run("sweeps.run", *one, "study.name=other", "study.pruner=none", "run.out=out").returncode == 0
    taken = run("sweeps.run", *one, "run.out=out")
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert "seed runs are taken over from other studies" in taken.stdout
    assert run("sweeps.run", *one, "run.out=fresh").returncode == 0
    same(frame(home / "out"), frame(home / "fresh"))
    assert set(frame(home / "out")["trial_state"]) == {"pruned", "complete"}


def test_who_is_stopped_is_written_down_by_the_next_start_where_a_kill_came_between(home: Path, run: Run) -> None:
    assert run("sweeps.run", "study=laddered.yaml", "study.seeds=[0]").returncode == 0
    whole = frame(home)
    with sqlite3.connect(home / "studies.db") as connection:
        connection.execute("UPDATE sweeps_seed_runs SET state = 'paused' WHERE state = 'pruned' AND max_epoch = 1")
    connection.close()
    again = run("sweeps.run", "study=laddered.yaml", "study.seeds=[0]")
    assert again.returncode == 0, again.stdout + again.stderr
    same(whole, frame(home))
