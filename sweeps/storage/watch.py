"""A database file in the hands of others: copied whole while somebody writes it, and rescued when it is removed."""

import contextlib
import os
import shutil
import sqlite3
import threading
from pathlib import Path

from sweeps.storage.schema import LedgerError
from sweeps.storage.sqlite import connect

BESIDE = ("-wal", "-journal")
"""What SQLite has not moved into the file yet."""


def copy_whole(source: Path, destination: Path) -> None:
    """Copies a SQLite file with what lies beside it, without opening it; nothing is made or changed at its place.

    Raises:
        LedgerError: it cannot be read, or somebody writes it all the time.
    """
    try:
        for _ in range(10):
            before = source.stat()
            for suffix in ("", *BESIDE):
                target = destination.with_name(destination.name + suffix)
                target.unlink(missing_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(source.with_name(source.name + suffix), target)
            after = source.stat()
            # a writer appends beside the file, and only now and then moves that into it
            if (before.st_mtime_ns, before.st_size, before.st_ino) == (after.st_mtime_ns, after.st_size, after.st_ino):
                return
    except OSError as error:
        raise LedgerError(f"{source} cannot be copied to be read: {error.strerror}.") from None
    raise LedgerError(f"{source} is being written all the time and cannot be copied to be read; try again later.")


class FolderMoved(LedgerError):
    """The folder of a ledger has another place now. What was written lies there; nothing belongs at the old one."""


class Watch:
    """Sees whether a database file is still the one that was opened, and saves what it held where it is gone.

    A file that was removed can still be read by those who hold it open, while everything that they write is lost with
    them. A file whose whole folder was moved is written on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = os.open(path.parent, os.O_RDONLY)  # stays the same folder wherever it is moved
        self._mutex = threading.Lock()
        self._said: str | None = None
        self._held = connect(path, any_thread=True)
        self._held.execute("SELECT count(*) FROM sqlite_master").fetchone()  # which opens what lies beside it, too
        self._opened = _names(path)

    def close(self) -> None:
        """Lets go of the file."""
        self._held.close()
        os.close(self._folder)

    def check(self) -> None:
        """To be called after every change.

        Raises:
            FolderMoved: the file's folder was moved.
            LedgerError: the file was removed or replaced; says where its content is now.
        """
        if _name(self._path) == self._opened[""]:
            return
        if _name(self._path.name, self._folder) == self._opened[""]:
            raise FolderMoved(
                f"The folder {self._path.parent} must stay where it is while the study runs, but was moved. What was "
                "written until then is in its ledger, wherever the folder is now; start again with `run.out` as it is "
                "called now."
            )
        with self._mutex:
            if self._said is None:
                self._said = self._rescue()
        raise LedgerError(self._said)

    def _rescue(self) -> str:
        gone = f"{self._path} was removed or replaced while the study ran, which must not be."
        free = not self._path.exists()
        target = self._path if free else self._path.with_name(f"{self._path.stem}.rescued{self._path.suffix}")
        aside = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)  # removed as a whole, it may be
            self._held.execute("VACUUM INTO ?", (str(aside),))
            copy = connect(aside)
            copy.execute("PRAGMA journal_mode=WAL")
            copy.close()
            for suffix, name in _names(self._path).items():
                if suffix and name == self._opened[suffix]:  # of the file that is no more; it would damage another one
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            aside.replace(target)
        except (OSError, sqlite3.Error) as error:
            aside.unlink(missing_ok=True)
            return f"{gone} What it held could not be saved: {error}."
        if free:
            return f"{gone} All that it held is back in its place; start again to go on."
        return f"{gone} All that it held is in {target}; put that in its place and start again."


def _names(path: Path) -> dict[str, tuple[int, int] | None]:
    """What tells a database file, and those beside it, from others of the same name; None where there is none."""
    return {suffix: _name(path.with_name(path.name + suffix)) for suffix in ("", "-wal", "-shm")}


def _name(path: Path | str, folder: int | None = None) -> tuple[int, int] | None:
    """The same of one file, in an open folder or, without one, by its full path."""
    try:
        now = os.stat(path, dir_fd=folder)
    except OSError:
        return None
    return now.st_dev, now.st_ino
