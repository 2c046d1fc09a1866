"""Trials that train their head alone first, run as a user runs them."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Run, write_images
from tests.sweeps.engine.test_race import same
from tests.sweeps.engine.test_run import flip

STUDY = """
study:
  name: probed
  question: Does it help to train the head first?
  method: grid
  seeds: [0, 1]
  space:
    head_epochs: {values: [0, 2]}
    freeze: {values: [none, layer3]}
  tables: [flat]
trial: {backbone: resnet18, weights: pre, optimizer: sgd, lr: 1e-2, epochs: 2, batch_size: 8, augment: hflip}
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
    (tmp_path / "probed.yaml").write_text(STUDY)
    return tmp_path


def frame(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "reports" / "probed.csv")


def test_both_phases_train_on_stored_features_to_the_same_bits(home: Path, run: Run) -> None:
    told = run("sweeps.run", "study=probed.yaml", "run.dry_run=true").stdout
    # 1,539 of the head of three classes; 2 trials x 2 seeds x 2 epochs x (24 of train + 6 of val)
    rows = [line.split() for line in told.splitlines()]
    assert [row[-1] for row in rows if row[:1] == ["trial"]], told
    assert any("2+2" in row and "1,539," in row and "11,178,051" in row for row in rows), told
    assert any("2" in row and "1,539," not in row and "11,178,051" in row for row in rows), told
    assert "resnet18 up to pool, fp32: 4 seed runs would send 240 images through it; instead 60 go through" in told
    done = run("sweeps.run", "study=probed.yaml", "run.out=once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resnet18 up to pool" in done.stdout
    assert "computing once" in done.stdout
    found = frame(home / "once")
    assert len(found) == 8
    assert set(zip(found["head_epochs"], found["max_epoch"], strict=True)) == {(0, 2), (2, 4)}
    assert "Head epochs" in (home / "once" / "reports" / "probed.md").read_text()
    plain = run("sweeps.run", "study=probed.yaml", "run.out=plain", "run.reuse=off", "run.workers=1")
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert "computing once" not in plain.stdout
    same(frame(home / "plain"), found)

    # what is wrong in spite of a right hash is found by training on it, before any result is believed
    for table in (home / "cache" / "features").glob("*/features.json"):
        content = json.loads(table.read_text())
        if content["shape"][1:] == [512]:  # of the whole backbone
            flip(table.with_name("outputs.bin"))
            content["sha256"] = hashlib.sha256(table.with_name("outputs.bin").read_bytes()).hexdigest()
            table.write_text(json.dumps(content))
    wrong = run("sweeps.run", "study=probed.yaml", "run.out=wrong")
    assert wrong.returncode == 2
    assert "the stored outputs of resnet18 up to pool, fp32 must give the same bits" in wrong.stderr


@pytest.mark.slow
def test_what_passes_rungs_in_either_phase_is_what_trains_without(home: Path, run: Run) -> None:
    plain = [
        "study=probed.yaml",
        "~trial.lr",
        "study.space={head_epochs: {values: [2]}, lr: {values: [1e-5, 1e-4, 1e-3, 1e-2]}}",
    ]
    words = [*plain, "trial.freeze=layer3", "study.pruner={kind: rungs, epochs: [1, 3], eta: 1.5}"]
    told = run("sweeps.run", *words, "run.dry_run=true").stdout
    assert "after epoch 1 the best" in told
    assert "after epoch 3 the best" in told
    held = run("sweeps.run", *words, "run.out=rungs", "run.max_trials=3")
    assert held.returncode == 3, held.stdout + held.stderr
    done = run("sweeps.run", *words, "run.out=rungs")
    assert done.returncode == 0, done.stdout + done.stderr
    straight = run("sweeps.run", *plain, "trial.freeze=layer3", "run.out=straight", "run.workers=1")
    assert straight.returncode == 0, straight.stdout + straight.stderr
    found, full = frame(home / "rungs"), frame(home / "straight")
    assert len(found[found["state"] == "pruned"])
    whole = found[found["state"] == "complete"]
    same(whole, full.merge(whole[["trial", "seed"]]))


def test_where_the_head_is_all_that_trains_there_is_one_phase(home: Path, run: Run) -> None:
    wrong = run(
        "sweeps.run", "study=probed.yaml", "study.space={freeze: {values: [layer3, all]}}", "trial.head_epochs=2"
    )
    assert wrong.returncode == 2
    assert "`head_epochs` must be 0 where all of the backbone is frozen" in wrong.stderr
    space = "study.space={freeze: {values: [layer3, all]}, head_epochs: {values: [0, 2], when: {freeze: layer3}}}"
    right = run("sweeps.run", "study=probed.yaml", space, "run.dry_run=true")
    assert right.returncode == 0, right.stderr
    assert sum(line.strip()[:1].isdigit() and " of 2" in line for line in right.stdout.splitlines()) == 3
