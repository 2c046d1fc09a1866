"""What studies share on disk: how much there is, what goes when room is short, and clearing it.

    python -m resnet_tl.cache                       shows it
    python -m resnet_tl.cache clear=features        removes one kind: features, data, pretrained, runs; or all
    python -m resnet_tl.cache limit_gb=5            removes the least recently used until no more than that is left
    python -m resnet_tl.cache cache=FOLDER …        another folder than the user's cache

Decoded images and features can be computed again from what the user has, so they make room by themselves, the least
recently used first. Pretrained weights cost a training and go only when told to. What a running study uses stays.
"""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_tl.data.prepare import default_cache
from resnet_tl.errors import ConfigError, DataError
from resnet_tl.files import discard, remove_leftovers
from resnet_tl.options import expand, nearest, parse_words

try:
    import fcntl
except ImportError:  # Windows, which keeps open files from being removed by itself
    fcntl = None  # type: ignore[assignment]

KINDS = ("features", "data", "pretrained", "runs")
GOES_BY_ITSELF = ("features", "data")
_USED = "used"
"""File in each entry: its date says when it was last used, a lock on it that it is in use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing in the cache."""

    kind: str
    path: Path
    num_bytes: int
    used: float
    """Time of the last use, as `time.time()`."""
    in_use: bool


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
                            num_bytes=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
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
    """Takes one thing away, unless somebody has start to use it; a reader never finds half of it."""
    with contextlib.suppress(FileNotFoundError), _locked(entry.path / _USED) as free:
        if not free:
            return False
        discard(entry.path)
    return True


def _may_go(entry: Entry) -> bool:
    return entry.kind in GOES_BY_ITSELF and not entry.in_use


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


def main() -> int:
    """`python -m resnet_tl.cache`."""
    words = sys.argv[1:]
    if "--help" in words or "-h" in words:
        print((__doc__ or "").strip())
        return 0
    values = parse_words(words, literal=("cache",))
    problems = [
        f"`{key}` is not an option; {nearest(key, ['cache', 'clear', 'limit_gb'])}"
        for key in values
        if key not in ("cache", "clear", "limit_gb")
    ]
    kind, limit = values.get("clear"), values.get("limit_gb")
    if kind is not None and kind not in (*KINDS, "all"):
        problems.append(f"`clear` must be one of {', '.join(KINDS)}, all, but got {kind}.")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 0):
        problems.append(f"`limit_gb` must be a number from 0 on, but got {limit}.")
    if problems:
        raise ConfigError(*problems)
    cache = expand(values["cache"], "cache").absolute() if "cache" in values else default_cache()
    if kind is not None:
        for entry in entries(cache):
            if kind in (entry.kind, "all") and not remove(entry):
                print(f"{entry.path} is in use and stays")
    if limit is not None:
        make_room(cache, float(limit))
    there = entries(cache)
    for entry in there:
        age = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        note = "  in use" if entry.in_use else ""
        print(f"{entry.num_bytes / 1e6:10,.1f} MB  {entry.kind:10}  used {age}  {entry.path.name}{note}")
    print(f"{sum(entry.num_bytes for entry in there) / 1e6:10,.1f} MB  in {cache}")
    return 0


if __name__ == "__main__":
    from resnet_tl.cli import entry as run

    run(main)
