"""Opens SQLite files: any character in their names, no file made, patient locks, errors that say what to do."""

import contextlib
import sqlite3
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from resnet_tl.files import is_full
from sweeps.storage.schema import LedgerError

BUSY_S = 60
"""Seconds that a connection waits for another one's transaction to end."""

BESIDE_BYTES = 65_536
"""Room that SQLite takes beside a file that is opened or written, at least; rounded up."""


def connect(
    path: Path, *, timeout_s: float | None = None, any_thread: bool = False, mode: str = "rw"
) -> sqlite3.Connection:
    """Opens a SQLite file that exists without SQLAlchemy; its name may hold any character.

    Args:
        timeout_s: patience with another one's transaction; `BUSY_S` by default.
        any_thread: whether threads other than this one may use the connection.
        mode: `ro` to read alone, which also leaves what lies beside a damaged file.
    """
    timeout = BUSY_S if timeout_s is None else timeout_s
    return sqlite3.connect(f"{_uri(path)}?mode={mode}", uri=True, timeout=timeout, check_same_thread=not any_thread)


def _uri(path: Path) -> str:
    return f"file:{quote(str(path.absolute()))}"


def sqlite_url(path: Path) -> str:
    """The address of a SQLite file that exists, for SQLAlchemy and MLflow; its name may hold any character.

    Opening it makes no file. The driver is named since MLflow makes the folders of addresses that begin with
    `sqlite:///` as they stand there, percent-encoded.
    """
    query = {"mode": "rw", "uri": "true"}
    url = sa.URL.create("sqlite+pysqlite", database=_uri(path), query=query)
    return url.render_as_string()


def sqlite_engine(path: Path, *, write: bool = False, shown: Path | None = None) -> sa.Engine:
    """Opens a SQLite file with a patient lock; many may read while one writes.

    Args:
        write: transactions take the lock of a writer at their begin, and changes of tables belong to them. Python's
            driver by itself begins a transaction at the first changed row only.
        shown: what errors call the file.
    """
    engine = sa.create_engine(sqlite_url(path), connect_args={"timeout": BUSY_S})
    explain_errors(engine, shown or path)
    # a commit is on the disk before anything goes on: SQLite's default, but builds of it may have another one
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=FULL"))
    if write:

        def take_over(connection: Any, _: Any) -> None:
            connection.isolation_level = None

        sa.event.listen(engine, "connect", take_over)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def explain_errors(engine: sa.Engine, path: Path) -> None:
    """Lets an engine raise LedgerError for what is wrong with the file, the disk, or a number."""

    def explain(context: sa.engine.ExceptionContext) -> None:
        explained = explanation(context.original_exception, path)
        if explained is not None:
            raise explained from None

    sa.event.listen(engine, "handle_error", explain)


def explanation(error: BaseException, path: Path, *, waited_s: float | None = None) -> LedgerError | None:
    """What an error of Python's driver means to a user; None for one of our own code.

    Args:
        waited_s: patience with other programs; `BUSY_S` by default.
    """
    if isinstance(error, OverflowError):
        return LedgerError(f"{path} holds integers of up to 64 bits, but got a larger one; give smaller numbers.")
    if not isinstance(error, sqlite3.Error) or isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return None
    kind = str(getattr(error, "sqlite_errorname", ""))
    safe = "What it holds is whole."
    # without any room not even the index beside the file can be made, which SQLite calls an I/O error
    if kind.startswith("SQLITE_FULL") or (kind.startswith("SQLITE_IOERR") and not _has_room(path.parent)):
        return LedgerError(f"{path} cannot be written, since the disk is full. {safe} Make room and start again.")
    if kind.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        waited = BUSY_S if waited_s is None else waited_s
        return LedgerError(
            f"{path} was locked by another program for more than {waited:g} s. {safe} End that program, or wait "
            "for it, and start again."
        )
    if not path.exists():
        return LedgerError(f"{path} is gone: it was moved or removed. Bring it back and start again.")
    if kind.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return LedgerError(
            f"{path} and its folder must be writable, but may only be read. {safe} Change that, or work on a copy of "
            "the folder."
        )
    if kind.startswith("SQLITE_CANTOPEN") or not path.is_file():
        return LedgerError(f"{path} must be a file that may be read and written, but cannot be opened.")
    if kind.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR", "SQLITE_FORMAT")):
        return LedgerError(
            f"{path} must be a database of this program, but is not, or is damaged: {error}. Put a copy in its "
            "place, or move it away to begin anew."
        )
    return LedgerError(f"{path} cannot be read or written: {error}. {safe} Start again when that is mended.")


def damage(path: Path) -> str | None:
    """The first thing that SQLite finds wrong in a whole file; None where all is well.

    Raises:
        LedgerError: it cannot be looked into: it is locked, or its folder may not be written.
    """
    try:
        with contextlib.closing(connect(path, mode="ro")) as connection:
            (told,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        if not str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise explanation(error, path) or error from None
        return str(error)
    return None if told == "ok" else str(told)


def _has_room(folder: Path) -> bool:
    """Whether a little can still be written; what a quota leaves, no other question tells."""
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(bytes(BESIDE_BYTES))
    except OSError as error:
        return not is_full(error)
    return True
