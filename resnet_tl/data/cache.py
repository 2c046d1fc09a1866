"""The shared disk cache: sizes, LRU eviction, locks.

Decoded images and features can be computed again from what the user has, and what another machine has sent can be sent
again, so they make room by themselves, the least recently used first. Pretrained weights and generated images cost a
training, archives a download; they go only when told to. What a running study uses stays.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from resnet_tl.errors import DataError
from resnet_tl.files import discard, remove_leftovers, sha256_of
from resnet_tl.heartbeat import beat

try:
    import fcntl
except ImportError:  # Windows, which keeps open files from being removed by itself
    fcntl = None  # type: ignore[assignment]

KINDS = ("features", "data", "sent", "pretrained", "synthetic", "runs", "archives")
GOES_BY_ITSELF = ("features", "data", "sent")
_USED = "used"
"""File in each entry: its date says when it was last used, a lock on it that it is in use. An empty one may have been
made just now, by somebody who has yet to lock it."""

_TABLES = {
    "data": "data.json",
    "synthetic": "data.json",
    "features": "features.json",
    "pretrained": "checkpoint/model.json",
}
"""By kind: the file that states a hash."""
_STATED = {
    "data.json": ("pixels_sha256", "images.npy"),
    "features.json": ("sha256", "outputs.bin"),
    "model.json": ("tensors_sha256", "model.safetensors"),
}
"""By such a file: the name of the hash there, and the file beside it that it is of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing in the cache."""

    kind: str
    path: Path
    num_bytes: int
    used: float
    """Time of the last use, as `time.time()`."""
    in_use: bool


def default_cache() -> Path:
    """The user's cache folder for what studies share."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "resnet-sweeps"


def entries(cache: Path) -> list[Entry]:
    """All that is in the cache, the least recently used first."""
    found = []
    for kind in KINDS:
        for folder in sorted((cache / kind).glob("*")):
            if folder.is_dir() and folder.name != "seen" and not folder.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):  # another process may be clearing
                    mark = folder / _USED
                    found.append(
                        Entry(
                            kind=kind,
                            path=folder,
                            num_bytes=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and f != mark),
                            used=(mark if mark.exists() else folder).stat().st_mtime,
                            in_use=_is_locked(mark),
                        )
                    )
    return sorted(found, key=lambda entry: entry.used)


def room(cache: Path, limit_gb: float) -> int:
    """Bytes that could be added, if all that may go went; negative when there is too much already."""
    there = entries(cache)
    stays = sum(e.num_bytes for e in there if not _may_go(e))
    goes = sum(e.num_bytes for e in there if _may_go(e))
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free * 9 // 10  # the rest is for results
    return min(int(limit_gb * 1e9) - stays, free + goes)


def make_room(cache: Path, limit_gb: float, needed: int = 0) -> list[Entry]:
    """Removes the least recently used until there is room for `needed` bytes; returns what went."""
    there = entries(cache)
    total = sum(entry.num_bytes for entry in there)
    gone = []
    remove_leftovers(cache, "*/.gone-*", older_than_s=0)  # of a process that was killed while removing
    for entry in there:
        short = total + needed > limit_gb * 1e9 or shutil.disk_usage(cache).free < needed
        if not short:
            break
        if _may_go(entry) and remove(entry):
            gone.append(entry)
            total -= entry.num_bytes
    return gone


def remove(entry: Entry) -> bool:
    """Takes one thing away, unless somebody has begun to use it; a reader never finds half of it."""
    with contextlib.suppress(FileNotFoundError), _locked(entry.path / _USED) as free:
        if not free:
            return False
        discard(entry.path)
    return True


def damage(entry: Entry) -> str | None:
    """What is wrong with a thing in the cache, by the hash that it states; None where all is well or nothing is stated.

    Reads all of it.
    """
    if entry.kind not in _TABLES:
        return None
    table = entry.path / _TABLES[entry.kind]
    if not table.exists():
        return None if entry.in_use or (entry.path / "lock").exists() else f"it has no {_TABLES[entry.kind]}"
    try:
        ((content, stated),) = stated_hashes(table.parent).items()
        found = sha256_of(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"it cannot be read ({type(error).__name__}: {error})"
    name = content.relative_to(entry.path).as_posix()
    return None if found == stated else f"{name} must have sha256 {stated[:12]}…, but has {found[:12]}…"


def stated_hashes(folder: Path) -> dict[Path, str]:
    """The sha256 that files of a folder must have, as far as a file beside them states it.

    Raises:
        OSError, ValueError, KeyError, TypeError: what states it cannot be read.
    """
    return {
        folder / content: str(json.loads((folder / table).read_text(encoding="utf-8"))[name])
        for table, (name, content) in _STATED.items()
        if (folder / table).exists()
    }


def _may_go(entry: Entry) -> bool:
    return entry.kind in GOES_BY_ITSELF and not entry.in_use


def clear_unfinished(base: Path, *, older_than_s: float) -> None:
    """Removes what processes that were killed had begun to make: what nobody holds any more.

    Args:
        older_than_s: age after which things that nobody ever held go too.
    """
    for folder in base.glob(".making-*"):
        mark = folder / _USED
        with contextlib.suppress(OSError), _locked(mark) as free:  # to the end, or a maker may take hold in between
            was_held = fcntl is not None and mark.exists() and mark.stat().st_size > 0
            if free and (was_held or time.time() - folder.stat().st_mtime > older_than_s):
                discard(folder)


@contextlib.contextmanager
def hold(folders: Sequence[Path]) -> Iterator[None]:
    """Marks things as used now, and keeps them from being removed until the end, or the death of this process.

    Raises:
        DataError: one of them was removed meanwhile.
    """
    with contextlib.ExitStack() as stack:
        for folder in dict.fromkeys(folders):
            try:
                stream = stack.enter_context((folder / _USED).open("a"))
                os.utime(folder / _USED)
            except PermissionError:  # a cache that may only be read; nobody clears it from here either
                continue
            except FileNotFoundError:
                raise DataError(f"{folder} was removed from the cache meanwhile; start again.") from None
            if fcntl is not None:
                fcntl.flock(stream, fcntl.LOCK_SH)
                if not (folder / _USED).exists():
                    raise DataError(f"{folder} was removed from the cache meanwhile; start again.")
            if os.fstat(stream.fileno()).st_size == 0:
                with contextlib.suppress(OSError):  # of a full disk: what is to be cleared then waits until it is old
                    os.write(stream.fileno(), b"held\n")
        yield


@contextlib.contextmanager
def _locked(mark: Path) -> Iterator[bool]:
    """Whether nobody uses the thing that a mark belongs to; if so, nobody can begin to until the end."""
    if fcntl is None or not mark.exists():
        yield True
        return
    with mark.open("r") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _is_locked(mark: Path) -> bool:
    try:
        with _locked(mark) as free:
            return not free
    except OSError:
        return False


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Waits for the lock at `path`, which dies with its holder."""
    lock = FileLock(path)
    while not lock.is_locked:
        beat()  # who waits for another study's training does not stand still
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=1.0)
    try:
        yield
    finally:
        lock.release()
