"""Studies with folds, from the start to the report."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from resnet_tl.metrics import evaluate_many
from resnet_tl.predictions import read
from sweeps.run import main
from tests.conftest import Run, write_images

STUDY = """
study:
  name: folded
  question: Does it work?
  method: grid
  seeds: [0, 1]
  folds: 3
  space:
    lr: {values: [1e-3, 1e-2]}
  tables: [summary, checklist]
trial: {backbone: resnet18, weights: none, freeze: all, optimizer: sgd, epochs: 2, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
run: {cache: cache, workers: 2}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_images(tmp_path / "images")
    (tmp_path / "folded.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_study_with_folds_from_start_to_report(home: Path, run: Run) -> None:
    done = run("sweeps.run", "study=folded.yaml")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Best network" not in done.stdout
    assert "Each seed cut the images into 3 folds anew" in done.stdout
    first = pd.read_csv(home / "reports" / "folded.csv")
    assert first[["trial", "seed", "state"]].values.tolist() == [
        [0, 0, "complete"], [0, 1, "complete"], [1, 0, "complete"], [1, 1, "complete"],
    ]  # fmt: skip
    report = (home / "reports" / "folded.md").read_text()
    assert "36 of 3 classes. Each seed cut all images anew into 3 folds" in report
    assert "2 trials (grid) × 2 seeds × 3 folds; 4 of 4 seed runs done. Epochs are selected by " in report
    assert "from 2 seeds and 36 test images" in report
    assert "Each is 3 fits, one for each fold." in report

    networks = home / "mlruns" / "networks" / "folded"
    images = json.loads((networks / "images.json").read_text())
    assert len(set(images["test"]["names"])) == 36
    assert images["val"] == images["test"]
    labels_N = np.array(images["test"]["labels"])
    for row in first.to_dict("records"):
        (folder,) = networks.glob(f"{row['fingerprint']}-{row['seed']}")
        assert [path.name for path in folder.iterdir()] == ["predictions.safetensors"], "no network is kept"
        for split, logits_NK in read(folder).items():
            scores = evaluate_many(logits_NK.astype(np.float64)[None], labels_N)
            for name, value_M in scores.items():
                assert row[f"{split}/{name}"] == pytest.approx(value_M[0], abs=1e-12)
    assert not (home / "mlruns" / "best").exists()

    again = run("sweeps.run", "study=folded.yaml")
    assert "folded: all 4 seed runs are done; nothing was trained." in again.stdout
    told = run("sweeps.report", "results=reports/folded.csv", "table=summary")
    assert "Each seed cut the images into 3 folds anew" in told.stdout

    more = run("sweeps.run", "study=folded.yaml", "study.seeds=[0,1,2]")
    assert "[6/6]" in more.stdout
    assert "[7/" not in more.stdout
    grown = pd.read_csv(home / "reports" / "folded.csv")
    assert len(grown) == 6
    pd.testing.assert_frame_equal(grown[grown.seed < 2].reset_index(drop=True), first)

    for word, now in (("study.folds=4", "4"), ("study.folds=none", "none")):
        refused = run("sweeps.run", "study=folded.yaml", "study.seeds=[0,1,2]", word)
        assert refused.returncode == 2
        assert f"`study.folds` was 3, but is {now} now." in refused.stderr


def test_a_dry_run_says_what_folds_mean(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study=folded.yaml", "run.dry_run=true"]) == 0
    told = capsys.readouterr().out
    assert "36 images of 3 classes" in told
    assert "3 fits for each seed run" in told
    assert "no network is kept (to get one, run the best configuration without study.folds)" in told
    assert "disk: no network; predictions are kept always, about 3.46 kB in all" in told  # 4 x 2 x 36 x 3 numbers
    assert "test" not in told.splitlines()[3], "one column of images"
    assert not (home / "studies.db").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["study.folds=2"],
            "`study.folds` must be at least 3: one fold is test, one val, and the others train, but got 2",
        ),
        (["study.folds=13"], "but got 13: bars has 12 images"),
        (["data.test_fraction=0.3"], r"`data.test_fraction` must not be given with `study.folds`.*but got 0.3; leave"),
        (["data.val_fraction=0.2"], r"`data.val_fraction` must not be given with `study.folds`"),
    ],
)
def test_folds_that_cannot_be_are_refused(home: Path, run: Run, words: list[str], message: str) -> None:
    done = run("sweeps.run", "study=folded.yaml", *words)
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert not (home / "studies.db").exists()


def test_groups_that_leave_a_class_without_images_to_learn_from_are_refused_before_anything_runs(
    home: Path, run: Run
) -> None:
    draws = np.random.default_rng(0)
    for name, counts in (("a", {"p0": 2, "p2": 5, "p3": 2}), ("b", {"p0": 6, "p1": 7, "p3": 1})):
        (home / "people" / name).mkdir(parents=True)
        for person, count in counts.items():
            for number in range(count):
                pixels = draws.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(home / "people" / name / f"{person}_{number}.png")
    words = ["data.root=people", "data.group_key=(p[0-9])", "study.seeds=[0,1,2,3,4,5]"]
    done = run("sweeps.run", "study=folded.yaml", *words)
    assert done.returncode == 2
    assert re.search(r"Every class must have an image to learn from .* with seed \d .*\n  [ab]: fit", done.stderr)
    assert not (home / "studies.db").exists()


def test_a_share_at_its_default_is_no_share_that_is_given(home: Path) -> None:
    assert main(["study=folded.yaml", "data.val_fraction=0.15", "run.dry_run=true"]) == 0


def test_data_with_splits_is_refused(home: Path, run: Run) -> None:
    for split in ("train", "test"):
        write_images(home / "cut" / split)
    done = run("sweeps.run", "study=folded.yaml", "data.root=cut")
    assert done.returncode == 2
    assert "The data brings its own test, but folds cut all images" in done.stderr


def test_a_stage_that_learns_from_the_same_images_is_warned_of(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trial = "{optimizer: sgd, lr: 1e-2, epochs: 1, batch_size: 8}"
    words = ["study=folded.yaml", "run.dry_run=true", "trial.weights=pre"]
    write_images(home / "others", count=11)
    for root, warned in (("images", True), ("others", False)):
        text = (
            STUDY + f"pretrain: {{pre: {{trial: {trial}, data: {{source: image_folder, size: 32, root: {root}}}}}}}\n"
        )
        (home / "folded.yaml").write_text(text)
        assert main(words) == 0
        assert ("the pretrain stage pre learns from images of this study" in capsys.readouterr().out) is warned
    assert main([*words, "study.folds=none"]) == 0
    assert "learns from images of this study" not in capsys.readouterr().out
