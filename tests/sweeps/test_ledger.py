import dataclasses
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy.exc

from sweeps.engine.storage import open_storage
from sweeps.ledger import Ledger, LedgerError, SeedRunRow, StudyRow, TrialRow, create_tables

ROW = SeedRunRow(
    study="s", fingerprint="f", seed=0, state="complete", max_epoch=3, best_epoch=2, metrics={"val/accuracy": 0.5},
    wall_s=1.5, reason=None, started="2026-01-01T00:00:00+00:00", finished="2026-01-01T00:00:02+00:00", commit=None,
    confusion={"test": [[1, 0], [0, 1]]}, history=[{"epoch": 1}],
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_storage(tmp_path)


def test_a_seed_run_stands_once_for_each_study(ledger: Ledger) -> None:
    ledger.put([ROW])
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        ledger.put([ROW])
    ledger.put([dataclasses.replace(ROW, study="t")])
    assert ledger.seed_runs("s", heavy=True) == [ROW]


def test_a_failed_run_is_replaced_and_a_result_never_is(ledger: Ledger) -> None:
    ledger.put([dataclasses.replace(ROW, state="failed", metrics={}, best_epoch=None)])
    assert ledger.find("f", 0) is None, "a failure is no result to take over"
    ledger.put([ROW])
    assert [run.state for run in ledger.seed_runs("s")] == ["complete"]
    assert ledger.find("f", 0) == ROW
    assert ledger.find("f", 1) is None


def test_numbers_that_are_not_finite_never_get_in(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="JSON"):
        ledger.put([dataclasses.replace(ROW, metrics={"val/loss": float("nan")})])
    assert ledger.seed_runs("s") == []


def test_studies_and_trials_come_back_as_they_were(ledger: Ledger) -> None:
    study = StudyRow(name="s", created="2026", identity={"a": [1]}, description={}, threads=1, device="cpu")
    ledger.put_study(study)
    ledger.put_study(dataclasses.replace(study, description={"question": "?"}))
    assert ledger.study("s") == dataclasses.replace(study, description={"question": "?"})
    trial = TrialRow(number=0, fingerprint="f", params={"lr": 1e-3}, config={"lr": 1e-3})
    ledger.put_trials("s", [trial])
    ledger.set_params("s", {0: {"lr": 1e-3, "momentum": 0.9}})
    assert ledger.trials("s") == [dataclasses.replace(trial, params={"lr": 1e-3, "momentum": 0.9})]
    assert ledger.trials("t") == []


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_bytes(b"nonsense" * 100)
    with pytest.raises(LedgerError, match="must be a ledger of this program"):
        Ledger(tmp_path / "studies.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(LedgerError, match="must be a ledger of this program"):
        Ledger(tmp_path / "empty.db")
    open_storage(tmp_path / "other").put_study(
        StudyRow(name="s", created="", identity={}, description={}, threads=1, device="cpu")
    )
    connection = sqlite3.connect(tmp_path / "other" / "studies.db")
    connection.execute("update sweeps_studies set format = 99")
    connection.commit()
    with pytest.raises(LedgerError, match="must have format 1"):
        Ledger(tmp_path / "other" / "studies.db")


def test_the_file_is_made_whole_and_in_wal_mode(tmp_path: Path) -> None:
    awkward = tmp_path / "a b,(=#&é"
    open_storage(awkward).close()
    connection = sqlite3.connect(awkward / "studies.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    assert {"sweeps_seed_runs", "trials", "studies"} <= tables
    assert not list((awkward / "mlruns" / ".work").glob("*.db*"))


def test_a_ledger_of_before_is_read_as_it_is_and_upgraded_to_write(tmp_path: Path) -> None:
    create_tables(tmp_path / "studies.db")
    connection = sqlite3.connect(tmp_path / "studies.db")
    connection.execute("alter table sweeps_seed_runs drop column reliability")
    connection.commit()
    connection.close()
    (tmp_path / "studies.db").chmod(0o444)
    ledger = Ledger(tmp_path / "studies.db")
    assert ledger.seed_runs("s", heavy=True) == []
    (tmp_path / "studies.db").chmod(0o644)
    ledger.upgrade()
    ledger.upgrade()
    ledger.put([dataclasses.replace(ROW, reliability=[[1.0, 0.5, 1.0]])])
    (row,) = ledger.seed_runs(ROW.study, heavy=True)
    assert row.reliability == [[1.0, 0.5, 1.0]]
