"""What every database must do; a second kind is added to `database`. And what is SQLite's own."""

import contextlib
import dataclasses
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from optuna.study import StudyDirection

from resnet_tl.errors import ConfigError
from resnet_tl.files import is_full
from sweeps.records import NAMING, RunState, TrialRecord, TrialState
from sweeps.storage import schema, sqlite
from sweeps.storage.database import Database, database_of
from sweeps.storage.schema import LedgerError
from sweeps.storage.sqlite import sqlite_engine
from tests.conftest import trial
from tests.sweeps.storage.conftest import Again
from tests.sweeps.storage.test_ledger import RUN, STUDY

TRIAL = TrialRecord(number=0, params={}, config=trial(), fingerprint=RUN.fingerprint)

BEFORE = Path(__file__).parent / "format_1.db"
"""A ledger as version 0.1.0 wrote it: three trials, one of them diverged, and a confirmation."""


class TestEveryDatabase:
    def test_looking_and_reading_make_nothing(self, database: Database, tmp_path: Path) -> None:
        assert not database.exists()
        with pytest.raises(
            LedgerError,
            match=r"a ledger (studies.db )?in .*(%20\?|/t\d+), but there is none; give (run.out=|the run.storage)",
        ):
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

    def test_several_processes_may_make_it_at_once(self, again: Again) -> None:
        def make(number: int) -> str:
            database = again()
            with database.lock(f"s{number}"):
                ledger = database.open()
                ledger.put_study(dataclasses.replace(STUDY, name=f"s{number}"))
                database.optuna().create_new_study([StudyDirection.MAXIMIZE], f"s{number}")
                ledger.close()
            return f"s{number}"

        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(make, range(8)))
        ledger = again().read()
        assert [study.name for study in ledger.studies()] == made
        ledger.close()
        assert len(again().optuna().get_all_studies()) == 8

    def test_names_are_sorted_by_their_letters_codes(self, database: Database) -> None:
        names = ["B", "Z_", "a", "a-b", "a.b", "aB", "a_b", "b"]
        ledger = database.open()
        for name in reversed(names):
            ledger.put_study(dataclasses.replace(STUDY, name=name))
            ledger.put([dataclasses.replace(RUN, fingerprint=name)])
        assert [study.name for study in ledger.studies()] == names
        assert [run.fingerprint for run in ledger.seed_runs("s")] == names
        ledger.close()

    @pytest.mark.parametrize("number", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.12345679, -0.0])
    def test_numbers_come_back_to_the_last_bit(self, number: float, database: Database) -> None:
        run = dataclasses.replace(RUN, metrics={"val/loss": number}, wall_s=abs(number), seed=2**53)
        ledger = database.open()
        ledger.put([run])
        (found,) = ledger.seed_runs("s", heavy=True)
        assert found == run
        assert str(found.metrics["val/loss"]) == str(number)
        ledger.close()

    def test_a_number_beyond_64_bits_is_refused(self, database: Database) -> None:
        ledger = database.open()
        for seed in (2**63, 2**64, -(2**63) - 1):
            with pytest.raises(LedgerError, match="up to 64 bits"):
                ledger.put([dataclasses.replace(RUN, seed=seed)])
        assert ledger.seed_runs("s") == []
        ledger.close()

    def test_any_text_comes_back_and_what_is_none_is_spelled_out(self, database: Database) -> None:
        text = "\x01 é \u2028 \U0001f52c ' \" \\ \\u0000 % %s :x {}"
        record = dataclasses.replace(STUDY, question=text, space={text: {"values": ["\x00", None, 10**30]}})
        run = dataclasses.replace(
            RUN, reason=f"{text}\x00\ud800", metrics={"b": 1.0, "a": 2.0}, compact={"val": bytes(range(256))}
        )
        ledger = database.open()
        ledger.put_study(record)
        ledger.put([run])
        assert ledger.study("s") == record
        (found,) = ledger.seed_runs("s", heavy=True)
        assert found == dataclasses.replace(run, reason=f"{text}\\x00\\ud800")
        assert list(found.metrics) == ["b", "a"], "in the order in which they were"
        ledger.close()

    def test_the_longest_name_of_a_study_has_members(self, database: Database) -> None:
        name = "n" * 100 + "/boosting_12"
        ledger = database.open()
        ledger.put_study(dataclasses.replace(STUDY, name=name))
        ledger.put_trials(name, [TRIAL])
        ledger.put([dataclasses.replace(RUN, study=name, reused_from=name, commit="c" * 61)])
        assert [run.study for run in ledger.seed_runs(name)] == [name]
        ledger.close()

    def test_a_change_is_carried_out_whole_or_not_at_all(self, database: Database) -> None:
        ledger = database.open()
        ledger.put([RUN])
        with pytest.raises(sa.exc.IntegrityError):
            ledger.put([dataclasses.replace(RUN, seed=1), RUN])
        assert [run.seed for run in ledger.seed_runs("s")] == [0]
        ledger.close()


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
        with sqlite_engine(tmp_path / "studies.db").connect() as opened:
            assert opened.exec_driver_sql("PRAGMA synchronous").scalar() == 2, "FULL"
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
            "with engine.begin() as connection: upgrade.bring_up_to_date(connection, 'x')\n"
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


class TestTrouble:
    """Whatever becomes of the file, an error of ours says what to do, and results are kept."""

    def test_a_file_that_is_locked_for_too_long(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite, "BUSY_S", 0.1)
        database = database_of(tmp_path)
        ledger = database.open()
        ledger.put_study(STUDY)
        ledger.put_trials("s", [TRIAL])
        other = sqlite3.connect(tmp_path / "studies.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            LedgerError, match=r"locked by another program(?s:.)*1 seed run that has just ended are kept"
        ):
            ledger.put([RUN])
        with pytest.raises(LedgerError, match="locked by another program"):
            database.optuna().create_new_study([StudyDirection.MAXIMIZE], "s")
        other.execute("ROLLBACK")
        ledger.close()
        for _ in range(2):
            database.take_in("s")
            again = database.read()
            assert again.seed_runs("s", heavy=True) == [RUN]
            again.close()
        assert not list((tmp_path / "mlruns" / ".work" / "unwritten").iterdir())

    def test_what_was_kept_aside_replaces_no_result(self, tmp_path: Path) -> None:
        database = database_of(tmp_path)
        ledger = database.open()
        ledger.put_trials("s", [TRIAL])
        engine = sqlite_engine(tmp_path / "studies.db")
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE sweeps_seed_runs RENAME TO away"))
        with pytest.raises(LedgerError, match="no such table"):
            ledger.put([dataclasses.replace(RUN, wall_s=1.0)])
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE away RENAME TO sweeps_seed_runs"))
        aside = tmp_path / "mlruns" / ".work" / "unwritten"
        (kept,) = aside.iterdir()
        content = kept.read_bytes()
        ledger.put([RUN])
        assert not list(aside.iterdir()), "it was written at the second try"
        kept.write_bytes(content)
        (aside / "x.json").write_text("[{}]")
        database.take_in("s")
        assert ledger.seed_runs("s", heavy=True) == [RUN]
        assert not list(aside.iterdir())

    def test_what_was_kept_aside_goes_into_no_ledger_that_lacks_its_study_or_its_trial(self, tmp_path: Path) -> None:
        full = database_of(tmp_path).open()
        full.put_study(STUDY)
        full.put_trials("s", [TRIAL])
        with contextlib.closing(sqlite3.connect(tmp_path / "studies.db")) as connection:
            connection.execute("ALTER TABLE sweeps_seed_runs RENAME TO away")
            with pytest.raises(LedgerError, match="the next start of the study adds them"):
                full.put([RUN])
            connection.execute("ALTER TABLE away RENAME TO sweeps_seed_runs")
        full.close()
        away = tmp_path / "away.db"
        (tmp_path / "studies.db").replace(away)
        begun_anew = database_of(tmp_path).open()
        for study in ("t", "s"):
            begun_anew.put_study(dataclasses.replace(STUDY, name=study))
            begun_anew.put_trials(study, [dataclasses.replace(TRIAL, fingerprint="of other epochs")])
            database_of(tmp_path).take_in(study)
            assert begun_anew.seed_runs("s") == []
        begun_anew.forget("s")
        begun_anew.close()
        away.replace(tmp_path / "studies.db")
        database_of(tmp_path).take_in("t")
        assert database_of(tmp_path).read().seed_runs("s") == [], "only the driver of a study may write it"
        database_of(tmp_path).take_in("s")
        assert database_of(tmp_path).read().seed_runs("s", heavy=True) == [RUN]
        assert not list((tmp_path / "mlruns" / ".work" / "unwritten").iterdir())

    def test_a_file_without_room(self, tmp_path: Path) -> None:
        ledger = database_of(tmp_path).open()
        connection = ledger._transactions.engine.raw_connection()
        pages = connection.cursor().execute("PRAGMA page_count").fetchone()[0]
        connection.cursor().execute(f"PRAGMA max_page_count = {pages}")
        connection.close()
        with pytest.raises(LedgerError, match="since the disk is full") as raised:
            ledger.put([dataclasses.replace(RUN, reason="x" * 100_000)])
        assert is_full(raised.value)

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
    def test_an_io_error_on_a_full_disk_is_called_so(
        self, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(**_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(sqlite.tempfile, "TemporaryFile", fail)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
        (tmp_path / "studies.db").touch()
        explained = sqlite.explanation(error, tmp_path / "studies.db")
        assert is_full(explained) == (number != errno.EACCES)

    @pytest.mark.parametrize("table", ["sweeps_studies", "sweeps_trials", "sweeps_seed_runs", schema.VERSION_TABLE])
    @pytest.mark.parametrize("change", ["drop table {}", "delete from {}", "alter table {} rename to other"])
    def test_a_table_that_is_missing_or_empty(self, table: str, change: str, tmp_path: Path) -> None:
        ledger = database_of(tmp_path).open()
        ledger.put_study(STUDY)
        ledger.put([RUN])
        ledger.close()
        with sqlite3.connect(tmp_path / "studies.db") as connection:
            connection.execute(change.format(table))
        for use in (database_of(tmp_path).read, database_of(tmp_path).open):
            with contextlib.suppress(LedgerError):  # and nothing else
                opened = use()
                try:
                    opened.studies(), opened.trials("s"), opened.seed_runs("s", heavy=True)
                finally:
                    opened.close()

    @pytest.mark.parametrize("text", ["{", "null", "[]", '{"naming": 2}', "12345678901234567890123"])
    def test_a_record_that_is_damaged(self, text: str, tmp_path: Path) -> None:
        ledger = database_of(tmp_path).open()
        ledger.put_study(STUDY)
        ledger.put([RUN])
        with sqlite3.connect(tmp_path / "studies.db") as connection:
            connection.execute("update sweeps_studies set record = ?", (text,))
            connection.execute("update sweeps_seed_runs set history = ?, state = 'x'", (text,))
        for look in (ledger.studies, lambda: ledger.seed_runs("s", heavy=True)):
            with pytest.raises(LedgerError, match="something is damaged"):
                look()

    def test_a_file_that_is_removed_is_put_back_by_the_driver_that_holds_it(self, tmp_path: Path) -> None:
        path = tmp_path / "studies.db"
        ledger = database_of(tmp_path).open()
        ledger.put_study(STUDY)
        ledger.put_trials("s", [TRIAL])
        for beside in path.parent.glob("studies.db*"):
            beside.unlink()
        with pytest.raises(LedgerError, match="was removed or replaced(?s:.)*back in its place"):
            ledger.put([RUN])
        with pytest.raises(LedgerError, match="was removed or replaced"):
            ledger.mark_tracked("s", [(RUN.fingerprint, RUN.seed)])
        ledger.close()
        database_of(tmp_path).take_in("s")
        again = database_of(tmp_path).read()
        assert again.study("s") == STUDY
        assert again.seed_runs("s", heavy=True) == [RUN]
        again.close()
        assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)

    @pytest.mark.parametrize("recreated", [False, True])
    def test_a_folder_that_is_moved_has_all_that_was_written_and_nothing_is_made_in_its_place(
        self, recreated: bool, tmp_path: Path
    ) -> None:
        out, moved = tmp_path / "above" / "out", tmp_path / "moved"
        ledger = database_of(out).open()
        ledger.put_study(STUDY)
        (tmp_path / "above").rename(moved)
        if recreated:  # as a worker does that writes its progress
            (out / "mlruns").mkdir(parents=True)
        with pytest.raises(LedgerError, match="was moved") as raised:
            ledger.put([RUN])
        assert "kept" not in str(raised.value)
        assert "saved" not in str(raised.value)
        ledger.close()
        assert not [path for path in out.rglob("*") if path.is_file()]
        assert database_of(moved / "out").read().seed_runs("s", heavy=True) == [RUN]

    def test_a_folder_that_is_removed_costs_no_score(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        ledger = database_of(out).open()
        ledger.put_study(STUDY)
        ledger.put_trials("s", [TRIAL])
        shutil.rmtree(out)
        with pytest.raises(LedgerError, match="back in its place"):
            ledger.put([RUN])
        ledger.close()
        database_of(out).take_in("s")
        assert database_of(out).read().seed_runs("s", heavy=True) == [RUN]

    def test_a_file_that_is_replaced_is_left_alone_and_the_old_one_kept_beside_it(self, tmp_path: Path) -> None:
        ledger = database_of(tmp_path).open()
        ledger.put_study(STUDY)
        (tmp_path / "studies.db").unlink()
        (tmp_path / "studies.db").write_text("new")
        with pytest.raises(LedgerError, match=r"studies\.rescued\.db; put that in its place"):
            ledger.put([RUN])
        ledger.close()
        assert (tmp_path / "studies.db").read_text() == "new"
        (tmp_path / "studies.rescued.db").replace(tmp_path / "studies.db")
        assert database_of(tmp_path).read().study("s") == STUDY

    def test_readers_and_optuna_make_no_file_where_one_was_removed(self, tmp_path: Path) -> None:
        database_of(tmp_path).open().close()
        reader, storage = database_of(tmp_path).read(), database_of(tmp_path).optuna()
        reader.close()
        storage.engine.dispose()  # type: ignore[attr-defined]
        for beside in tmp_path.glob("studies.db*"):
            beside.unlink()
        with pytest.raises(LedgerError, match="is gone"):
            reader.studies()
        with pytest.raises(LedgerError, match="is gone"):
            storage.get_all_studies()
        assert not list(tmp_path.glob("studies.db*"))

    @pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\tb", "a\x7f", "\udcff", "a\x85b", "a\u2028b", "a\u2029b"])
    def test_a_folder_whose_name_no_line_can_hold_is_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="`run.out` must be a folder without line breaks"):
            database_of(tmp_path / name)

    @pytest.mark.parametrize(
        "name", ["a\u3000b", "a\xa0b", "co\xadop", "\U0001f469\u200d\U0001f52c", "\u200fא", "\ue000"]
    )
    def test_a_folder_with_any_other_name_is_taken(self, name: str, tmp_path: Path) -> None:
        ledger = database_of(tmp_path / name / "out").open()
        ledger.put_study(STUDY)
        ledger.close()
        assert database_of(tmp_path / name / "out").read().study("s") == STUDY

    def test_what_killed_starts_left_is_removed_by_the_next(self, tmp_path: Path) -> None:
        work = tmp_path / "mlruns" / ".work"
        work.mkdir(parents=True)
        for name in ("studies.1.db", "studies.99999999.db-wal"):
            (work / name).write_text("half")
        database_of(tmp_path).open().close()
        assert [path.name for path in work.iterdir()] == ["locks"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody else")
class TestSomebodyElses:
    """A ledger is read where nothing may be written, also what SQLite has not moved into the file yet."""

    @pytest.fixture
    def out(self, tmp_path: Path) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:  # below pytest's own nobody else may look
            out = Path(folder) / "out"
            ledger = database_of(out).open()
            ledger.put_study(STUDY)
            ledger.close()
            Path(folder).chmod(0o755)
            yield out

    @staticmethod
    def read(out: Path) -> str:
        script = (
            "import os, sys; from pathlib import Path; import sqlalchemy.dialects.sqlite\n"
            "from sweeps.storage.database import database_of; from sweeps.storage.sqlite import sqlite_engine\n"
            "sqlite_engine(Path('x')).dispose(); os.setgid(65534); os.setuid(65534)\n"
            "ledger = database_of(Path(sys.argv[1])).read()\n"
            "print([study.name for study in ledger.studies()], len(ledger.seed_runs('s')))\n"
            "ledger.close()\n"
        )
        done = subprocess.run([sys.executable, "-c", script, str(out)], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr.strip().rpartition("\n")[2]

    @pytest.mark.parametrize("folder", [0o755, 0o555, 0o777])
    @pytest.mark.parametrize("file", [0o644, 0o444])
    @pytest.mark.parametrize("writer", ["none", "killed", "open"])
    def test_it_is_read_and_left_as_it_is(self, folder: int, file: int, writer: str, out: Path) -> None:
        path = out / "studies.db"
        if writer != "none":
            holder = database_of(out).open()
            holder.put([RUN])
            assert (out / "studies.db-wal").stat().st_size > 0
        if writer == "killed":  # what it leaves: the log of what is new, without the index of it
            log = (out / "studies.db-wal").read_bytes()
            holder.close()
            (out / "studies.db-wal").write_bytes(log)
        path.chmod(file)
        out.chmod(folder)
        before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
        assert self.read(out) == f"['s'] {0 if writer == 'none' else 1}\n"
        assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before

    def test_one_that_may_not_be_read_says_so(self, out: Path) -> None:
        (out / "studies.db").chmod(0o600)
        assert "cannot be copied to be read: Permission denied" in self.read(out)
