"""What is PostgreSQL's own: servers that restart or stay away, locks that are lost, logins that nobody sees."""

import contextlib
import dataclasses
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from alembic import command

from resnet_tl.address import parse
from resnet_tl.errors import ConfigError, UserError
from sweeps.records import RunState, TrialRecord
from sweeps.storage import postgres as module
from sweeps.storage import schema, upgrade
from sweeps.storage.database import database_of
from sweeps.storage.ledger import Ledger
from sweeps.storage.optuna_study import OptunaStudy
from sweeps.storage.postgres_database import PostgresDatabase, _ServerTransactions
from sweeps.storage.schema import ConnectionLost, LedgerError
from tests.conftest import trial
from tests.postgres import PASSWORD, USER, PostgresServer
from tests.sweeps.storage.test_ledger import RUN, STUDY
from tests.sweeps.storage.test_optuna_study import SPACE, TWO, definition

pytestmark = pytest.mark.postgres

BEFORE = Path(__file__).parent / "format_1.db"
BEFORE_TABLES = ("sweeps_studies", "sweeps_trials", "sweeps_seed_runs")
TRIAL = TrialRecord(number=0, params={}, config=trial(), fingerprint=RUN.fingerprint)


def at(address: str, out: Path) -> PostgresDatabase:
    database = database_of(out, parse(address, "run.storage"))
    assert isinstance(database, PostgresDatabase)
    return database


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def database(postgres: str, out: Path) -> PostgresDatabase:
    return at(postgres, out)


@contextmanager
def written(database: PostgresDatabase) -> Iterator[Ledger]:
    """The ledger of the driver of a study that has one trial."""
    with database.lock("s"):
        ledger = database.open()
        try:
            ledger.put_study(STUDY)
            ledger.put_trials("s", [TRIAL])
            yield ledger
        finally:
            ledger.close()


def _of_sqlite(table: sa.Table) -> Any:
    """A table of PostgreSQL's as SQLite's."""
    return sa.table(table.name, *(sa.column(column.name, column.type.as_generic()) for column in table.columns))


def cut_off(server: PostgresServer, database: str, query: str = "") -> None:
    """Ends the connections to a database, or those whose last statement holds some words."""
    name = database.rpartition("/")[2]
    ended = server.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND pid <> pg_backend_pid() AND query LIKE '%{query}%'"
    )
    assert ended, "there was one"


def locked(server: PostgresServer, address: str) -> int:
    """Advisory locks of a database that are held."""
    name = address.rpartition("/")[2]
    query = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory'"
    ((count,),) = server.execute(f"{query} AND datname = '{name}'")
    assert isinstance(count, int)
    return count


class TestRestarts:
    def test_one_between_two_changes_costs_nothing(self, database: PostgresDatabase, postgres_server: Any) -> None:
        with written(database) as ledger:
            postgres_server.stop()
            postgres_server.start()
            assert ledger.study("s") == STUDY
            ledger.put([RUN])
            assert ledger.seed_runs("s", heavy=True) == [RUN]

    def test_a_server_that_is_down_for_seconds_is_waited_for(
        self, database: PostgresDatabase, postgres_server: Any
    ) -> None:
        made = definition(SPACE)
        with written(database) as ledger:
            record = OptunaStudy(database.optuna(), made.study, made.space, lambda trial: {1: 0.25})
            record.match(TWO[:1])
            postgres_server.stop()
            back = threading.Timer(3.0, postgres_server.start)
            back.start()
            ledger.put([RUN])
            assert ledger.seed_runs("s", heavy=True) == [RUN]
            back.join()
            postgres_server.stop()
            back = threading.Timer(3.0, postgres_server.start)
            back.start()
            record.add(TWO)
            back.join()
            record.close()
        stored = optuna.load_study(study_name="s", storage=database.optuna()).trials
        assert [t.user_attrs["trial"] for t in stored] == [0, 1]

    @pytest.mark.slow
    def test_any_number_of_them_while_it_is_written_loses_nothing_and_writes_nothing_twice(
        self, database: PostgresDatabase, postgres_server: Any
    ) -> None:
        ended = threading.Event()

        def restart() -> None:
            for pause in (0.3, 0.1, 0.7, 0.2, 0.5):
                time.sleep(pause)
                postgres_server.stop()
                time.sleep(2 * pause)
                postgres_server.start()
            ended.set()

        with written(database) as ledger:
            thread = threading.Thread(target=restart)
            thread.start()
            seed = 0
            while not ended.is_set() or seed < 20:
                ledger.put([dataclasses.replace(RUN, seed=seed, state=RunState.FAILED, wall_s=1.0)])
                ledger.put([dataclasses.replace(RUN, seed=seed, wall_s=2.0)])
                seed += 1
            thread.join()
            runs = ledger.seed_runs("s")
        assert [run.seed for run in runs] == list(range(seed))
        assert {(run.state, run.wall_s, run.repeated_s) for run in runs} == {(RunState.COMPLETE, 2.0, 1.0)}

    @pytest.mark.parametrize("carried_out", [True, False])
    def test_a_commit_whose_answer_is_lost_is_carried_out_once(
        self, carried_out: bool, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        once: Callable[..., Any] = _ServerTransactions._once
        losses = [0]

        def lossy(self: _ServerTransactions, body: Callable[[sa.Connection], Any]) -> Any:
            losses[0] += 1
            if losses[0] % 2:
                if carried_out:
                    once(self, body)
                raise ConnectionLost("cut")
            return once(self, body)

        with written(database) as ledger:
            monkeypatch.setattr(_ServerTransactions, "_once", lossy)
            ledger.put([dataclasses.replace(RUN, state=RunState.FAILED, wall_s=1.0)])
            ledger.put([RUN])
            ledger.put_trials("s", [dataclasses.replace(TRIAL, number=1, fingerprint="g")])
            monkeypatch.undo()
            assert ledger.seed_runs("s", heavy=True) == [dataclasses.replace(RUN, repeated_s=1.0)]
            assert [row.number for row in ledger.trials("s")] == [0, 1]

    def test_results_are_kept_aside_where_it_stays_away(
        self, database: PostgresDatabase, postgres_server: Any, monkeypatch: pytest.MonkeyPatch, out: Path
    ) -> None:
        with written(database) as ledger:
            monkeypatch.setattr(module, "PATIENCE_S", 1.0)
            postgres_server.stop()
            try:
                with pytest.raises(
                    LedgerError,
                    match=r"could not for 1 s(?s:.)*1 seed run that has just ended are kept; the next",
                ):
                    ledger.put([RUN])
                begun = time.monotonic()
                with pytest.raises(LedgerError, match="could not: "):
                    ledger.seed_runs("s")
                assert time.monotonic() - begun < 1.0, "it is waited for once"
            finally:
                postgres_server.start()
        with database.lock("s"):
            database.take_in("s")
        assert database.read().seed_runs("s", heavy=True) == [RUN]
        assert not list((out / "mlruns" / ".work" / "unwritten").iterdir())


class TestLocks:
    def test_drivers_of_other_folders_keep_each_other_out(self, database: Any, postgres: str, tmp_path: Path) -> None:
        other = at(postgres, tmp_path / "other")
        with (
            database.lock("s"),
            other.lock("t"),
            pytest.raises(ConfigError, match=r"s is being run by another process that uses postgresql://127"),
            other.lock("s"),
        ):
            pass
        with other.lock("s"):
            pass

    def test_a_driver_that_was_taken_over_writes_nothing_more(
        self, database: Any, postgres: str, postgres_server: Any, tmp_path: Path
    ) -> None:
        other = at(postgres, tmp_path / "other")
        with written(database) as ledger:
            cut_off(postgres_server, postgres)
            with other.lock("s"):
                for change in (
                    lambda: ledger.put([RUN]),
                    lambda: ledger.put_study(dataclasses.replace(STUDY, question="!")),
                    lambda: ledger.mark_tracked("s", [("f", 0)]),
                ):
                    with pytest.raises(LedgerError, match="Another driver has taken over the study s"):
                        change()
                new = other.open()
                assert new.seed_runs("s") == []
                new.put([RUN])
            with pytest.raises(LedgerError, match="Another driver has taken over"):
                ledger.drop_trials("s", 0)
            assert ledger.study("s") == STUDY
            new.close()

    def test_one_that_lost_its_lock_takes_it_again(
        self, database: Any, postgres: str, postgres_server: Any, tmp_path: Path
    ) -> None:
        other = at(postgres, tmp_path / "other")
        with written(database) as ledger:
            assert locked(postgres_server, postgres) == 1
            cut_off(postgres_server, postgres, "SELECT 1")
            assert locked(postgres_server, postgres) == 0
            ledger.put([RUN])
            assert locked(postgres_server, postgres) == 1
            with pytest.raises(ConfigError, match="is being run by another process"), other.lock("s"):
                pass
        assert locked(postgres_server, postgres) == 0

    def test_it_dies_with_its_holder(self, postgres: str, out: Path, tmp_path: Path) -> None:
        script = (
            "import os, sys; from pathlib import Path; from resnet_tl.address import parse\n"
            "from sweeps.storage.database import database_of\n"
            "with database_of(Path(sys.argv[1]), parse(sys.argv[2], 'x')).lock('s'): os._exit(9)\n"
        )
        for folder in (out, tmp_path / "other"):
            done = subprocess.run([sys.executable, "-c", script, str(folder), postgres], check=False)
            assert done.returncode == 9


class TestAnOlderVersion:
    @pytest.fixture
    def older(self, database: PostgresDatabase) -> PostgresDatabase:
        """A ledger whose tables and rows are those of version 0.1.0."""
        tables = sa.MetaData()
        engine = sa.create_engine(f"sqlite:///{BEFORE}")
        database._make_locks()
        with database._server.begin() as connection, engine.connect() as source:
            command.upgrade(upgrade.config_of(connection), schema.FIRST)
            tables.reflect(connection, only=lambda name, _: name.startswith("sweeps_") and name in BEFORE_TABLES)
            for table in tables.sorted_tables:
                rows = [dict(row) for row in source.execute(sa.select(_of_sqlite(table))).mappings()]
                for row in rows:
                    given = {name: value for name, value in row.items() if value is not None}
                    connection.execute(sa.insert(table).values(given))
        return database

    def test_it_is_read_as_it_is_and_brought_up_to_date_when_it_is_written(
        self, older: PostgresDatabase, tmp_path: Path
    ) -> None:
        shutil.copy(BEFORE, tmp_path / "studies.db")
        file = database_of(tmp_path).read()
        expected = file.studies(), file.trials("before"), file.seed_runs("before", heavy=True)
        file.close()
        assert expected[2]

        def revision() -> str:
            with older._server.begin() as connection:
                return upgrade.revision(connection, "x")

        for opened, after in ((older.read, schema.FIRST), (older.open, schema.HEAD), (older.read, schema.HEAD)):
            ledger = opened()
            assert (ledger.studies(), ledger.trials("before"), ledger.seed_runs("before", heavy=True)) == expected
            ledger.close()
            assert revision() == after


@pytest.mark.slow
@pytest.mark.parametrize("place", [3, 8, 13, 20, 30, 40])
def test_a_first_start_that_is_killed_leaves_what_the_next_one_completes(
    place: int, database: PostgresDatabase, postgres: str, out: Path
) -> None:
    script = (
        "import os, sys; from pathlib import Path; import sqlalchemy as sa; from resnet_tl.address import parse\n"
        "from sweeps.storage.database import database_of\n"
        "count = 0\n"
        "def stop(*_):\n"
        "    global count; count += 1\n"
        "    if count == int(sys.argv[3]): os._exit(9)\n"
        "sa.event.listen(sa.Engine, 'before_cursor_execute', stop)\n"
        "database_of(Path(sys.argv[1]), parse(sys.argv[2], 'x')).open()\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(out), postgres, str(place)], check=False)
    assert done.returncode == 9, f"there are fewer than {place} statements"
    with written(database) as ledger:
        ledger.put([RUN])
    made = optuna.create_study(study_name="s", storage=database.optuna())
    made.add_trial(optuna.trial.create_trial(value=0.5))


class TestTrouble:
    """An error of ours says what to do, and shows no login."""

    @staticmethod
    def refused(address: str, out: Path) -> str:
        with pytest.raises(UserError) as raised:
            at(address, out).open()
        said = str(raised.value)
        assert not [secret for secret in (USER, PASSWORD, "hunter2pass", "bo7") if secret in said], said
        return said

    def test_no_server(self, out: Path) -> None:
        assert "could not: connection failed" in self.refused("postgresql://bo7:hunter2pass@127.0.0.1:9/x", out)

    def test_a_wrong_user_or_password(self, postgres_server: Any, out: Path) -> None:
        for user, password in ((USER, "hunter2pass"), ("bo7", "hunter2pass")):
            said = self.refused(postgres_server.address("postgres", user, password), out)
            assert "password authentication failed" in said
            assert "PGPASSWORD" in said

    def test_no_such_database(self, postgres_server: Any, out: Path) -> None:
        assert 'database "nothing" does not exist' in (said := self.refused(postgres_server.address("nothing"), out))
        assert "createdb" in said

    def test_a_user_who_may_make_no_tables_or_write_none(self, postgres: str, postgres_server: Any, out: Path) -> None:
        name = postgres.rpartition("/")[2]
        postgres_server.execute("CREATE USER bo7 PASSWORD 'hunter2pass'")
        own = postgres_server.address(name, "bo7", "hunter2pass")
        assert "whose schema may get tables" in self.refused(own, out)
        with written(at(postgres, out)) as ledger:
            ledger.put([RUN])
            assert "permission denied for table" in self.refused(own, out)
            postgres_server.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO bo7", name)
            reader = at(own, out).read()
            assert reader.seed_runs("s", heavy=True) == [RUN], "who may read needs no more to read"
            reader.close()
            with pytest.raises(LedgerError, match="permission denied"), at(own, out).lock("t"):
                pass

    def test_a_database_in_another_encoding(self, postgres_server: Any, out: Path) -> None:
        options = "ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0"
        postgres_server.execute(f"CREATE DATABASE latin {options}")
        assert "whose encoding is UTF8, but got LATIN1" in self.refused(postgres_server.address("latin"), out)

    @pytest.mark.parametrize("tables", ["alembic_version", "studies, trials"])
    def test_a_database_that_optuna_or_mlflow_uses(
        self, tables: str, postgres: str, postgres_server: Any, out: Path
    ) -> None:
        for table in tables.split(", "):
            postgres_server.execute(f"CREATE TABLE {table} (x int)", postgres.rpartition("/")[2])
        assert f"has the tables {tables}, as those of MLflow or Optuna do" in self.refused(postgres, out)

    def test_a_table_that_another_program_locks(
        self, database: Any, postgres_server: Any, postgres: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PATIENCE_S", 0.2)
        with written(database) as ledger, at(postgres, Path())._server.begin() as other:
            other.execute(sa.text("LOCK TABLE sweeps_seed_runs"))
            with pytest.raises(LedgerError, match="locked by another program for more than 0.2 s"):
                ledger.put([RUN])

    @pytest.mark.parametrize("change", ["DROP TABLE {}", "DELETE FROM {}", "ALTER TABLE {} RENAME TO other"])
    @pytest.mark.parametrize("table", ["sweeps_studies", "sweeps_trials", "sweeps_seed_runs", "sweeps_schema"])
    def test_a_table_that_is_missing_or_empty(
        self, table: str, change: str, database: Any, postgres_server: Any, postgres: str
    ) -> None:
        database.open().close()
        postgres_server.execute(change.format(table), postgres.rpartition("/")[2])
        for use in (database.read, database.open):
            try:
                ledger = use()
            except LedgerError:
                continue
            with contextlib.suppress(LedgerError):  # and nothing else
                ledger.studies(), ledger.trials("s"), ledger.seed_runs("s", heavy=True)
            ledger.close()

    def test_an_address_that_libpq_does_not_know(self, out: Path) -> None:
        with pytest.raises(ConfigError, match=r"`run.storage` must be an address such as postgresql://HOST"):
            at("postgresql://bo7:hunter2pass@host/x?nothing=5", out)

    def test_a_driver_that_is_not_installed(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(ConfigError, match=r"pip install 'resnet-sweeps\[postgres\]'"):
            at("postgresql://host/x", out)


def test_no_login_is_in_what_a_traceback_or_a_log_may_show(database: PostgresDatabase, postgres: str) -> None:
    with written(database) as ledger:
        storage = database.optuna()
        shown = [repr(vars(thing)) for thing in (database, ledger, storage)]
        shown += [repr(storage.engine.url), str(parse(postgres, "x")), database.shown]  # type: ignore[attr-defined]
    for text in shown:
        assert PASSWORD not in text
        assert USER not in text
