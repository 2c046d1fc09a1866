"""Studies that vary how the images are shown, from the start to the report."""

from pathlib import Path

import pandas as pd

from tests.conftest import Run, write_images

STUDY = """
study:
  name: shown
  question: Does the size matter?
  method: grid
  seeds: [0, 1]
  space:
    lr: {values: [1e-3, 1e-2]}
  tables: [summary]
trial: {backbone: resnet18, weights: pre, freeze: all, optimizer: sgd, epochs: 2, batch_size: 8}
pretrain:
  pre:
    trial: {optimizer: sgd, lr: 1e-2, epochs: 1, batch_size: 8}
    data: {source: image_folder, root: images, size: 32}
data: {source: image_folder, root: images, size: 32}
run: {cache: cache, workers: 2}
"""


def test_sizes_and_balance_are_searched_on_the_same_test_images(tmp_path: Path, run: Run) -> None:
    write_images(tmp_path / "images")
    for number in range(6, 12):
        (tmp_path / "images" / "dots" / f"{number:02}.png").unlink()
    (tmp_path / "shown.yaml").write_text(STUDY)
    first = run("sweeps.run", "study=shown.yaml")
    assert first.returncode == 0, first.stderr + first.stdout
    alone = pd.read_csv(tmp_path / "reports" / "shown.csv")
    assert "size" not in alone

    space = (
        "study.space={lr: {values: [1e-3, 1e-2]}, size: {values: [32, 24]}, balanced: {values: ['off', oversample]}}"
    )
    dry = run("sweeps.run", "study=shown.yaml", space, "run.dry_run=true")
    assert "16 seed runs in all, 4 done, 12 to do" in dry.stdout, dry.stderr
    done = run("sweeps.run", "study=shown.yaml", space)
    assert done.returncode == 0, done.stderr + done.stdout
    grown = pd.read_csv(tmp_path / "reports" / "shown.csv")
    assert len(grown) == 16
    assert sorted(grown.groupby(["size", "balanced"]).size()) == [4, 4, 4, 4]
    # what was there is one of the ways, with the numbers it had
    known = grown[(grown["size"] == 32) & (grown["balanced"] == "off")].reset_index(drop=True)
    assert known[list(alone.columns)].equals(alone)
    scores = grown.pivot(index=["lr", "seed"], columns=["size", "balanced"], values="val/loss")
    assert (scores.nunique(axis=1) == 4).all(), "each way is trained on its own images"
    report = (tmp_path / "reports" / "shown.md").read_text()
    assert "| Learning rate | Size | Balanced |" in report

    # the best network says how it reads images, and does so
    assert "could not be stored" not in done.stdout
    samples = tmp_path / "mlruns" / "best" / "shown" / "samples"
    told = run("resnet_tl.predict", f"checkpoint={samples.parent}", f"images={samples}")
    assert told.returncode == 0, told.stderr

    # the same trial of a study with that presentation alone is taken over
    other = run("sweeps.run", "study=shown.yaml", "study.name=other", "data.balanced=oversample")
    assert "4 seed runs are taken over from other studies" in other.stdout


def test_new_seeds_of_trials_that_were_there_see_the_images_at_their_own_size(tmp_path: Path, run: Run) -> None:
    write_images(tmp_path / "images")
    (tmp_path / "shown.yaml").write_text(STUDY)
    assert run("sweeps.run", "study=shown.yaml", "study.seeds=[0]").returncode == 0
    own = "lr: {values: [1e-3, 1e-2, 1e-1], set: {1e-3: {size: 32}, 1e-2: {size: 32}}}"
    words = ("study=shown.yaml", "data.size=24", "study.seeds=[0,1]", f"study.space={{{own}}}")
    assert run("sweeps.run", *words).returncode == 0
    assert run("sweeps.run", *words, "study.name=fresh", "run.out=elsewhere").returncode == 0
    extended, fresh = (
        pd.read_csv(tmp_path / place / "reports" / f"{name}.csv").drop(columns=["study", "wall_s"])
        for place, name in ((".", "shown"), ("elsewhere", "fresh"))
    )
    pd.testing.assert_frame_equal(extended, fresh)
    assert sorted(extended["size"]) == [24, 24, 32, 32, 32, 32]
