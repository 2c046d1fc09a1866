"""Pretrain stages as parts of a study: trained once, shown in MLflow and the report, used by name, folder or run."""

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Run, write_images

STUDY = """
study:
  name: small
  question: Does it work?
  method: grid
  seeds: [0]
  space:
    lr: {values: [1e-3, 1e-2]}
  tables: [summary]
trial: {backbone: resnet18, weights: drawings, freeze: all, optimizer: sgd, epochs: 1, batch_size: 8}
data: {source: image_folder, root: images, size: 16}
pretrain:
  drawings:
    trial: {optimizer: sgd, lr: 1e-2, epochs: 2, batch_size: 8}
    data: {source: image_folder, root: images, size: 16, split_seed: 1}
run: {cache: cache, workers: 1}
"""
ROW = "| drawings | resnet18 | image_folder | 24 | 3 | 2 ("


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", size=16)
    (tmp_path / "small.yaml").write_text(STUDY)
    return tmp_path


def query(out: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(out / "mlruns" / "mlflow.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def stage_runs(out: Path, study: str = "small") -> list[tuple[object, ...]]:
    """Id, name, status and number of points on the curve of each run of a stage."""
    return query(
        out,
        "select r.run_uuid, r.name, r.status, (select count(*) from metrics m where m.run_uuid = r.run_uuid and "
        "m.key = 'val/loss') from runs r join tags t on t.run_uuid = r.run_uuid join experiments e on "
        f"e.experiment_id = r.experiment_id where t.key = 'kind' and t.value = 'pretrain stage' and e.name = '{study}'",
    )


def scores(out: Path, name: str = "small") -> pd.DataFrame:
    return pd.read_csv(out / "reports" / f"{name}.csv")[["lr", "seed", "val/loss", "test/loss"]]


def test_a_network_is_used_by_name_by_folder_and_by_run_alike(home: Path, run: Run) -> None:
    by_name = run("sweeps.run", "study=small.yaml")
    assert by_name.returncode == 0, by_name.stderr + by_name.stdout
    ((run_id, name, status, points),) = stage_runs(home)
    assert (name, status, points) == ("pretrain drawings resnet18", "FINISHED", 2)
    (folder,) = (home / "cache" / "pretrained").glob("*/checkpoint")
    by_folder = run("sweeps.run", "study=small.yaml", f"trial.weights={folder}", "run.out=other")
    assert by_folder.returncode == 0, by_folder.stderr + by_folder.stdout
    assert stage_runs(home / "other") == [], "it starts from a file and from no stage"
    assert "Pretrained networks" not in (home / "other" / "reports" / "small.md").read_text()
    words = ["study=small.yaml", "study.name=again", f"trial.weights=runs:/{run_id}"]
    by_run = run("sweeps.run", *words)
    assert by_run.returncode == 0, by_run.stderr + by_run.stdout
    assert "taken over" not in by_run.stdout
    assert (home / "cache" / "runs" / str(run_id) / "model.safetensors").read_bytes() == (
        folder / "model.safetensors"
    ).read_bytes()
    pd.testing.assert_frame_equal(scores(home / "other"), scores(home), check_exact=True)
    pd.testing.assert_frame_equal(scores(home, "again"), scores(home), check_exact=True)


def test_a_stage_is_shown_once_wherever_it_was_trained_and_whatever_was_lost(home: Path, run: Run) -> None:
    down = run("sweeps.run", "study=small.yaml", "run.tracking_uri=http://127.0.0.1:9")
    assert down.returncode == 0, down.stderr
    assert "results are kept in the ledger and sent later" in " ".join(down.stdout.split())
    report = (home / "reports" / "small.md").read_text()
    assert report.count(ROW) == 1
    assert report.index("## Trials by rank") < report.index("## Pretrained networks") < report.index("## What was done")
    assert next(row for row in report.splitlines() if row.startswith(ROW)).endswith(" | 2 |")

    # our own database gets it at the next start, and no start makes a second one
    for _ in range(2):
        later = run("sweeps.run", "study=small.yaml")
        assert later.returncode == 0, later.stderr
        assert "nothing was trained" in later.stdout
        ((first, *_, points),) = stage_runs(home)
        assert points == 2
    # it alone is lost, of a study that has nothing else to send
    with sqlite3.connect(home / "mlruns" / "mlflow.db") as connection:
        for table in ("params", "metrics", "latest_metrics", "tags", "runs"):
            connection.execute(f"delete from {table} where run_uuid = '{first}'")
    connection.close()
    assert run("sweeps.run", "study=small.yaml").returncode == 0
    ((second, *_, points),) = stage_runs(home)
    assert (second != first, points) == (True, 2)

    # another study finds it in the cache, and has a run of its own with the stored curve
    other = run("sweeps.run", "study=small.yaml", "study.name=other", "trial.epochs=2")
    assert other.returncode == 0, other.stderr
    assert "pretraining" not in other.stdout
    ((_, _, status, points),) = stage_runs(home, "other")
    assert (status, points) == ("FINISHED", 2)
    assert len(stage_runs(home)) == 1

    # the table stands in reports from the CSV file alone; what it says outlives the cache
    alone = run("sweeps.report", "results=reports/small.csv", "table=pretrain")
    assert alone.returncode == 0, alone.stderr
    assert ROW in alone.stdout
    (home / "cache").rename(home / "cleared")
    assert run("sweeps.run", "study=small.yaml").returncode == 0
    again = (home / "reports" / "small.md").read_text()
    assert [line for line in again.splitlines() if ROW in line] == [line for line in report.splitlines() if ROW in line]
