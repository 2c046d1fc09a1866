"""Files that a kill or a full disk leaves whole: written aside, made durable, then renamed.

Every file and folder that somebody else may read while it is being written goes through here, so that there is one
place that says what a reader can meet: the old content, or the new.
"""

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

LEFT_OVER_S = 3600.0
"""Age after which a file or folder that is being written is taken for that of a killed process."""


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, says that a disk has no space left, or a user no more of it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # libraries that write files themselves, and SQLite, have errors of their own
        if any(words in str(error) for words in ("No space left on device", "disk is full", "Disk quota exceeded")):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def _named_when_full(path: Path) -> Iterator[None]:
    """Says of which file it is when the disk is full: errors of writing do not, and those of libraries say less."""
    try:
        yield
    except Exception as error:
        if is_full(error) or (path.parent.exists() and shutil.disk_usage(path.parent).free == 0):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def sha256_of(path: Path) -> str:
    """Hash of a file's content, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write in place of `path`; a reader finds the old content or all of the new.

    What an error leaves behind is removed, and `path` stays as it was.
    """
    with _named_when_full(path):
        make_folder(path.parent)
    remove_leftovers(path.parent, f".{glob.escape(path.name)}.*.part", older_than_s=LEFT_OVER_S)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _named_when_full(path), aside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        move(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 as it is, line ends included; a reader finds the old text or the new."""
    with replacing(path) as stream:
        stream.write(text.encode())


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill in place of `folder`; a reader finds the old one, none, or the whole new one.

    Its files are made durable before it gets its name. What an error leaves behind is removed.
    """
    with _named_when_full(folder):
        make_folder(folder.parent)
    name = glob.escape(folder.name)
    for left in (f".{name}.*.part", f".gone-*-{name}"):
        remove_leftovers(folder.parent, left, older_than_s=LEFT_OVER_S)  # of processes that were killed
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        with _named_when_full(folder):
            yield aside
            sync_all(aside)
        if folder.exists():
            discard(folder)
        move(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def link_folder(source: Path, destination: Path) -> None:
    """Shows a folder of files that never change in a second place: by hard links, or copies where there are none."""
    with replacing_folder(destination) as making:
        for path in source.iterdir():
            try:
                os.link(path, making / path.name)
            except OSError:  # another file system, or one without links
                shutil.copyfile(path, making / path.name)


def sync(path: Path) -> None:
    """Waits until a file's content is on the disk; of a folder the names in it."""
    if os.name == "nt" and path.is_dir():  # where folders cannot be opened, and names are durable by themselves
        return
    number = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):  # of file systems that know no such
            raise
    finally:
        os.close(number)


def sync_all(folder: Path) -> None:
    """Waits until all in a folder is on the disk."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(folder)


def make_folder(folder: Path) -> None:
    """Makes a folder with those above it, durably."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        sync(place.parent)


def move(source: Path, target: Path) -> None:
    """Gives a file or folder another name on the same file system, in place of a file of that name.

    Without `sync` of the folder a power cut may take the new name back, also long after, and with it what a database
    was told of it meanwhile.
    """
    source.replace(target)
    sync(target.parent)


def discard(folder: Path) -> None:
    """Removes a folder; a kill leaves all of it or none under its name."""
    # no number of a process: those recur in containers, and a killed one may have left its folder
    away = folder.with_name(f".gone-{uuid.uuid4().hex}-{folder.name}")
    move(folder, away)
    shutil.rmtree(away, ignore_errors=True)


def remove_leftovers(parent: Path, pattern: str, *, older_than_s: float) -> None:
    """Removes what killed processes left unfinished: entries that match and have not changed for so long."""
    for left in parent.glob(pattern):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > older_than_s:
                remove([left])


def remove(places: Iterable[Path]) -> None:
    """Removes files and folders, those that can be."""
    for place in list(places):
        with contextlib.suppress(OSError):
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink()
