"""The driver's files, for machines that do not see them: read for those, and put in place when they come back.

It is a process on the driver's machine, so that large files pass by the driver itself. What comes back lies aside
until all of it is there, has the hash that it was sent with, and is on the disk. Only then does it get its name, and
only then is the driver told that the task has ended. A kill at any moment leaves the old files or the new.

    FOLDER/.arriving-ATTEMPT/…   what comes back from one try of a task
"""

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from resnet_tl.data.cache import stated_hashes
from resnet_tl.errors import DataError
from resnet_tl.files import LEFT_OVER_S, discard, is_full, make_folder, move, remove_leftovers, sha256_of, sync_all
from sweeps.execution.task_files import Damaged, Listed, Listing, Workplace

NOT_SENT = ("used", "lock", "work")
"""Names in folders of the cache by which drivers of one machine agree; they are no content."""
ARRIVING = ".arriving-"

Piece = tuple[str, int, bytes]
"""Name of a file, a place in it, and the bytes there."""


class Depot:
    """Answers for the driver's disk; may be asked by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lost: set[str] = set()
        self._listed: dict[str, tuple[tuple[tuple[str, int, int], ...], Listing]] = {}

    def describe(self, path: str) -> Listing | None:
        """What a file or folder holds; None where it is not there.

        A hash that is stated beside a file is taken for it (the driver has compared it), so that what is damaged since
        is refused where it arrives.
        """
        place = Path(path)
        with self._lock:  # whoever comes second finds the hashes
            try:
                files = _files(place)
                stamps = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
                if path in self._listed and self._listed[path][0] == stamps:
                    return self._listed[path][1]
                stated = _stated(place)
                listing = Listing(
                    files=tuple(
                        Listed(
                            name=file.relative_to(place.parent).as_posix(),
                            num_bytes=num_bytes,
                            sha256=stated.get(file) or sha256_of(file),
                        )
                        for file, (_, num_bytes, _) in zip(files, stamps, strict=True)
                    )
                )
            except FileNotFoundError:
                return None
            self._listed[path] = stamps, listing
            return listing

    def read(self, path: str, first: int, num_bytes: int) -> bytes:
        """A piece of a file."""
        with Path(path).open("rb") as stream:
            stream.seek(first)
            return stream.read(num_bytes)

    def write(self, attempt: str, folder: str, pieces: Sequence[Piece]) -> None:
        """Lays aside pieces of what is to come to a folder.

        Args:
            attempt: names the try of a task that they are of.
        """
        place = Path(folder)
        aside = self._aside(attempt, place)
        if not aside.exists():
            make_folder(place)
            remove_leftovers(place, f"{ARRIVING}*", older_than_s=LEFT_OVER_S)
        for name, first, content in pieces:
            path = _inside(aside, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, first, content)

    def keep(self, attempt: str, place: Workplace, state: Listed) -> None:
        """Puts the state of a running task in place of the one before; see `settle`."""
        self._arrive(attempt, place.folder, [state])
        self._put(attempt, place.folder, [state.name])

    def settle(self, attempt: str, place: Workplace, files: Sequence[Listed]) -> None:
        """Puts in place what a task has left in a folder.

        Args:
            files: all that was sent.

        Raises:
            Damaged: something has not arrived as it was sent.
        """
        folder = place.folder
        self._arrive(attempt, folder, files)
        if not files:
            return
        if not place.is_shared:
            self._put(attempt, folder, place.leaves)
            return
        with FileLock(folder / "lock"):  # which others hold while they make the same
            if not (folder / place.leaves[-1]).exists():
                self._put(attempt, folder, place.leaves)
            shutil.rmtree(folder / "work", ignore_errors=True)
        shutil.rmtree(self._aside(attempt, folder), ignore_errors=True)

    def _arrive(self, attempt: str, folder: Path, files: Sequence[Listed]) -> None:
        """Makes sure that all is there, and on the disk."""
        aside = self._aside(attempt, folder)
        for file in files:
            path = _inside(aside, file.name)
            if path.exists() and path.stat().st_size > file.num_bytes:  # of a state that did not come whole
                os.truncate(path, file.num_bytes)
            found = sha256_of(path) if path.exists() else "nothing"
            if found != file.sha256:
                raise Damaged(f"{path} must have sha256 {file.sha256[:12]}… as it was sent, but has {found[:12]}….")
        if files:
            sync_all(aside)

    def _put(self, attempt: str, folder: Path, names: Sequence[str]) -> None:
        aside = self._aside(attempt, folder)
        for name in names:
            if (aside / name).exists():
                target = _inside(folder, name)
                make_folder(target.parent)
                if target.is_dir():
                    discard(target)  # of a try that was killed before anybody was told of it
                move(aside / name, target)
        shutil.rmtree(aside, ignore_errors=True)

    def fill(self, attempt: str, path: str, first: int, content: bytes) -> None:
        """Writes to a file that the driver has made room for; see `require_part`."""
        self._require_awaited(attempt)
        _write(Path(path), first, content)

    def require_part(self, path: str, first: int, end: int, sha256: str) -> None:
        """Compares a part of a file with what was sent.

        Raises:
            Damaged: they differ.
        """
        told = hashlib.sha256()
        with Path(path).open("rb") as stream:
            stream.seek(first)
            while first < end and (content := stream.read(min(end - first, 1 << 20))):
                told.update(content)
                first += len(content)
        if told.hexdigest() != sha256:
            raise Damaged(
                f"What was sent for {path} must have sha256 {sha256[:12]}…, but has {told.hexdigest()[:12]}…."
            )

    def forget(self, attempt: str) -> None:
        """A try of a task counts as lost: nothing of it is put in place any more."""
        with self._lock:
            self._lost.add(attempt)

    def _aside(self, attempt: str, folder: Path) -> Path:
        self._require_awaited(attempt)
        return folder / f"{ARRIVING}{attempt}"

    def _require_awaited(self, attempt: str) -> None:
        with self._lock:
            if attempt in self._lost:
                raise DataError("Nobody waits for this task any more: its machine counts as lost.")


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    found = []
    for path in sorted(place.rglob("*")):
        parts = path.relative_to(place).parts
        if path.is_file() and parts[0] not in NOT_SENT and not any(part.startswith(".") for part in parts):
            found.append(path)
    return found


def _stated(place: Path) -> dict[Path, str]:
    try:
        return stated_hashes(place) if place.is_dir() else {}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place} is damaged ({type(error).__name__}: {error}).") from None


def _inside(folder: Path, name: str) -> Path:
    """A path below a folder, and nowhere else."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise DataError(f"A file that comes back must lie below {folder}, but got {name!r}.")
    return folder / name


def _write(path: Path, first: int, content: bytes) -> None:
    """Writes a piece, in whichever order pieces come."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), "wb") as stream:
            stream.seek(first)
            stream.write(content)
    except OSError as error:
        if is_full(error):  # which does not say of which file
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
        raise
