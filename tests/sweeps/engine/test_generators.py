"""Studies with generated training images, from the dry run to the report."""

import json
from pathlib import Path

import pandas as pd
import pytest

from sweeps.definition.compose import compose
from sweeps.engine.prepared_study import PreparedStudy, prepare_study
from tests.conftest import Run, write_images

STUDY = """
study:
  name: made
  question: Do generated images help?
  method: ablation
  seeds: [0, 1]
  space:
    synthetic: {values: [0, 0.5]}
  tables: [ablation, summary]
trial: {backbone: resnet18, weights: none, freeze: all, optimizer: sgd, lr: 1e-2, epochs: 2, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
run: {cache: cache, workers: 2}
"""
SHORT = "data.synthetic={share: 0.25, steps: 3}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_images(tmp_path / "images")
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def test_a_share_of_generated_images_is_a_row_of_an_ablation(home: Path, run: Run) -> None:
    dry = run("sweeps.run", "study=study.yaml", SHORT, "run.dry_run=true")
    assert dry.returncode == 0, dry.stderr
    said = "generator on 24 train images of 3 classes at 32×32 pixels, 3 steps, seed 0; to be trained first"
    assert dry.stdout.count(said) == 1
    assert not (home / "cache" / "synthetic").exists()

    done = run("sweeps.run", "study=study.yaml", SHORT)
    assert done.returncode == 0, done.stderr + done.stdout
    (folder,) = (home / "cache" / "synthetic").iterdir()
    assert f"generated images beside real ones: {folder / 'sheet.png'}" in done.stdout
    assert (folder / "sheet.png").exists()
    frame = pd.read_csv(home / "reports" / "made.csv")
    assert sorted(frame["synthetic"]) == [0, 0, 0.5, 0.5]
    scores = frame.pivot(index="seed", columns="synthetic", values="val/loss")
    assert (scores[0.0] != scores[0.5]).all()

    # the row without is the network of a study that knows of none
    plain = run("sweeps.run", "study=study.yaml", "study.name=plain", "study.space={lr: {values: [1e-2]}}", "~trial.lr")
    assert "2 seed runs are taken over from other studies" in plain.stdout, plain.stderr
    # and the row with is that of a study of that share alone
    own = run(
        "sweeps.run", "study=study.yaml", "study.name=own", "study.space={lr: {values: [1e-2]}}", "~trial.lr",
        "data.synthetic={share: 0.5, steps: 3}",
    )  # fmt: skip
    assert "2 seed runs are taken over from other studies" in own.stdout, own.stderr
    assert "synthetic 0.5" in (home / "reports" / "own.md").read_text()

    again = run("sweeps.run", "study=study.yaml", SHORT, "study.seeds=[0,1,2]")
    assert again.returncode == 0, again.stderr
    assert "training a generator" not in again.stdout
    dry = run("sweeps.run", "study=study.yaml", SHORT, "study.seeds=[0,1,2]", "run.dry_run=true")
    assert f"trained already: {folder / 'sheet.png'}" in dry.stdout

    # members that draw their own training images know none that are generated
    (home / "own.yaml").write_text(
        STUDY.replace("name: made", "name: own").replace("synthetic: {values: [0, 0.5]}", "lr: {values: [1e-2]}")
        .replace(" lr: 1e-2,", "").replace("size: 32}", "size: 32, synthetic: {share: 0.5, steps: 3}}")
    )  # fmt: skip
    bagging = run("sweeps.ensemble", "study=own.yaml", "method=bagging")
    assert bagging.returncode == 2
    assert "that trial must have no generated images (`data.synthetic`), but trial 0 has" in bagging.stderr


def prepared(home: Path, *words: str) -> PreparedStudy:
    given = [
        "study=quickstart", "study.name=s", "data.source=image_folder", f"data.root={home / 'images'}", "data.size=32",
        "study.hypotheses=[]", "trial.weights=none", "study.method=grid", "study.tables=[summary]", "study.seeds=[0]",
        f"run.cache={home / 'cache'}", f"run.out={home}", "study.figures=[]",
    ]  # fmt: skip
    return prepare_study(compose([*given, *words]), None)


def test_other_shares_and_crops_have_one_generator_and_sizes_one_each(home: Path) -> None:
    space = "study.space={synthetic: {values: [0, 0.3, 0.5]}, size: {values: [32, 24]}, crop: {values: [24, 16]}}"
    study = prepared(home, space, "trial.lr=1e-2")
    made = study.generated(trial.config for trial in study.plan.trials)
    assert sorted(data.size for data in made) == [(24, 24), (32, 32)]
    assert len({trial.fingerprint for trial in study.plan.trials}) == 12
    assert study.data.generated is None
    splits = {json.dumps(study.data_of(trial.config).table["test"]) for trial in study.plan.trials}
    assert len(splits) == 1


def test_the_splits_and_the_names_of_the_images_are_those_without(home: Path) -> None:
    fixed = prepared(home, "study.space={lr: {values: [1e-2]}}", SHORT)
    plain = prepared(home, "study.space={lr: {values: [1e-2]}}")
    assert fixed.data == plain.data
    (one,), (other,) = fixed.plan.trials, plain.plan.trials
    assert one.fingerprint != other.fingerprint
    assert fixed.data_of(one.config).test_name == plain.data.test_name


def test_sets_under_other_conditions_may_stand_beside(home: Path) -> None:
    write_images(home / "dark", size=40)
    study = prepared(
        home, "study.space={synthetic: {values: [0, 0.5]}}", "trial.lr=1e-2", f"data.shifted={{dark: {home / 'dark'}}}"
    )
    for trial in study.plan.trials:
        assert study.data_of(trial.config).scored == ("val", "test", "dark")
