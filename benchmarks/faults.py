"""Counts what a process does to files and databases, and lets it fail at a chosen operation.

The operations are those of Python itself, by its audit events, whoever asks for them: files opened to be written,
renamed, removed, linked, made durable, folders made and removed, transactions of SQLite committed. Whatever a library
of compiled code writes lies between two of them.

A power cut is simulated for files of our own: what was not made durable (`fsync`) of a file is lost, and so is a
change of a name whose folder was not made durable after it. SQLite with `synchronous=FULL` is trusted for what its
files hold, but not for their names.
"""

import errno
import os
import random
import sqlite3
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["kill", "power", "full", "locked"]
KINDS: tuple[Kind, ...] = ("kill", "power", "full", "locked")

STOPPED = 137
"""Exit status of a process that was stopped, as a shell tells of one that was killed."""

_WRITES = os.O_WRONLY | os.O_RDWR
_FILES = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "fsync")


@dataclass
class _Change:
    """A change of names that a power cut may undo."""

    what: str
    inode: int
    source: tuple[int, str] | None
    """Inode of the folder, and name in it."""
    target: tuple[int, str] | None
    replaced: Path | None
    """A second name of what was there before."""
    durable: bool = False


class Faults:
    """Counts operations on everything in one folder; to be installed once in a process of its own.

    Args:
        home: the folder.
        aside: a folder of the same file system for what a power cut brings back.
        at: the number of the operation at which it fails, from 1; 0 for none.
        draws: decides what a power cut leaves of a file that was not durable.
    """

    def __init__(self, home: Path, aside: Path, *, kind: Kind, at: int, draws: random.Random) -> None:
        self._home, self._aside, self._kind, self._at, self._draws = str(home) + "/", aside, kind, at, draws
        self.seen: list[str] = []
        """What was done, in order."""
        self._lock = threading.RLock()
        self._inside = threading.local()
        self._durable: dict[int, tuple[int, int]] = {}
        self._changes: list[_Change] = []
        self._holder: sqlite3.Connection | None = None
        self._connect = sqlite3.connect
        if kind == "power":
            for folder, _, names in os.walk(home):
                for name in names:
                    self._note_durable(os.lstat(f"{folder}/{name}"))

    def install(self) -> None:
        """Begins to count; it cannot be ended."""
        real = os.fsync

        def fsync(file: Any) -> None:
            number = file if isinstance(file, int) else file.fileno()
            self._hook("fsync", (os.readlink(f"/proc/self/fd/{number}"),))
            real(file)
            self._made_durable(number)

        connect = self._connect

        def watched(*args: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*args, **options)
            self._watch(connection)
            return connection

        os.fsync = fsync
        for module in (sqlite3, sqlite3.dbapi2):
            module.connect = watched  # type: ignore[assignment]
        sys.addaudithook(self._hook)

    # -- operations ---------------------------------------------------------------------------------------------------

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in _FILES or getattr(self._inside, "now", False):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & _WRITES):
            return
        folder = args[-1] if event != "open" and isinstance(args[-1], int) and args[-1] >= 0 else None
        places = [self._place(arg, folder) for arg in args[: 2 if event in ("os.rename", "os.link") else 1]]
        inside = [place for place in places if place is not None and place.startswith(self._home)]
        if not inside:
            return
        self._inside.now = True
        try:
            self._count(event, inside)
        finally:
            self._inside.now = False

    def _place(self, given: Any, folder: int | None) -> str | None:
        if isinstance(given, bytes):
            given = os.fsdecode(given)
        if not isinstance(given, str | os.PathLike):
            return None
        path = os.fspath(given)
        if not os.path.isabs(path):
            base = os.readlink(f"/proc/self/fd/{folder}") if folder is not None else os.getcwd()
            path = os.path.join(base, path)
        return os.path.normpath(path)

    def _count(self, event: str, places: Sequence[str]) -> None:
        told = f"{event} {' '.join(place.removeprefix(self._home) for place in places)}"
        with self._lock:
            self.seen.append(told)
            if self._at and len(self.seen) >= self._at:
                self._fail(event, places)
            if self._kind == "power":
                self._remember(event, places)

    def _fail(self, event: str, places: Sequence[str]) -> None:
        first = len(self.seen) == self._at
        if self._kind == "kill" and first:
            os._exit(STOPPED)
        if self._kind == "power" and first:
            self._cut()
            os._exit(STOPPED)
        if self._kind == "full" and event in ("open", "os.mkdir", "fsync"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), places[0])

    # -- databases ----------------------------------------------------------------------------------------------------

    def _watch(self, connection: sqlite3.Connection) -> None:
        self._inside.now = True
        try:
            path = next((row[2] for row in connection.execute("PRAGMA database_list")), "")
        except sqlite3.Error:  # no database, as whoever opens it will find
            return
        finally:
            self._inside.now = False
        if path.startswith(self._home):
            connection.set_trace_callback(lambda statement: self._statement(path, statement))

    def _statement(self, path: str, statement: str) -> None:
        word = statement.lstrip().partition(" ")[0].rstrip(";").upper()
        if word == "COMMIT" and self._kind != "locked":
            self._count("commit", [path])
        # one that is still being made has a name that nobody else knows
        if word == "BEGIN" and self._kind == "locked" and "/.work/" not in path:
            with self._lock:
                self.seen.append(f"begin {path.removeprefix(self._home)}")
                if len(self.seen) == self._at:
                    self._holder = self._connect(path, isolation_level=None, check_same_thread=False)
                    self._holder.execute("BEGIN EXCLUSIVE")

    # -- a power cut --------------------------------------------------------------------------------------------------

    def _note_durable(self, now: os.stat_result) -> None:
        self._durable[now.st_ino] = now.st_mtime_ns, now.st_size

    def _made_durable(self, number: int) -> None:
        now = os.fstat(number)
        with self._lock:
            self._note_durable(now)
            for change in self._changes:
                if change.target is not None and change.target[0] == now.st_ino:
                    change.durable = True

    def _remember(self, event: str, places: Sequence[str]) -> None:
        if event not in ("os.rename", "os.remove", "os.link") or not os.path.lexists(places[0]):
            return
        source, target = places[0], places[-1]
        replaced = None
        if event != "os.link" and os.path.isfile(target):
            replaced = self._aside / str(len(self._changes))
            os.link(target, replaced, follow_symlinks=False)
        self._changes.append(
            _Change(
                what=event,
                inode=os.lstat(source).st_ino,
                source=_name(source),
                target=_name(target),
                replaced=replaced,
            )
        )

    def _cut(self) -> None:
        for change in reversed(self._changes):
            if not change.durable:
                self._undo(change)
        for folder, _, names in os.walk(self._home):
            for name in names:
                path = f"{folder}/{name}"
                now = os.lstat(path)
                if ".db" in name or os.path.islink(path) or not now.st_size:
                    continue
                if self._durable.get(now.st_ino) != (now.st_mtime_ns, now.st_size):
                    self._lose(path, now.st_size)

    def _undo(self, change: _Change) -> None:
        folders = {os.lstat(folder).st_ino: folder for folder, _, _ in os.walk(self._home)}
        source, target = (_path(folders, place) for place in (change.source, change.target))
        if source is None or target is None:
            return  # its folder has gone, and what was in it
        if change.what == "os.link":
            if os.path.lexists(target) and os.lstat(target).st_ino == change.inode:
                os.unlink(target)
            return
        if change.what == "os.rename" and os.path.lexists(target) and os.lstat(target).st_ino == change.inode:
            if os.path.lexists(source):
                return
            os.rename(target, source)
        if change.replaced is not None and not os.path.lexists(target):
            os.link(change.replaced, target)

    def _lose(self, path: str, size: int) -> None:
        left = self._draws.choice(("nothing", "empty", "half"))
        if left == "nothing":
            os.unlink(path)
        else:
            os.truncate(path, size // 2 if left == "half" else 0)


def _name(path: str) -> tuple[int, str]:
    folder, name = os.path.split(path)
    return os.lstat(folder).st_ino, name


def _path(folders: dict[int, str], place: tuple[int, str] | None) -> str | None:
    return None if place is None or place[0] not in folders else os.path.join(folders[place[0]], place[1])
