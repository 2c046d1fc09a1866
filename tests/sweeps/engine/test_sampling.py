"""What a sampler is told of a whole study, run as a user runs it."""

import shutil
from pathlib import Path

import optuna
import pandas as pd
import pytest

from tests.conftest import Run

STUDY = """
study:
  name: sampled
  question: Which rate?
  method: bayes
  metric: val/accuracy
  seeds: [0]
  trials: 12
  space:
    lr: {distribution: log_uniform_values, min: 1e-3, max: 1e+76}
    momentum: {min: 0.0, max: 0.9}
trial: {backbone: resnet18, weights: none, freeze: all, optimizer: sgd, epochs: 2, batch_size: 64}
data: {source: digits, size: 32}
run: {cache: cache}
"""


def record(out: Path) -> optuna.Study:
    return optuna.load_study(study_name="sampled", storage=f"sqlite:///{out / 'studies.db'}")


def frame(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "reports" / "sampled.csv")


@pytest.mark.slow
def test_with_more_seeds_it_proposes_what_a_record_made_anew_from_the_ledger_would(tmp_path: Path, run: Run) -> None:
    (tmp_path / "sampled.yaml").write_text(STUDY)
    first = run("sweeps.run", "study=sampled.yaml", "run.out=kept")
    assert first.returncode == 0, first.stdout + first.stderr
    states = {trial.user_attrs["trial"]: trial.state.name.lower() for trial in record(tmp_path / "kept").trials}
    told = frame(tmp_path / "kept")["state"].replace("diverged", "pruned")
    assert states == dict(enumerate(told)), "every trial is there once, and nothing else"
    assert set(states.values()) == {"complete", "pruned"}
    curve = next(t for t in record(tmp_path / "kept").trials if t.state.name == "COMPLETE").intermediate_values
    assert list(curve) == [1, 2]

    shutil.copytree(tmp_path / "kept", tmp_path / "anew")
    optuna.delete_study(study_name="sampled", storage=f"sqlite:///{tmp_path / 'anew' / 'studies.db'}")
    for out in ("kept", "anew"):
        more = run("sweeps.run", "study=sampled.yaml", "study.seeds=[0,1]", "study.trials=15", f"run.out={out}")
        assert more.returncode == 0, more.stdout + more.stderr
    kept, anew = (frame(tmp_path / out) for out in ("kept", "anew"))
    pd.testing.assert_frame_equal(kept.drop(columns="wall_s"), anew.drop(columns="wall_s"), check_exact=True)
    means = kept[kept["state"] == "complete"].groupby("trial")["val/accuracy"].mean()
    best = record(tmp_path / "kept").best_trial
    assert best.value == pytest.approx(means.max(), abs=1e-12)
    assert means[best.user_attrs["trial"]] == means.max()


@pytest.mark.slow
def test_points_that_are_no_valid_trials_end_no_study_and_are_counted(tmp_path: Path, run: Run) -> None:
    text = STUDY.replace("epochs: 2, batch_size: 64", "patience: null")
    (tmp_path / "sampled.yaml").write_text(text)
    space = "warmup_epochs: {min: 0, max: 1}, epochs: {min: 1, max: 2}, lr: {min: 0.001, max: 0.1}"
    space += ", batch_size: {distribution: log_uniform_values, min: 32, max: 64}"
    words = ["study=sampled.yaml", "study.method=random", "study.trials=8", f"study.space={{{space}}}"]
    done = run("sweeps.run", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is no valid trial and is passed over" in done.stdout
    rows = frame(tmp_path)
    assert len(rows) == 8
    assert (rows["warmup_epochs"] < rows["epochs"]).all()
    assert rows["batch_size"].dtype.kind == "i"
    assert "broke a rule between parameters" in (tmp_path / "reports" / "sampled.md").read_text()
