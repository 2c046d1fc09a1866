"""A study that searches `epochs`: what its runs have in common is trained once, and changes no number."""

from pathlib import Path

import pandas as pd

from tests.conftest import Run, write_images

STUDY = """
study:
  name: ends
  question: How long?
  method: grid
  seeds: [0, 1]
  space: {epochs: {values: [3, 1, 2]}}
  tables: [summary]
trial: {backbone: resnet18, weights: none, optimizer: sgd, lr: 1e-2, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
run: {cache: cache, workers: 2}
"""


def test_runs_that_differ_in_epochs_share_their_beginning(tmp_path: Path, run: Run) -> None:
    write_images(tmp_path / "images", count=16)
    (tmp_path / "ends.yaml").write_text(STUDY)
    done = run("sweeps.run", "study=ends.yaml", "run.out=together")
    assert done.returncode == 0, done.stdout + done.stderr
    found = pd.read_csv(tmp_path / "together" / "reports" / "ends.csv")
    assert set(found["state"]) == {"complete"}
    assert len(found) == 6
    assert not list((tmp_path / "together" / "mlruns" / ".work").rglob("state.pt"))
    for epochs in (1, 3):
        alone = run("sweeps.run", "study=ends.yaml", f"study.space={{epochs: {{values: [{epochs}]}}}}", "run.out=alone")
        assert alone.returncode == 0, alone.stdout + alone.stderr
        one = pd.read_csv(tmp_path / "alone" / "reports" / "ends.csv")
        several = found[found["epochs"] == epochs]
        columns = [name for name in one if name.startswith(("val/", "test/")) or name in ("best_epoch", "fingerprint")]
        pd.testing.assert_frame_equal(
            one[columns].reset_index(drop=True), several[columns].reset_index(drop=True), check_exact=True
        )
        (tmp_path / "alone" / "studies.db").unlink()
