"""The ledger, locks and Optuna's record in a database of a PostgreSQL server: for studies of several machines."""

import contextlib
import hashlib
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa

from resnet_tl.address import Address
from resnet_tl.errors import ConfigError
from sweeps.storage import postgres, schema, upgrade
from sweeps.storage.ledger import Ledger
from sweeps.storage.postgres import Server
from sweeps.storage.schema import ConnectionLost, LedgerError
from sweeps.storage.sqlite import sqlite_engine
from sweeps.storage.transactions import TRIES, Answer, FileTransactions
from sweeps.storage.work_folder import WorkFolder

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


_locks = sa.Table(
    "sweeps_locks",
    sa.MetaData(),
    sa.Column("study", sa.Text, primary_key=True),
    # of the driver that took the lock last; it alone may write
    sa.Column("token", sa.Text, nullable=False),
    # the last one that was written
    sa.Column("change", sa.Text, nullable=False),
)
"""Of the drivers of studies; SQLite needs none, since the lock of a file cannot be lost while its holder lives."""


class PostgresDatabase:
    """A database of a PostgreSQL server, which holds nothing else.

    Args:
        out: where drivers keep networks, and what they could not write.
        address: `run.storage`.

    Raises:
        ConfigError: the address is not valid.
    """

    def __init__(self, out: Path, address: Address) -> None:
        self._server = Server(address)
        self._work = WorkFolder(out)
        self._held: dict[str, _StudyLock] = {}

    @property
    def shown(self) -> str:
        """See `Database`."""
        return self._server.shown

    def exists(self) -> bool:
        """See `Database`."""
        with self._server.begin() as connection:
            return sa.inspect(connection).has_table(schema.studies.name)

    def read(self) -> Ledger:
        """See `Database`."""
        if not self.exists():
            raise LedgerError(
                f"There must be a ledger in {self.shown}, but there is none; give the run.storage that the study was "
                "run with."
            )
        with self._server.begin() as connection:
            is_older = upgrade.revision(connection, self.shown) != schema.HEAD
        return self._read_older() if is_older else Ledger(_ServerTransactions(self._server, {}))

    def _read_older(self) -> Ledger:
        """A copy is brought up to date, so that reading changes nothing."""
        folder = tempfile.TemporaryDirectory(prefix="sweeps-ledger-")
        try:
            path = Path(folder.name) / "studies.db"
            path.touch()
            engine = sqlite_engine(path, write=True)
            with self._server.begin() as source, engine.begin() as copy:
                _copy_tables(source, copy)
                upgrade.bring_up_to_date(copy, self.shown)
            return Ledger(FileTransactions(engine), on_close=folder.cleanup)
        except BaseException:
            folder.cleanup()
            raise

    def open(self) -> Ledger:
        """See `Database`."""
        self._make_locks()
        with self._server.begin() as connection:
            _one_at_a_time(connection)
            if sa.inspect(connection).has_table(schema.studies.name):
                upgrade.bring_up_to_date(connection, self.shown)
            else:
                from sweeps.storage.optuna_study import create_tables

                # on connections of its own, and first: a kill leaves no ledger without them, and the next start makes
                # what they lack
                create_tables(postgres.URL, self._server.options())
                schema.create(connection)
        return Ledger(_ServerTransactions(self._server, self._held), aside=self._work.unwritten)

    def take_in(self, study: str) -> None:
        """See `Database`."""
        if not self._work.has_unwritten() or not self.exists():
            return
        ledger = self.open()
        try:
            ledger.take_in(study)
        finally:
            ledger.close()

    @contextlib.contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """See `Database`."""
        # the folder, too: networks and work in progress are there, and that lock outlives a restart of the server
        with self._work.lock(study):
            self._make_locks()
            held = _StudyLock(self._server, study)
            self._held[study] = held
            try:
                yield
            finally:
                del self._held[study]
                held.release()

    def optuna(self) -> "BaseStorage":
        """See `Database`."""
        from sweeps.storage.optuna_study import open_storage

        try:
            storage = open_storage(postgres.URL, self._server.options())
        except sa.exc.DBAPIError as error:
            raise (error.orig and self._server.explanation(error.orig)) or error from None
        self._server.explain_errors(storage.engine)  # type: ignore[attr-defined]
        return storage

    def _make_locks(self) -> None:
        """Makes the table of locks, the first of all, in a database that nobody else uses.

        Raises:
            LedgerError: somebody does: Optuna and MLflow both keep their version in a table `alembic_version`, and a
                study of Optuna's with the name of one of ours would be replaced.
        """
        with self._server.begin() as connection:
            if sa.inspect(connection).has_table(_locks.name):
                return
            _one_at_a_time(connection)
            there = set(sa.inspect(connection).get_table_names())
            if _locks.name in there:
                return
            others = sorted(there & {"alembic_version", "studies", "trials", "experiments", "runs"})
            if others and schema.studies.name not in there:
                raise LedgerError(
                    f"{self.shown} must be a database that nothing else uses, but it has the tables "
                    f"{', '.join(others)}, as those of MLflow or Optuna do; make another one (`createdb`)."
                )
            _locks.create(connection)


def _copy_tables(source: sa.Connection, copy: sa.Connection) -> None:
    """Copies the ledger's tables, of whatever version, into SQLite."""
    source.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    tables = sa.MetaData()

    def generalise(_: Any, __: Any, column: Any) -> None:
        kind = column["type"].as_generic()
        if isinstance(kind, sa.String):
            kind.collation = None
        elif isinstance(kind, sa.JSON):
            kind.none_as_null = True
        column |= {"type": kind, "default": None}

    sa.event.listen(tables, "column_reflect", generalise)
    tables.reflect(source, only=lambda name, _: name.startswith("sweeps_") and name != _locks.name)
    tables.create_all(copy)
    for table in tables.sorted_tables:
        rows = [dict(row) for row in source.execute(sa.select(table)).mappings()]
        if rows:
            copy.execute(sa.insert(table), rows)


def _one_at_a_time(connection: sa.Connection) -> None:
    """Lets one process at a time make or change tables, until the transaction ends."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_key("tables"))))


def _key(text: str) -> int:
    """The number of an advisory lock."""
    digest = hashlib.sha256(f"resnet-sweeps {text}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class _StudyLock:
    """Held by the driver of a study, whatever becomes of its connection.

    An advisory lock keeps a second driver out, and dies with its connection: that of a driver that was killed, and that
    of one which lives on, after a restart of the server. So whoever gets it writes a token of its own into the row of
    the study, and a driver writes only as long as the token there is its own.

    Raises:
        ConfigError: another driver holds it.
    """

    def __init__(self, server: Server, study: str) -> None:
        self._server, self._study = server, study
        self._token = secrets.token_hex(16)
        self.one = threading.Lock()
        """For changes, one after the other: the row remembers one."""
        self._connection = server.connect()
        try:
            if not self._first_take():
                raise ConfigError(
                    f"The study {study} is being run by another process that uses {server.shown}; wait for it, or stop "
                    "it."
                )
            with server.begin() as connection:
                # waits for a change that the driver before began and did not end
                connection.execute(sa.delete(_locks).where(_locks.c.study == study))
                connection.execute(sa.insert(_locks).values(study=study, token=self._token, change=""))
        except BaseException:
            self._connection.close()
            raise

    def _first_take(self) -> bool:
        try:
            return self._take()
        except psycopg.Error as error:
            raise self._server.explanation(error, lost=self._connection.broken) or error from None

    def release(self) -> None:
        """Lets another driver have it."""
        self._connection.close()

    def _take(self) -> bool:
        self._connection.autocommit = True  # it is held by the connection, not by a transaction
        found = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (_key(f"study {self._study}"),)).fetchone()
        self._has = found is not None and bool(found[0])
        return self._has

    def renew(self) -> None:
        """Takes it again after its connection was lost.

        If it cannot be had, the row tells whether that is another driver, or our own connection which the server has
        not given up yet.
        """
        try:
            self._connection.execute("SELECT 1")
            if self._has:
                return
        except psycopg.Error:
            self._connection.close()
            self._connection = self._server.connect()
        with contextlib.suppress(psycopg.Error):  # the row decides; the next change tries again
            self._take()

    def claim(self, connection: sa.Connection, change: str) -> bool:
        """Notes a change of the ledger in its own transaction; False if it has been carried out already.

        Raises:
            LedgerError: another driver has the study now.
        """
        row = connection.execute(sa.select(_locks).where(_locks.c.study == self._study).with_for_update()).first()
        if row is None or row.token != self._token:
            raise LedgerError(
                f"Another driver has taken over the study {self._study} in {self._server.shown} while this one had no "
                "connection to it, so that this one stops. What it wrote before is in the ledger."
            )
        if row.change == change:
            return False
        connection.execute(sa.update(_locks).where(_locks.c.study == self._study).values(change=change))
        return True


class _ServerTransactions:
    """Of a server that may restart at any time: what a broken connection interrupts is done again.

    Args:
        held: locks by study. Changes of a study whose lock is held here are tried again: its row knows whether a commit
            without an answer was carried out. Other changes are not, since nobody could tell.
    """

    def __init__(self, server: Server, held: "dict[str, _StudyLock]") -> None:
        self._held = held
        self._engine = server.engine()

    def look(self, body: Callable[[sa.Connection], Answer]) -> Answer:
        """See `Transactions`."""
        for _ in range(TRIES - 1):
            with contextlib.suppress(ConnectionLost):
                return self._once(body)
        return self._once(body)

    def change(self, study: str, body: Callable[[sa.Connection], object]) -> None:
        """See `Transactions`."""
        held = self._held.get(study)
        if held is None:
            self._once(body)
            return
        name = secrets.token_hex(16)

        def claimed(connection: sa.Connection) -> None:
            if held.claim(connection, name):
                body(connection)

        with held.one:
            held.renew()
            self.look(claimed)

    def _once(self, body: Callable[[sa.Connection], Answer]) -> Answer:
        with self._engine.begin() as connection:
            return body(connection)

    def close(self) -> None:
        """See `Transactions`."""
        self._engine.dispose()
