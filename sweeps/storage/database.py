"""Where a study's ledger, its lock and Optuna's record live: today in SQLite, a file for one host.

A second kind of database implements `Database` and passes `tests/sweeps/storage/test_database.py` unchanged.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from filelock import FileLock, Timeout

from resnet_tl.errors import ConfigError
from sweeps.storage import schema, upgrade
from sweeps.storage.ledger import Ledger
from sweeps.storage.schema import LedgerError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

BUSY_S = 60
"""Seconds that a connection waits for another one's transaction to end."""


class Database(Protocol):
    """Holds the ledger, Optuna's record, and the locks of drivers."""

    def exists(self) -> bool:
        """Whether there is a ledger; looking makes none."""

    def read(self) -> Ledger:
        """Opens the ledger to read. Nothing is changed or made, also where an older version wrote it.

        Raises:
            LedgerError: there is no ledger, or it cannot be read.
        """

    def open(self) -> Ledger:
        """Opens the ledger to write; makes it, or brings it up to date, first.

        Raises:
            LedgerError: what is there is no ledger of this version or an older one.
        """

    def lock(self, study: str) -> AbstractContextManager[None]:
        """Held by a study's driver; dies with its holder.

        Raises:
            ConfigError: another driver holds it.
        """

    def optuna(self) -> "BaseStorage":
        """Optuna's storage, in the same database; the ledger must have been opened before."""


class SqliteDatabase:
    """`studies.db` in a folder.

    Args:
        out: the folder; work in progress and locks are under its `mlruns/.work`.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / "studies.db"
        self._work = out / "mlruns" / ".work"

    def exists(self) -> bool:
        """See `Database`."""
        return self._path.exists()

    def read(self) -> Ledger:
        """See `Database`."""
        if not self.exists():
            raise LedgerError(f"There is no ledger {self._path}; `python -m sweeps.run` makes one.")
        engine = sqlite_engine(self._path)
        if self._revision(engine) == schema.HEAD:
            return Ledger(engine)
        # of an older version: a copy is brought up to date, so that reading changes nothing
        folder = tempfile.TemporaryDirectory(prefix="sweeps-ledger-")
        copy = Path(folder.name) / "studies.db"
        with engine.connect() as source:
            source.exec_driver_sql("VACUUM INTO ?", (str(copy),))
        engine.dispose()
        writer = sqlite_engine(copy, write=True)
        try:
            upgrade.bring_up_to_date(writer, str(self._path))
        finally:
            writer.dispose()
        return Ledger(sqlite_engine(copy), on_close=folder.cleanup)

    def open(self) -> Ledger:
        """See `Database`.

        A kill while tables are being made would leave a file that nobody can use, so they are made under another name.
        """
        if not self.exists():
            (self._work / "locks").mkdir(parents=True, exist_ok=True)
            with FileLock(self._work / "locks" / "storage.lock"):
                if not self.exists():
                    making = self._work / f"studies.{os.getpid()}.db"
                    making.unlink(missing_ok=True)
                    self._make(making)
                    making.replace(self._path)
        engine = sqlite_engine(self._path)
        if self._revision(engine) != schema.HEAD:
            writer = sqlite_engine(self._path, write=True)
            upgrade.bring_up_to_date(writer, str(self._path))
            writer.dispose()
        return Ledger(engine)

    def _revision(self, engine: sa.Engine) -> str:
        try:
            with engine.connect() as connection:
                return upgrade.revision(connection, str(self._path))
        except sa.exc.DatabaseError as error:
            raise LedgerError(
                f"{self._path} must be a ledger of this program, but cannot be read: {error.orig}."
            ) from None

    @staticmethod
    def _make(path: Path) -> None:
        from sweeps.storage.optuna_study import create_tables

        engine = sqlite_engine(path)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        schema.create(engine)
        engine.dispose()
        create_tables(sqlite_url(path))
        for suffix in ("-wal", "-shm"):  # empty once all connections are closed
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """See `Database`."""
        folder = self._work / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"study-{study}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(
                f"The study {study} is being run by another process in {self._path.parent}; wait for it, or stop it."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def optuna(self) -> "BaseStorage":
        """See `Database`."""
        from sweeps.storage.optuna_study import open_storage

        return open_storage(sqlite_url(self._path), {"timeout": BUSY_S})


def database_of(out: Path) -> Database:
    """The database of the studies in a folder."""
    return SqliteDatabase(out)


def sqlite_url(path: Path) -> str:
    """SQLAlchemy's address of a SQLite file; its name may hold any character."""
    return sa.URL.create("sqlite", database=str(path.absolute())).render_as_string()


def sqlite_engine(path: Path, *, write: bool = False) -> sa.Engine:
    """Opens a SQLite file with a patient lock; many may read while one writes.

    Args:
        write: transactions take the lock of a writer at their begin, and changes of tables belong to them. Python's
            driver by itself begins a transaction at the first changed row only.
    """
    url = sa.URL.create("sqlite", database=str(path.absolute()))
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S})

    def explain(context: sa.engine.ExceptionContext) -> None:
        if isinstance(context.sqlalchemy_exception, sa.exc.OperationalError):
            raise LedgerError(
                f"{path} cannot be read or written: {context.original_exception}. Is the disk full, the file "
                "read-only, or another program holding it? What is in it is whole; start again when that is mended."
            ) from None

    sa.event.listen(engine, "handle_error", explain)
    if write:

        def take_over(connection: Any, _: Any) -> None:
            connection.isolation_level = None

        sa.event.listen(engine, "connect", take_over)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine
