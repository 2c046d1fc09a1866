"""The ledger, locks and Optuna's record in SQLite: a file for one host."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from filelock import FileLock

from resnet_tl.files import move, remove_leftovers
from sweeps.storage import schema, sqlite, upgrade
from sweeps.storage.ledger import Ledger
from sweeps.storage.schema import LedgerError
from sweeps.storage.sqlite import sqlite_engine, sqlite_url
from sweeps.storage.transactions import FileTransactions
from sweeps.storage.watch import Watch, copy_whole
from sweeps.storage.work_folder import WorkFolder

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


class SqliteDatabase:
    """`studies.db` in a folder.

    Args:
        out: the folder; work in progress and locks are under its `mlruns/.work`.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / "studies.db"
        self._work = WorkFolder(out)

    @property
    def shown(self) -> str:
        """See `Database`."""
        return str(self._path)

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
                return Ledger(FileTransactions(engine))
            engine.dispose()  # of an older version: a copy is brought up to date, so that reading changes nothing
        folder = tempfile.TemporaryDirectory(prefix="sweeps-ledger-")
        try:
            copy = Path(folder.name) / "studies.db"
            copy_whole(self._path, copy)
            writer = sqlite_engine(copy, write=True, shown=self._path)
            try:
                with writer.begin() as connection:
                    upgrade.bring_up_to_date(connection, str(self._path))
            finally:
                writer.dispose()
            return Ledger(FileTransactions(sqlite_engine(copy, shown=self._path)), on_close=folder.cleanup)
        except BaseException:
            folder.cleanup()
            raise

    def open(self) -> Ledger:
        """See `Database`.

        A kill while tables are being made would leave a file that nobody can use, so they are made under another name.
        """
        if not self.exists():
            self._work.locks.mkdir(parents=True, exist_ok=True)
            with FileLock(self._work.locks / "storage.lock"):
                if not self.exists():
                    # whatever lies there is of a start that was killed, since this lock dies with its holder
                    remove_leftovers(self._work.path, "studies.*.db*", older_than_s=0)
                    making = self._work.path / f"studies.{os.getpid()}.db"
                    self._make(making)
                    move(making, self._path)
        engine = sqlite_engine(self._path)
        if self._revision(engine) != schema.HEAD:
            writer = sqlite_engine(self._path, write=True)
            with writer.begin() as connection:
                upgrade.bring_up_to_date(connection, str(self._path))
            writer.dispose()
        watch = Watch(self._path)
        return Ledger(FileTransactions(engine, watch=watch.check), on_close=watch.close, aside=self._work.unwritten)

    def take_in(self, study: str) -> None:
        """See `Database`."""
        if not self.exists() or not self._work.has_unwritten():
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
        with engine.begin() as connection:
            schema.create(connection)
        engine.dispose()
        create_tables(sqlite_url(path))
        for suffix in ("-wal", "-shm"):  # empty once all connections are closed
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """See `Database`."""
        with self._work.lock(study):
            yield

    def optuna(self) -> "BaseStorage":
        """See `Database`."""
        from sweeps.storage.optuna_study import open_storage

        try:
            storage = open_storage(sqlite_url(self._path), {"connect_args": {"timeout": sqlite.BUSY_S}})
        except sa.exc.DBAPIError as error:
            raise (error.orig and sqlite.explanation(error.orig, self._path)) or error from None
        sqlite.explain_errors(storage.engine, self._path)  # type: ignore[attr-defined]
        return storage
