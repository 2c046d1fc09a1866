"""What is written many at a time is what MLflow's own client would have written."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from resnet_tl.result import Epoch
from sweeps.definition.plan import Trial
from sweeps.engine.record import Done, Recorder
from sweeps.engine.storage import open_storage
from sweeps.ledger import Ledger, SeedRunRow, create_engine
from tests.conftest import trial

TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")


def row(seed: int) -> SeedRunRow:
    metrics = {f"{split}/{name}": 0.1 + seed for split in ("train", "val", "test") for name in ("loss", "accuracy")}
    history = [
        {"epoch": n, "lr": 0.1 / n, "metrics": {"train/loss": 1 / n, "val/loss": 2 / n}, "wall_s": 0.5} for n in (1, 2)
    ]
    return SeedRunRow(
        study="s", fingerprint="f", seed=seed, state="complete", max_epoch=2, best_epoch=2, metrics=metrics, wall_s=1.5,
        reason=None, started="2026-01-01T00:00:00+00:00", finished="2026-01-01T00:00:10+00:00", commit="abc",
        confusion={"test": [[1, 0], [0, 1]]}, history=history,
    )  # fmt: skip


def content(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of seed runs, without ids and times of writing."""
    engine = create_engine(path)
    found: dict[str, list[dict[str, Any]]] = {}
    with engine.connect() as connection:
        runs = connection.execute(sqlalchemy.text("select run_uuid, name from runs")).mappings()
        names = {run["run_uuid"]: run["name"] for run in runs}
        for table in TABLES:
            rows = []
            for stored in connection.execute(sqlalchemy.text(f"select * from {table}")).mappings():
                values = dict(stored)
                values["run_uuid"] = names[values["run_uuid"]]
                if values.get("key") in ("mlflow.parentRunId", "kind", "mlflow.runName"):
                    values["value"] = "?" if values["key"] == "mlflow.parentRunId" else values["value"]
                for volatile in ("timestamp", "artifact_uri", "start_time", "end_time"):
                    if values["run_uuid"].startswith("trial 0:") or volatile in ("timestamp", "artifact_uri"):
                        values.pop(volatile, None)
                rows.append(values)
            found[table] = sorted(rows, key=repr)
    engine.dispose()
    return found


@pytest.fixture
def planned() -> Trial:
    return Trial(number=0, params={"lr": 0.01}, config=trial(), fingerprint="f")


def recorded(out: Path, cache: Path, planned: Trial, *, shown: bool) -> tuple[dict[str, Any], Ledger]:
    """Two seed runs in a fresh folder; `shown` while they ran, so that the client writes them, or written at once."""
    out.mkdir()
    ledger = open_storage(out)
    warnings: list[str] = []
    recorder = Recorder(
        out=out, cache=cache, tracking_uri=None, study="s", question="?", ledger=ledger, commit="abc",
        warn=warnings.append,
    )  # fmt: skip
    dones = []
    for seed in (0, 1):
        stored = row(seed)
        if shown:
            recorder.started(planned, seed)
            recorder.epochs(planned, seed, [Epoch(**epoch) for epoch in (stored.history or [])[:1]])
        recorder.flush()
        ledger.put([stored])
        folder = out / "work" / str(seed)
        (folder / "checkpoint").mkdir(parents=True)
        (folder / "checkpoint" / "model.json").write_text("{}")
        dones.append(Done(trial=planned, seed=seed, folder=folder, seeds=(0, 1) if seed else ()))
    recorder.finished(dones)
    recorder.flush()
    recorder.close([], interrupted=False)
    assert warnings == []
    return content(out / "mlruns" / "mlflow.db"), ledger


def test_both_ways_leave_the_same_rows_and_files(tmp_path: Path, planned: Trial) -> None:
    quick, ledger = recorded(tmp_path / "quick", tmp_path / "cache", planned, shown=False)
    slow, _ = recorded(tmp_path / "slow", tmp_path / "cache", planned, shown=True)
    for table in TABLES:
        if table == "runs":
            for side in (quick, slow):
                for values in side[table]:
                    values.pop("start_time", None)  # the client's runs began when they were first shown
        assert quick[table] == slow[table], table
    assert len(quick["metrics"]) > 20
    for out in ("quick", "slow"):
        files = sorted(path.name for path in (tmp_path / out / "mlruns" / "artifacts").rglob("*") if path.is_file())
        assert files == ["confusion.json", "confusion.json", "model.json", "model.json"]
    rows = ledger.seed_runs("s")
    assert all(r.tracked and r.checkpoint and Path(r.checkpoint, "model.json").exists() for r in rows)


def test_a_kill_before_the_ledger_knows_changes_nothing_at_the_next_start(tmp_path: Path, planned: Trial) -> None:
    first, ledger = recorded(tmp_path / "out", tmp_path / "cache", planned, shown=False)
    engine = create_engine(tmp_path / "out" / "studies.db")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("update sweeps_seed_runs set tracked = 0, checkpoint = 'gone'"))
    recorder = Recorder(
        out=tmp_path / "out", cache=tmp_path / "cache", tracking_uri=None, study="s", question="?", ledger=ledger,
        commit="abc", warn=print,
    )  # fmt: skip
    dones = [Done(trial=planned, seed=s, folder=tmp_path / "out" / "work" / str(s), seeds=(0, 1)) for s in (0, 1)]
    recorder.close(dones, interrupted=False)
    assert content(tmp_path / "out" / "mlruns" / "mlflow.db") == first
    rows = ledger.seed_runs("s")
    assert all(r.tracked and r.checkpoint and Path(r.checkpoint, "model.json").exists() for r in rows)
