"""What every database must do; a second kind is added to `database`. And what is SQLite's own."""

import dataclasses
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from resnet_tl.errors import ConfigError
from sweeps.records import NAMING, RunState, TrialState
from sweeps.storage import schema
from sweeps.storage.database import Database, SqliteDatabase, database_of
from sweeps.storage.schema import LedgerError
from sweeps.storage.sqlite import sqlite_engine
from tests.sweeps.storage.test_ledger import RUN, STUDY

BEFORE = Path(__file__).parent / "format_1.db"
"""A ledger as version 0.1.0 wrote it: three trials, one of them diverged, and a confirmation."""


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return {"sqlite": SqliteDatabase}[request.param](tmp_path / "a b,(=#&é%20?")


class TestEveryDatabase:
    def test_looking_and_reading_make_nothing(self, database: Database, tmp_path: Path) -> None:
        assert not database.exists()
        with pytest.raises(LedgerError, match="There is no ledger"):
            database.read()
        assert not database.exists()
        assert not list(tmp_path.rglob("*.db"))

    def test_what_is_written_is_read(self, database: Database) -> None:
        ledger = database.open()
        ledger.put_study(STUDY)
        ledger.put([RUN])
        assert database.exists()
        reader = database.read()
        assert reader.study("s") == STUDY
        assert reader.seed_runs("s", heavy=True) == [RUN]
        reader.close()
        ledger.close()
        again = database.open()
        assert again.seed_runs("s", heavy=True) == [RUN]
        again.close()

    def test_one_driver_holds_a_study_and_others_hold_other_studies(self, database: Database) -> None:
        with (
            database.lock("s"),
            database.lock("t"),
            pytest.raises(ConfigError, match="is being run by another process"),
            database.lock("s"),
        ):
            pass
        with database.lock("s"):
            pass

    def test_optuna_lives_in_the_same_database(self, database: Database) -> None:
        import optuna

        database.open().close()
        storage = database.optuna()
        study = optuna.create_study(study_name="s", storage=storage)
        study.add_trial(optuna.trial.create_trial(value=0.5))
        assert optuna.get_all_study_names(database.optuna()) == ["s"]


class TestSqlite:
    def test_a_damaged_or_foreign_file_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        database = database_of(tmp_path)
        path = tmp_path / "studies.db"
        for content in (b"nonsense" * 100, b""):
            path.write_bytes(content)
            for use in (database.read, database.open):
                with pytest.raises(LedgerError, match="must be a"):
                    use()
            assert path.read_bytes() == content

    def test_a_newer_version_is_refused(self, tmp_path: Path) -> None:
        database_of(tmp_path).open().close()
        connection = sqlite3.connect(tmp_path / "studies.db")
        connection.execute(f"update {schema.VERSION_TABLE} set version_num = '9999'")
        connection.commit()
        with pytest.raises(LedgerError, match="newer version of this program"):
            database_of(tmp_path).read()

    def test_the_file_is_made_whole_and_in_wal_mode(self, tmp_path: Path) -> None:
        database_of(tmp_path).open().close()
        connection = sqlite3.connect(tmp_path / "studies.db")
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
        assert {"sweeps_seed_runs", "trials", "studies"} <= tables
        assert not list((tmp_path / "mlruns" / ".work").glob("*.db*"))


class TestAnOlderVersion:
    @pytest.fixture
    def out(self, tmp_path: Path) -> Path:
        shutil.copy(BEFORE, tmp_path / "studies.db")
        return tmp_path

    def test_reading_changes_nothing(self, out: Path) -> None:
        (out / "studies.db").chmod(0o444)
        ledger = database_of(out).read()
        (study,) = ledger.studies()
        assert (study.naming, study.seeds, study.num_trials) == (1, (0, 1), 3)
        assert study.confirm is not None
        assert study.data.num_images == {"train": 806, "val": 45, "test": 45}
        assert [trial.state for trial in ledger.trials(study.name)] == [
            TrialState.COMPLETE,
            TrialState.COMPLETE,
            TrialState.DIVERGED,
        ]
        runs = ledger.seed_runs(study.name, heavy=True)
        assert len(runs) == 8
        networks = {run.network for run in runs if run.state == RunState.COMPLETE}
        assert all(network and network.startswith("mlruns/artifacts/before/") for network in networks)
        assert all(run.confusion for run in runs if run.state == RunState.COMPLETE)
        ledger.close()
        assert (out / "studies.db").read_bytes() == BEFORE.read_bytes()
        assert [path.name for path in out.iterdir()] == ["studies.db"]

    def test_writing_brings_it_up_to_date_and_loses_nothing(self, out: Path) -> None:
        before = database_of(out).read().seed_runs("before", heavy=True)
        for _ in range(2):
            ledger = database_of(out).open()
            assert ledger.seed_runs("before", heavy=True) == before
            ledger.close()
        ledger = database_of(out).open()
        ledger.put_study(STUDY)
        ledger.put([RUN])
        assert {study.naming for study in ledger.studies()} == {1, NAMING}
        ledger.close()
        tables = {name for (name,) in sqlite3.connect(out / "studies.db").execute("select name from sqlite_master")}
        assert not {name for name in tables if name.startswith("_alembic")}

    def test_the_tables_are_then_those_that_are_made_new(self, out: Path, tmp_path: Path) -> None:
        database_of(out).open().close()
        database_of(tmp_path / "new").open().close()

        def shape(path: Path) -> dict[str, dict[str, tuple[str, bool]]]:
            inspector = sa.inspect(sqlite_engine(path))
            return {
                name: {c["name"]: (str(c["type"]), bool(c["nullable"])) for c in inspector.get_columns(name)}
                for name in inspector.get_table_names()
                if name.startswith("sweeps_")
            }

        assert shape(out / "studies.db") == shape(tmp_path / "new" / "studies.db")

    def test_an_upgrade_that_is_cut_short_leaves_it_as_it_was(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script = (
            "import sys\nfrom pathlib import Path\nimport sqlalchemy as sa\n"
            "from sweeps.storage import sqlite, upgrade\n"
            "count = 0\n"
            "def stop(*_):\n"
            "    global count; count += 1\n"
            "    if count == int(sys.argv[2]): import os; os._exit(9)\n"
            "engine = sqlite.sqlite_engine(Path(sys.argv[1]), write=True)\n"
            "sa.event.listen(engine, 'before_cursor_execute', stop)\n"
            "upgrade.bring_up_to_date(engine, 'x')\n"
        )
        whole = database_of(out).read().seed_runs("before", heavy=True)
        for place in (5, 10, 15, 20, 25, 30, 35):
            done = subprocess.run([sys.executable, "-c", script, str(out / "studies.db"), str(place)], check=False)
            assert done.returncode == 9, f"there are fewer than {place} statements"
            assert database_of(out).read().seed_runs("before", heavy=True) == whole

    def test_the_first_ledgers_of_that_version_had_a_column_less(self, out: Path) -> None:
        connection = sqlite3.connect(out / "studies.db")
        connection.execute("alter table sweeps_seed_runs drop column reliability")
        connection.commit()
        connection.close()
        ledger = database_of(out).open()
        ledger.put([dataclasses.replace(RUN, study="t", reliability=[[1.0, 0.5, 1.0]])])
        (row,) = ledger.seed_runs("t", heavy=True)
        assert row.reliability == [[1.0, 0.5, 1.0]]
