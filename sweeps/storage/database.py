"""Where a study's ledger, its lock and Optuna's record live: today in SQLite, a file for one host.

A second kind of database implements `Database` and passes `tests/sweeps/storage/test_database.py` unchanged.
"""

import os
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa
from filelock import FileLock, Timeout

from resnet_tl.errors import ConfigError
from resnet_tl.files import move, remove_leftovers
from sweeps.records import folder_of_study
from sweeps.storage import schema, sqlite, upgrade
from sweeps.storage.ledger import Ledger
from sweeps.storage.schema import LedgerError
from sweeps.storage.sqlite import sqlite_engine, sqlite_url
from sweeps.storage.watch import Watch, copy_whole

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that a folder's name must not hold: controls, lone surrogates, ends of lines."""


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

    def take_in(self, study: str) -> None:
        """Adds seed runs that an earlier start of a study could not write, and kept aside; for its driver."""

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
        self._aside = self._work / "unwritten"

    def exists(self) -> bool:
        """See `Database`."""
        return self._path.exists()

    def read(self) -> Ledger:
        """See `Database`."""
        if not self.exists():
            raise LedgerError(
                f"There must be a ledger studies.db in {self._path.parent.absolute()}, but there is none; give "
                "run.out=FOLDER, the folder that the study was run in."
            )
        if self._may_write():  # as readers must, too: SQLite keeps an index of what is new beside the file
            engine = sqlite_engine(self._path)
            if self._revision(engine) == schema.HEAD:
                return Ledger(engine)
            engine.dispose()  # of an older version: a copy is brought up to date, so that reading changes nothing
        folder = tempfile.TemporaryDirectory(prefix="sweeps-ledger-")
        try:
            copy = Path(folder.name) / "studies.db"
            copy_whole(self._path, copy)
            writer = sqlite_engine(copy, write=True, shown=self._path)
            try:
                upgrade.bring_up_to_date(writer, str(self._path))
            finally:
                writer.dispose()
            return Ledger(sqlite_engine(copy, shown=self._path), on_close=folder.cleanup)
        except BaseException:
            folder.cleanup()
            raise

    def open(self) -> Ledger:
        """See `Database`.

        A kill while tables are being made would leave a file that nobody can use, so they are made under another name.
        """
        if not self.exists():
            (self._work / "locks").mkdir(parents=True, exist_ok=True)
            with FileLock(self._work / "locks" / "storage.lock"):
                if not self.exists():
                    # whatever lies there is of a start that was killed, since this lock dies with its holder
                    remove_leftovers(self._work, "studies.*.db*", older_than_s=0)
                    making = self._work / f"studies.{os.getpid()}.db"
                    self._make(making)
                    move(making, self._path)
        engine = sqlite_engine(self._path)
        if self._revision(engine) != schema.HEAD:
            writer = sqlite_engine(self._path, write=True)
            upgrade.bring_up_to_date(writer, str(self._path))
            writer.dispose()
        watch = Watch(self._path)
        return Ledger(engine, on_close=watch.close, watch=watch.check, aside=self._aside)

    def take_in(self, study: str) -> None:
        """See `Database`."""
        if not self.exists() or not any(self._aside.glob("*.json")):
            return
        ledger = self.open()
        try:
            ledger.take_in(study)
        finally:
            ledger.close()

    def _may_write(self) -> bool:
        return os.access(self._path, os.W_OK) and os.access(self._path.parent, os.W_OK)

    def _revision(self, engine: sa.Engine) -> str:
        with engine.connect() as connection:
            return upgrade.revision(connection, str(self._path))

    @staticmethod
    def _make(path: Path) -> None:
        from sweeps.storage.optuna_study import create_tables

        path.touch()
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
        lock = FileLock(folder / f"study-{folder_of_study(study)}.lock")
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

        try:
            storage = open_storage(sqlite_url(self._path), {"timeout": sqlite.BUSY_S})
        except sa.exc.DBAPIError as error:
            raise (error.orig and sqlite.explanation(error.orig, self._path)) or error from None
        sqlite.explain_errors(storage.engine, self._path)  # type: ignore[attr-defined]
        return storage


def database_of(out: Path) -> Database:
    """The database of the studies in a folder.

    Raises:
        ConfigError: the folder has a name that no address or printed line can hold.
    """
    if any(unicodedata.category(character) in _UNPRINTABLE for character in str(out)):
        raise ConfigError(
            f"`run.out` must be a folder without line breaks, other control characters and bytes that are no UTF-8 in "
            f"its name, but got {str(out)!r}; rename it, or give another one."
        )
    return SqliteDatabase(out)
